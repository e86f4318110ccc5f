"""Who holds which right since when, and who gave it: what is now, explained by the audit trail.

A right that the trail does not explain was given by other means than the admin: that is said, never
guessed. What a group may do from its beginning (migrations made it) came with the membership.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from django.contrib.auth.models import Group, Permission
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from ..models import AuditEvent, Conversation, User
from .persons import find_accounts, is_same_person

GIVING = (AuditEvent.Action.ADDED, AuditEvent.Action.CHANGED)
ALL = "all departments"
MADE = "Superuser."  # what the command that makes one says of it
# Rights of the record, each in words.
RIGHTS: dict[str, str] = dict([*Conversation._meta.permissions, *AuditEvent._meta.permissions])
FLAGS = {
    "is_superuser": _("Superuser: administers everything, reads no content"),
    "is_staff": _("May sign in to the admin"),
}
DIRECT = _("given directly")


class Change(NamedTuple):
    """One right of an account or a group that was given or taken, as an event has it."""

    kind: str  # of what has it now: user, group
    subject: str
    field: str
    value: str  # the group, the permission or the department; empty for a flag
    given: bool
    event: AuditEvent


@dataclass(frozen=True)
class Grant:
    """Rights that an account holds from one moment, by one way."""

    account: User
    rights: tuple[tuple[str, str], ...]  # codename, in words
    through: str  # the group, or how else
    event: AuditEvent | None  # that gave them; None: the trail has none
    is_own: bool = False  # whether the account's person gave them

    @property
    def since(self) -> datetime | None:
        return self.event.at if self.event else None

    @property
    def by(self) -> str:
        return self.event.actor_name if self.event else ""


# The trail ----------------------------------------------------------------------------------------


def read_changes(event: AuditEvent) -> Iterator[Change]:
    """Yield each right that an event says was given or taken. Pure."""
    if json.loads(event.detail).get("what") == MADE:
        for name in FLAGS:
            yield Change(event.kind, event.subject, name, "", given=True, event=event)
    for part in _read_parts(event):
        for field, values in part.get("rights", {}).items():
            for value, given in _compare(field, values["was"], values["is"]):
                yield Change(event.kind, event.subject, field, value, given, event)


def _read_parts(event: AuditEvent) -> list[dict[str, Any]]:
    """Read what a form of the admin says that it changed."""
    what = json.loads(event.detail).get("what")
    return [part for part in what if isinstance(part, dict)] if isinstance(what, list) else []


def _compare(field: str, was: Any, now: Any) -> Iterator[tuple[str, bool]]:
    """Yield each value of a field that came (true) or went. Pure."""
    if isinstance(now, bool):
        if bool(was) != now:
            yield "", now
        return
    before, after = set(was or []), set(now)
    if field == "reviews_departments":  # none are all
        before, after = before or {ALL}, after or {ALL}
        after = after if ALL not in before else after & before
    yield from ((value, True) for value in sorted(after - before))
    yield from ((value, False) for value in sorted(before - after))


def gives_itself(event: AuditEvent) -> list[Change]:
    """List the rights that the account behind an event gave itself, or its own other account."""
    if event.actor is None or event.kind not in ("user", "group"):
        return []
    given = [change for change in read_changes(event) if change.given]
    if not given or not event.subject.isdecimal():
        return []
    if event.kind == "group":
        is_own = event.actor.groups.filter(pk=event.subject).exists()
    else:
        account = User.objects.filter(pk=event.subject).first()
        is_own = account is not None and is_same_person(event.actor, account)
    return given if is_own else []


# What is now --------------------------------------------------------------------------------------


def holders() -> QuerySet[User]:
    """Select the accounts that hold any right; deactivated ones hold none."""
    given = Q(is_staff=True) | Q(is_superuser=True)
    given |= Q(pk__in=User.groups.through.objects.values("user"))
    given |= Q(pk__in=User.user_permissions.through.objects.values("user"))
    return User.objects.filter(given, is_active=True)


def with_sources(accounts: QuerySet[User]) -> QuerySet[User]:
    """Load the ids of each account's groups and permissions with it."""
    groups = User.groups.through.objects.filter(user=OuterRef("pk")).values("group")
    permissions = User.user_permissions.through.objects.filter(user=OuterRef("pk"))
    return accounts.annotate(
        group_ids=ArraySubquery(groups),
        permission_ids=ArraySubquery(permissions.values("permission")),
    )


def explain(accounts: Iterable[User]) -> Iterator[Grant]:
    """Yield the grants of accounts that were loaded `with_sources`. Three queries."""
    accounts = list(accounts)
    permissions = {each.pk: each for each in Permission.objects.select_related("content_type")}
    groups = {
        group.pk: group
        for group in Group.objects.annotate(
            permission_ids=ArraySubquery(
                Group.permissions.through.objects.filter(group=OuterRef("pk")).values("permission")
            )
        )
    }
    trail = Trail(_read_events([account.pk for account in accounts]))
    found: list[Grant] = []
    for account in accounts:
        found += _explain_flags(account, trail)
        for pk in sorted(account.group_ids):  # type: ignore[attr-defined]
            found += _explain_group(account, groups[pk], permissions, trail)
        for pk in sorted(account.permission_ids):  # type: ignore[attr-defined]
            permission = permissions[pk]
            event = trail.find("user", account.pk, "user_permissions", {str(permission)})
            found.append(Grant(account, (_name(permission),), str(DIRECT), event))
    yield from _mark_own(found)


def _mark_own(found: list[Grant]) -> Iterator[Grant]:
    """Yield them, those marked that the account's person gave. Each giver is looked up once."""
    givers = {grant.event.actor for grant in found if grant.event and grant.event.actor}
    accounts = {grant.account for grant in found}
    joined = {giver: find_accounts(giver.pk) for giver in givers}
    own = {giver: {each for each in accounts if each.pk in joined[giver]} for giver in givers}
    for grant in found:
        giver = grant.event.actor if grant.event else None
        yield replace(grant, is_own=giver is not None and grant.account in own[giver])


class Trail:
    """The newest event about each right of each account and group."""

    def __init__(self, events: Iterable[AuditEvent]) -> None:
        self.newest: dict[tuple[str, str, str, str], Change] = {}
        self.names: dict[str, set[str]] = {}  # that each group ever had
        for event in events:
            if event.kind == "group":
                self.names.setdefault(event.subject, set()).update(_read_names(event))
            for change in read_changes(event):
                self.newest[change[:4]] = change

    def find(self, kind: str, subject: int, field: str, values: set[str]) -> AuditEvent | None:
        """Find the event that gave a right under one of these names, unless one took it since."""
        keys = ((kind, str(subject), field, value) for value in values)
        found = [self.newest[key] for key in keys if key in self.newest]
        newest = max(found, key=lambda change: change.event.pk, default=None)
        return newest.event if newest and newest.given else None


def _read_names(event: AuditEvent) -> Iterator[str]:
    """Yield the names that a group has in an event about it."""
    yield json.loads(event.detail).get("name", "")
    for part in _read_parts(event):
        yield from part.get("renamed", {}).values()


def _read_events(accounts: list[int]) -> QuerySet[AuditEvent]:
    """Read what the trail has of these accounts and of all groups, oldest first."""
    about = Q(kind="user", subject__in=map(str, accounts)) | Q(kind="group")
    events = AuditEvent.objects.filter(about).doing(*GIVING).select_related("actor")
    return events.order_by("id")


def _explain_flags(account: User, trail: Trail) -> Iterator[Grant]:
    for name, words in FLAGS.items():
        if getattr(account, name):
            event = trail.find("user", account.pk, name, {""})
            yield Grant(account, ((name, str(words)),), str(DIRECT), event)


def _explain_group(
    account: User, group: Group, permissions: dict[int, Permission], trail: Trail
) -> Iterator[Grant]:
    """Yield what came with the membership, and what the group was given later, each by itself."""
    names = trail.names.get(str(group.pk), set()) | {group.name}
    joined = trail.find("user", account.pk, "groups", names)
    by_event: dict[Any, list[Permission]] = {}
    for pk in group.permission_ids:  # type: ignore[attr-defined]
        permission = permissions[pk]
        event = trail.find("group", group.pk, "permissions", {str(permission)})
        is_later = joined is not None and event is not None and event.pk > joined.pk
        by_event.setdefault(event if is_later else joined, []).append(permission)
    for event, given in by_event.items() or [(joined, [])]:
        rights = sorted((_name(permission) for permission in given), key=lambda each: each[1])
        yield Grant(account, tuple(rights), group.name, event)


def _name(permission: Permission) -> tuple[str, str]:
    """Return its name in the code and in words: the database may have those of an older version."""
    right = f"{permission.content_type.app_label}.{permission.codename}"
    name = right.removeprefix("conversations.")
    return name, RIGHTS.get(name, permission.name)
