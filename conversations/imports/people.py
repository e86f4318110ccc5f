"""People from the company's directory: their accounts compared with a file, and changed by it.

Written down at once or not at all. A person is found by external id, user name or e-mail,
whichever the line has, in this order, and is in one line. Job title, department and external id
are set, the account is switched off or on, groups are replaced; names and addresses of accounts
that exist stay as they are. An empty cell changes nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Any, NamedTuple

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext as _

from ..models import AuditEvent, User
from ..people import audit
from .directory import KEYS, Person, UnreadableDirectory, read_people

FIELDS = ("external_id", "job_title", "department")  # that a line sets
NAMES = ("username", "email", "first_name", "last_name")  # that a new account has besides
NAMED = 5  # people of a message


class Status(StrEnum):
    CHANGED = "changed"
    SAME = "unchanged"
    NEW = "new"
    UNKNOWN = "without an account"
    AMBIGUOUS = "with several accounts"
    WRONG = "not valid"


class Options(NamedTuple):
    """What a file may do besides changing the accounts of its people."""

    create: bool = False  # accounts for people who have none
    deactivate: bool = False  # the accounts of people whom it does not have


AS_EVER = Options()


class PlanChanged(Exception):
    """The accounts are others than those that the shown changes were made from."""


@dataclass(slots=True)
class DirectoryLine:
    """A line of the file, and how it compares with the account of its person."""

    line: int  # 0: of an account that the file does not have
    value: str  # that names the person
    status: Status = Status.UNKNOWN
    user: User | None = None
    problem: str = ""
    groups: list[str] | None = None  # that the account is to have, where they change
    # By the account's fields, `active` and `groups`, those that change.
    old: dict[str, str] = field(default_factory=dict)
    new: dict[str, str] = field(default_factory=dict)

    @property
    def changes(self) -> list[tuple[str, str, str]]:
        """Field, before, after."""
        return [
            (name.replace("_", " "), self.old.get(name, ""), value)
            for name, value in self.new.items()
        ]


def read(
    data: bytes, options: Options = AS_EVER, actor: HttpRequest | str = ""
) -> list[DirectoryLine]:
    """Compare each line with the accounts, and change nothing. Raises UnreadableDirectory."""
    people, accounts = read_people(data, may_name_only=any(options)), _Accounts()
    own = getattr(getattr(actor, "user", None), "pk", None)
    lines = [_compare(person, accounts, options, own) for person in people]
    _refuse_doubles(zip(people, lines, strict=True))
    if options.deactivate and people:  # a file of no people is a mistake
        meant = {user.pk for person in people for user in accounts.find(person)}
        lines += _find_gone(accounts, meant, own)
    return lines


def write(
    data: bytes, actor: HttpRequest | str, options: Options = AS_EVER, plan: str = ""
) -> list[DirectoryLine]:
    """Compare, and change the accounts, with events on the audit trail; all or nothing.

    `actor` is a request or the name of a command; `plan` what `fingerprint` said of the lines that
    were shown. Raises UnreadableDirectory, PlanChanged.
    """
    with transaction.atomic():
        lines = read(data, options, actor)
        if plan and plan != fingerprint(lines):
            raise PlanChanged
        groups = {group.name: group for group in Group.objects.all()}
        changed = [line for line in lines if line.status in (Status.CHANGED, Status.NEW)]
        for line in changed:
            _apply(line, groups, actor)
        audit.record(
            actor,
            AuditEvent.Action.CHANGED,
            of="job titles and departments",
            file=sha256(data).hexdigest(),
            users=sorted(line.user.pk for line in changed if line.user),
        )
    return lines


def fingerprint(lines: Iterable[DirectoryLine]) -> str:
    """Tell lines that change the same from others."""
    told = [
        (line.line, line.value, line.status, line.user and line.user.pk, line.changes)
        for line in lines
    ]
    return sha256(repr(told).encode()).hexdigest()


def counted(lines: list[DirectoryLine]) -> dict[str, int]:
    """How many lines there are of each status that occurs."""
    counts = {str(status): sum(line.status == status for line in lines) for status in Status}
    return {status: count for status, count in counts.items() if count}


# Comparing ------------------------------------------------------------------------------------


class _Accounts:
    """All accounts, by what finds them."""

    def __init__(self) -> None:
        flags = ("is_active", "is_staff", "is_service", "is_superuser")
        users = User.objects.only(*NAMES, *FIELDS, *flags)
        self.all = list(users.prefetch_related("groups"))
        self.by: dict[str, dict[str, list[User]]] = {key: {} for key in KEYS}
        for user in self.all:
            for key in KEYS:
                if value := getattr(user, key):
                    self.by[key].setdefault(_fold(key, value), []).append(user)
        self.groups = set(Group.objects.values_list("name", flat=True))

    def find(self, person: Person) -> list[User]:
        """The accounts that the person may have: of the first key, if the others fit."""
        found = [users for key in KEYS if (users := self._find_by(key, person.cells.get(key, "")))]
        if not found:
            return []
        others = [user for users in found[1:] if found[0][0] not in users for user in users]
        return [*found[0], *others]

    def _find_by(self, key: str, value: str) -> list[User]:
        users = self.by[key].get(_fold(key, value), [])
        if key == "username" and not users:  # the user names of some directories are addresses
            users = self.by["email"].get(_fold("email", value), [])
        exact = [user for user in users if getattr(user, key) == value]
        return exact if len(exact) == 1 else users


def _compare(
    person: Person, accounts: _Accounts, options: Options, own: int | None
) -> DirectoryLine:
    line = DirectoryLine(person.line, next(filter(None, map(person.cells.get, KEYS)), ""))
    users = accounts.find(person)
    line.problem = person.problem or _find_problem(person, accounts)
    if line.problem:
        line.status = Status.WRONG
    elif len(users) > 1:
        line.status = Status.AMBIGUOUS
    elif users:
        [line.user] = users
        _compare_account(line, person, own)
    elif options.create:
        _plan_account(line, person)
    return line


def _find_problem(person: Person, accounts: _Accounts) -> str:
    for name in (*FIELDS, *NAMES):
        most: int = User._meta.get_field(name).max_length  # type: ignore[assignment,union-attr]
        if len(person.cells.get(name, "")) > most:
            text = _("Its %(field)s is longer than %(most)d characters.")
            return text % {"field": name.replace("_", " "), "most": most}
    if unknown := set(person.groups or []) - accounts.groups:
        return _("There is no group “%(name)s”.") % {"name": min(unknown)[:50]}
    return ""


def _compare_account(line: DirectoryLine, person: Person, own: int | None) -> None:
    user = line.user
    assert user
    was = {name: getattr(user, name) for name in FIELDS} | _describe_rights(user)
    wanted = {name: person.cells[name] for name in FIELDS if name in person.cells}
    if person.active is not None:
        wanted["active"] = _yes(is_yes=person.active)
    if person.groups is not None:
        wanted["groups"] = ", ".join(person.groups)
    line.new = {name: value for name, value in wanted.items() if was[name] != value}
    line.old = {name: was[name] for name in line.new}
    line.groups = person.groups if "groups" in line.new else None
    line.status = Status.CHANGED if line.new else Status.SAME
    if was["external_id"] and "external_id" in line.new:
        line.problem = _("Its account has another external id.")
    elif user.pk == own and line.new.keys() & {"active", "groups"}:
        line.problem = _("It is your own account: another person changes its rights.")
    if line.problem:
        line.status, line.groups = Status.WRONG, None
        line.new = {}


def _plan_account(line: DirectoryLine, person: Person) -> None:
    """An account for a person who has none: without a password, and active unless the line says."""
    cells = person.cells
    name = cells.get("username") or cells.get("email", "")
    wanted = {field: cells[field] for field in (*NAMES, *FIELDS) if field in cells}
    line.new = {"username": name} | wanted
    line.new["active"] = _yes(is_yes=person.active is not False)
    if person.groups:
        line.new["groups"], line.groups = ", ".join(person.groups), person.groups
    line.status = Status.NEW
    try:
        _make_user(line).clean_fields(exclude=["password"])
    except ValidationError as problem:
        line.status, line.problem = Status.WRONG, " ".join(problem.messages)
        line.new = {}


def _find_gone(accounts: _Accounts, found: set[int], own: int | None) -> Iterator[DirectoryLine]:
    """The accounts that are switched off, as the file does not have their people."""
    for user in accounts.all:
        is_person = user.is_active and not user.is_service and not user.is_superuser
        if is_person and user.pk not in found and user.pk != own:
            line = DirectoryLine(0, user.username, Status.CHANGED, user)
            line.old, line.new = {"active": _yes(is_yes=True)}, {"active": _yes(is_yes=False)}
            yield line


def _refuse_doubles(pairs: Iterable[tuple[Person, DirectoryLine]]) -> None:
    """Raise UnreadableDirectory where a person, with an account or without, is in two lines."""
    seen: dict[Any, int] = {}
    doubles = []
    for person, line in pairs:
        names = {(key, _fold(key, person.cells[key])) for key in KEYS if key in person.cells}
        for name in {("user", line.user.pk)} if line.user else names:
            first = seen.setdefault(name, line.line)
            if first != line.line:
                doubles.append(f"{line.value[:50]} ({first}, {line.line})")
                break
    if doubles:
        text = _("A person is in several lines: %(people)s. Nothing was changed.")
        more = " …" if len(doubles) > NAMED else ""
        raise UnreadableDirectory(text % {"people": ", ".join(doubles[:NAMED]) + more})


def _fold(key: str, value: str) -> str:
    return value if key == "external_id" else value.casefold()


def _describe_rights(user: User) -> dict[str, str]:
    groups = sorted(group.name for group in user.groups.all())
    return {"active": _yes(is_yes=user.is_active), "groups": ", ".join(groups)}


def _yes(*, is_yes: bool) -> str:
    return "yes" if is_yes else "no"


# Changing -------------------------------------------------------------------------------------


def _make_user(line: DirectoryLine) -> User:
    fields = {name: line.new[name] for name in (*NAMES, *FIELDS) if name in line.new}
    return User(**fields, is_active=line.new["active"] == _yes(is_yes=True))


def _apply(line: DirectoryLine, groups: dict[str, Group], actor: HttpRequest | str) -> None:
    """Change or make the account, with an event of its own where it gets or loses rights."""
    is_new, rights = line.status == Status.NEW, _describe_rights_changed(line)
    user = _make_user(line) if is_new else line.user
    assert user
    if is_new:
        user.set_unusable_password()
    for name in FIELDS:
        if name in line.new:
            setattr(user, name, line.new[name])
    if "active" in line.new:
        user.is_active = line.new["active"] == _yes(is_yes=True)
    if line.groups is not None:
        user.is_staff = bool(line.groups) or user.is_superuser  # who has a group comes to the desk
    user.save()
    if line.groups is not None:
        user.groups.set([groups[name] for name in line.groups])
    line.user = user
    if is_new or rights:
        action = AuditEvent.Action.ADDED if is_new else AuditEvent.Action.CHANGED
        what = [{"rights": rights}]
        audit.record(actor, action, user, name=user.username, what=what, by="an import of people")


def _describe_rights_changed(line: DirectoryLine) -> dict[str, dict[str, Any]]:
    """Write each right that changes with its old and new value, as the pages of accounts do."""
    rights: dict[str, dict[str, Any]] = {}
    if "active" in line.new:
        was, new = (values.get("active", "no") == "yes" for values in (line.old, line.new))
        rights["is_active"] = {"was": was, "is": new}
    if line.groups is not None:
        before = [group.name for group in line.user.groups.all()] if line.user else []
        rights["groups"] = {"was": sorted(before), "is": line.groups}
    return rights
