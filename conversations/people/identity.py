"""Who sees people by name.

Under PSEUDONYMS, readers of content see aliases instead, and can reveal the person behind one
conversation. A reveal is its event on the audit trail and nothing else, so none holds that is not
on record. It is for one reader and one conversation, or for that reader's searching by name, and
over after half an hour. Every page and file that names a person asks `Names`.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import BooleanField, Count, ExpressionWrapper, Q, QuerySet, Subquery
from django.db.models.functions import JSONArray, JSONObject
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from ..ids import make_id
from ..models import AuditEvent, Conversation, OtherName, SamplingPolicy, Snapshot, User
from ..models.other_name import OtherNameQuerySet
from ..shape import Json
from . import audit, pseudonyms
from .access import Account, may, readable, reviews_departments
from .persons import Claim, Fit, find_fits, find_group, group_column, is_of

LASTS = timedelta(minutes=30)
BY_NAME = ("user", "department", "job_title", "source")  # fields of a filter that identify people
FEWEST = 5  # people behind a figure, where no one of them may be known by it


class RevealRefused(Exception):
    """Why no person was revealed; the text is fit to show."""


def alias(person: int | str) -> str:
    """The alias of an account, by its number; or of a name that a client gave."""
    return pseudonyms.alias(str(settings.PSEUDONYM_KEY), f"{type(person).__name__}:{person}")


def hides_people(reader: Account) -> bool:
    """Whether people have aliases for this reader.

    A reader of no content sees no conversation to put a name to.
    """
    return settings.PSEUDONYMS and may(reader, "view_content")


def tells_a_person(reader: Account, departments: list[str]) -> bool:
    """Whether these departments have so few people that to name them is to name one.

    Asked where people have aliases for this reader: whatever is then known of the conversations of
    these departments would be known of a person.
    """
    if not hides_people(reader) or not departments:
        return False
    people = User.objects.filter(is_active=True, department__in=departments)
    return people.count() < FEWEST


def reveal(request: HttpRequest, subject: Conversation | Snapshot | None, reason: str) -> None:
    """Reveal to the reader, for half an hour, the person behind a conversation or a call in none.

    Without a subject: let the reader search by name. Raises RevealRefused.
    """
    if not reason.strip():
        raise RevealRefused(_("Give a reason."))
    audit.record(
        request,
        AuditEvent.Action.REVEAL,
        subject or User,
        reason=reason,
        until=timezone.now() + LASTS,
    )


class _Known(NamedTuple):
    revealed: datetime | None  # when the person of `about` was
    names_revealed: datetime | None  # when searching by name was allowed
    common: set[tuple[str, str]]  # departments, with job titles that FEWEST of their people have
    accounts: Iterable[int] = ()  # all that this reader may read, for who seeks by alias
    claims: Iterable[list[Any]] = ()  # likewise the account and name of each end user


class Found(NamedTuple):
    """People whom a name stands for: all their accounts and end users."""

    accounts: list[int]
    claims: list[Claim]
    number: int  # of people
    of: QuerySet[User] | None = None  # accounts whose people's are not looked up yet

    def rows(self, path: str = "") -> Q:
        """Select conversations or calls of these accounts and end users, or what leads there."""
        rows, end_users = Q(**{f"{path}owner__in": self.accounts}), dict[int, list[str]]()
        for account, name in self.claims:
            end_users.setdefault(account, []).append(name)
        for account, names in end_users.items():
            rows |= Q(**{f"{path}owner": account, f"{path}end_user__in": names})
        return rows if self.of is None else rows | is_of(self.of, path)

    def look_up(self) -> "Found":
        """Look up what is not yet. One query, or none."""
        if self.of is None:
            return self
        accounts, claims = find_group(self.of)
        return Found(accounts, sorted({*self.claims, *claims}), self.number)


class Names:
    """How people are named to one reader.

    Lists and files name them by alias, where `hidden` says so; pages `about` a conversation, or a
    call in none, by name once they are revealed.
    """

    def __init__(self, reader: Account, about: UUID | None = None, *, seeks: bool = False) -> None:
        self.reader, self.seeks = reader, seeks  # whether people are sought by alias: one query
        self.about = about
        hides = hides_people(reader)
        self.until = self._end_of_reveal(self._known.revealed) if about and hides else None
        self.hidden = hides and self.until is None
        self._fits: dict[Claim, Fit | None] = {}

    def name(self, user: User) -> str:
        return alias(user.pk) if self.hidden else user.get_username()

    def full_name(self, user: User) -> str:
        return "" if self.hidden else user.get_full_name()

    def department(self, user: User) -> str:
        return "" if self.hidden else user.department

    def job_title(self, user: User) -> str:
        """The job title; nothing where so few of a department have it that it identifies them."""
        if self.hidden and (user.department, user.job_title) not in self._known.common:
            return ""
        return user.job_title

    def policy(self, policy: SamplingPolicy) -> str:
        """The sampling policy that drew a conversation: it may be of one department.

        Whose people were drawn before they came to a reviewer's department is not told.
        """
        departments = reviews_departments(self.reader)
        is_foreign = bool(departments) and policy.department not in ("", *departments)
        return "" if self.hidden or is_foreign else str(policy)

    def load(self, rows: Iterable[Conversation | Snapshot]) -> None:
        """Look up at once which accounts the end users of these rows are.

        No query for rows that `fit_column` stood beside, as their `fit`.
        """
        rows = list(rows)
        for row in rows:
            if hasattr(row, "fit"):
                self._fits[row.owner_id, row.end_user] = Fit(*row.fit) if row.fit else None
        self.load_end_users((row.owner_id, row.end_user) for row in rows)

    def load_end_users(self, claims: Iterable[Claim]) -> None:
        """As `load`, by the owners' accounts and the names of end users."""
        unknown = {claim for claim in claims if claim[1]} - self._fits.keys()
        self.keep_fits(dict.fromkeys(unknown) | find_fits(unknown))

    def keep_fits(self, fits: Mapping[Claim, Fit | None]) -> None:
        """Keep which accounts end users are, where that was read beside something else."""
        self._fits |= fits

    def person(self, row: Conversation | Snapshot) -> str:
        """The person who asked: the end user for whom a shared key spoke, else the owner."""
        return self.end_user(row) or self.name(row.owner)

    def claim(self, row: Conversation | Snapshot) -> str:
        """Whose claim the end user's name is, in words; empty where the owner asked."""
        if not row.end_user:
            return ""
        words = _("claimed by %(owner)s") % {"owner": self.name(row.owner)}
        fit = self._fit(row.owner_id, row.end_user)
        if fit is None or self.hidden or fit.username == row.end_user:
            return words
        return f"{words}, " + _("account %(user)s") % {"user": fit.username}

    def end_user(self, row: Conversation | Snapshot) -> str:
        """The end user for whom a shared key spoke, as it named them; empty: none."""
        return self.name_end_user(row.owner_id, row.end_user)

    def name_end_user(self, account: int, name: str) -> str:
        """Name an end user of an account's shared key: one person has one alias."""
        if not self.hidden or not name:
            return name
        fit = self._fit(account, name)
        return alias(fit.pk) if fit else alias(name)

    def _fit(self, account: int, name: str) -> Fit | None:
        self.load_end_users([(account, name)])
        return self._fits[account, name]

    def clue(self, value: str | None) -> str:
        """What leads to a person without naming one: an address, a browser, a key, a session."""
        return "" if self.hidden else value or ""

    def request(self, body: Json) -> Json:
        return pseudonyms.masked(body, alias) if self.hidden else body

    def message(self, message: Json) -> Json:
        return pseudonyms.masked_message(message, alias) if self.hidden else message

    def event(self, event: AuditEvent) -> AuditEvent:
        """The event as this reader sees it: staff by name, since the trail is about their work."""
        if not self.hidden:
            return event
        detail = json.loads(event.detail)
        subject = int(event.subject) if event.kind == "user" and event.subject.isdecimal() else None
        if event.actor_id and event.actor_id not in self._staff:
            event.actor_name = alias(event.actor_id)
            event.address, event.user_agent = None, ""
        if subject and subject not in self._staff:
            event.subject = detail["name"] = alias(subject)
            if not event.actor_id:  # a failed sign-in
                event.address, event.user_agent = None, ""
        if event.kind in ("apikey", "approval", "othername"):
            detail.pop("name", None)
        for part in (detail, detail.get("content")):
            self._mask_owner(part)
        if event.actor_id != self.reader.pk and isinstance(chosen := detail.get("filter"), dict):
            detail["filter"] = {
                name: pseudonyms.HIDDEN if name in BY_NAME else value
                for name, value in chosen.items()
            }
        event.detail = json.dumps(detail)
        return event

    def _mask_owner(self, detail: Any) -> None:
        """Put the alias for the owner of a key, and take away the name of the key."""
        if not isinstance(detail, dict) or "owner_id" not in detail:
            return
        if detail["owner_id"] not in self._staff:
            detail["owner"] = alias(detail["owner_id"])
            detail.pop("name", None)
        del detail["owner_id"]

    def find_people(self, text: str, most: int) -> Found:
        """The people of the accounts of `find`, and end users whose own names begin so.

        One query, where an account is found and people have no aliases.
        """
        if hides_people(self.reader):
            return self._find_by_aliases(text, most)
        beginning = self._end_users().beginning(text)
        others = ArraySubquery(beginning.values_list(JSONArray("account", "name"))[:most])
        people = self._named(readable(self.reader, User.objects.all()), text)
        rows = list(
            people.annotate(known=group_column(), others=others).values_list(
                "known", "username", "others"
            )[:most]
        )
        if exact := [row for row in rows if row[1] == text]:
            return _put_together(exact, [])
        if not rows:
            return _put_together([], list(beginning.values_list("account", "name")[:most]))
        return _put_together(rows, rows[0][2] or [])

    def _find_by_aliases(self, text: str, most: int) -> Found:
        by_alias, others = self._begin_so(text)
        accounts = self._with_named(by_alias, text, most)
        if self.by_name:
            others |= set(self._end_users().beginning(text).values_list("account", "name")[:most])
        number = len(accounts) + len(others)
        return Found(accounts, sorted(others), number, User.objects.filter(pk__in=accounts))

    def _end_users(self) -> OtherNameQuerySet:
        accounts = readable(self.reader, User.objects.all())
        return OtherName.objects.end_users().filter(account__in=accounts)

    def find_person(self, name: str) -> Found | None:
        """The person of exactly this user name, external id or end user's name; or of this alias.

        None where there is none, or where the reader may not search by name.
        """
        people = readable(self.reader, User.objects.all())
        if name and self.by_name:
            named = people.filter(Q(username=name) | Q(external_id=name))
            first = named.order_by(self._is_exact(name).desc(), "pk")[:1]
            if (found := Found([], [], 1, first).look_up()).accounts:
                return found
            end_users = self._end_users().filter(name=name).values_list("account", "name")
            if claims := list(end_users):
                return Found([], claims, 1)
        if not name or not self.hidden:
            return None
        by_alias, _others = self._begin_so(name)
        whole = [each for each in by_alias if alias(each) == name]
        found = Found([], [], 1, User.objects.filter(pk__in=whole)).look_up()
        return found if found.accounts else None

    def group(self, **of_people: str) -> Found:
        """The people of the accounts that this reader may read and that are such ones."""
        return Found([], [], 0, readable(self.reader, User.objects.filter(**of_people)))

    def find(self, text: str, most: int) -> list[int]:
        """The accounts that this reader may read and whose name is `text`, or else begins so.

        Under aliases those whose alias begins so, and by name only while this reader may search by
        name.
        """
        return self._with_named(self._begin_so(text)[0], text, most)

    def _with_named(self, by_alias: list[int], text: str, most: int) -> list[int]:
        if not self.by_name:
            return by_alias[:most]
        people = readable(self.reader, User.objects.all())
        rows = self._named(people, text).values_list("id", "username")[:most]
        exact = [number for number, name in rows if name == text]
        return exact or list(dict.fromkeys([*by_alias, *(number for number, name in rows)]))[:most]

    def _named(self, people: QuerySet[User], text: str) -> QuerySet[User]:
        """Select people whose names begin so, the one of exactly that user name first."""
        begins_so = (
            Q(username__istartswith=text)
            | Q(first_name__istartswith=text)
            | Q(last_name__istartswith=text)
            | Q(email__istartswith=text)
        )
        found = people.filter(begins_so | Q(external_id=text))
        return found.order_by(self._is_exact(text).desc(), "username")

    def _is_exact(self, name: str) -> ExpressionWrapper:
        return ExpressionWrapper(Q(username=name), BooleanField())

    def _begin_so(self, text: str) -> tuple[list[int], set[Claim]]:
        """The accounts and the end users whose aliases begin so."""
        beginning = pseudonyms.folded(text)
        if not beginning or not hides_people(self.reader):
            return [], set()
        if not self.seeks:  # a page found out late that it seeks: the lists of all are read now
            self.seeks = True
            vars(self).pop("_known", None)
        known = self._known
        return (
            [account for account in known.accounts if alias(account).startswith(beginning)],
            {(owner, name) for owner, name in known.claims if alias(name).startswith(beginning)},
        )

    @cached_property
    def searches_until(self) -> datetime | None:
        if not hides_people(self.reader):
            return None
        return self._end_of_reveal(self._known.names_revealed)

    @property
    def by_name(self) -> bool:
        """Whether this reader may search by name, or by what identifies a person as well."""
        return not hides_people(self.reader) or self.searches_until is not None

    @property
    def may_reveal(self) -> bool:
        return hides_people(self.reader) and may(self.reader, "reveal_identity")

    @cached_property
    def _known(self) -> _Known:
        """What is revealed to this reader, and which job titles are common. One query."""
        since = timezone.now() - LASTS
        reveals = (
            AuditEvent.objects.by(self.reader)
            .doing(AuditEvent.Action.REVEAL)
            .filter(id__gte=make_id(since, first=True), at__gt=since)
        )
        one, names = (
            reveals.filter(subject=subject).newest_first().values("at")[:1]
            for subject in (str(self.about), "")
        )
        people = (
            User.objects.filter(is_active=True)
            .order_by()
            .values("department", "job_title")
            .annotate(people=Count("pk"))
            .filter(people__gte=FEWEST)
        )
        common = people.values_list(JSONObject(department="department", job_title="job_title"))
        assert self.reader.pk
        columns = [Subquery(one), Subquery(names), ArraySubquery(common)]
        if self.seeks:
            accounts = readable(self.reader, User.objects.all()).values("id")
            claims = self._end_users().values_list(JSONArray("account", "name"))
            columns += [ArraySubquery(accounts), ArraySubquery(claims)]
        row = User.objects.values_list(*columns).get(pk=self.reader.pk)
        pairs = {(pair["department"], pair["job_title"]) for pair in row[2]}
        return _Known(row[0], row[1], pairs, *row[3:])

    def _end_of_reveal(self, revealed: datetime | None) -> datetime | None:
        """When a reveal is over; None once its reader has lost the right."""
        return revealed + LASTS if revealed and self.may_reveal else None

    @cached_property
    def _staff(self) -> set[int]:
        return set(User.objects.filter(is_staff=True).values_list("id", flat=True))


def _put_together(rows: list[tuple[Any, ...]], others: Iterable[Any]) -> Found:
    """Put people, by what each of their accounts is known by, and other end users together."""
    groups = [row[0] for row in rows]
    people = {frozenset(accounts) for accounts, _names, _claims in groups}
    theirs = {(owner, name) for *_known, claims in groups for owner, name in claims}
    more = {(owner, name) for owner, name in others} - theirs
    accounts = sorted({account for each in people for account in each})
    return Found(accounts, sorted(theirs | more), len(people) + len(more))
