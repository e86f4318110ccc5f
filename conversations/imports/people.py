"""Job titles and departments from the company's directory: a CSV, compared with the accounts, then written down at once or not at all.

A person is found by external id, user name or e-mail, whichever the file has, in this order. An empty cell changes nothing.
"""

import csv
import io
from dataclasses import dataclass, field
from hashlib import sha256

from django.db import transaction

from ..models import AuditEvent, User
from ..people import audit

LARGEST = 5 << 20  # bytes
KEYS = {
    "external_id": ("external id", "employee id", "personnel number", "id"),
    "username": ("username", "user name", "user", "login"),
    "email": ("email", "e mail", "mail"),
}
FIELDS = {
    "job_title": ("job title", "title", "position"),
    "department": ("department", "dept", "division"),
}
CHANGED, SAME, UNKNOWN, AMBIGUOUS, WRONG = (
    "changed",
    "as it was",
    "unknown",
    "several accounts",
    "wrong",
)


class UnreadableDirectory(Exception):
    """Not a file that can be compared; the text is fit to show."""


@dataclass(slots=True)
class Entry:
    """A line of the file, and what it comes to."""

    line: int
    by: str  # which of KEYS
    who: str
    new: dict[str, str]
    status: str = UNKNOWN
    user: User | None = None
    old: dict[str, str] = field(default_factory=dict)

    @property
    def changes(self) -> list[tuple[str, str, str]]:
        """Field, before, after."""
        return [
            (name.replace("_", " "), self.old[name], value)
            for name, value in self.new.items()
            if self.old and self.old[name] != value
        ]


def read(data: bytes) -> list[Entry]:
    """Each line, compared with the accounts; nothing is changed. Raises Unreadable."""
    rows = csv.reader(
        io.StringIO(decoded(data), newline=""), delimiter=delimiter(data), strict=True
    )
    try:
        columns = named(next(rows, []))
        entries = [
            entry(number, row, columns)
            for number, row in enumerate(rows, 2)
            if any(cell.strip() for cell in row)
        ]
    except csv.Error as problem:
        raise UnreadableDirectory(f"Line {rows.line_num} is no line of a CSV: {problem}.") from None
    accounts = {name: by(name) for name in KEYS if name in columns}
    for each in entries:
        compare(each, accounts)
    return entries


def write(data: bytes, who) -> list[Entry]:
    """Compares, and changes the accounts, with one event on the audit trail; all or nothing. Raises Unreadable."""
    with transaction.atomic():
        entries = read(data)
        changed = {
            each.user.pk: each.user for each in entries if each.user and each.status == CHANGED
        }
        for each in entries:
            if each.user and each.status == CHANGED:
                for name, value in each.new.items():
                    setattr(changed[each.user.pk], name, value)
        User.objects.bulk_update(changed.values(), list(FIELDS), batch_size=1000)
        audit.record(
            who,
            AuditEvent.Action.CHANGED,
            of="job titles and departments",
            file=sha256(data).hexdigest(),
            users=sorted(changed),
        )
    return entries


def counted(entries: list[Entry]) -> dict[str, int]:
    return {
        status: count
        for status in (CHANGED, SAME, UNKNOWN, AMBIGUOUS, WRONG)
        if (count := sum(each.status == status for each in entries))
    }


# The file -------------------------------------------------------------------------------------


def decoded(data: bytes) -> str:
    if len(data) > LARGEST:
        raise UnreadableDirectory(f"The file is larger than {LARGEST >> 20} MB.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableDirectory(
            "The file is not UTF-8. From a spreadsheet, save it as “CSV UTF-8”."
        ) from None
    if "\0" in text:
        raise UnreadableDirectory("The file is not text.")
    return text


def delimiter(data: bytes) -> str:
    """Comma, semicolon or tab: what the first line has most of."""
    first = data.split(b"\n", 1)[0]
    return max(",;\t", key=lambda mark: first.count(mark.encode()))


def named(heads: list[str]) -> dict[str, int]:
    """Field → its column."""
    said = [" ".join(head.lower().replace("_", " ").replace("-", " ").split()) for head in heads]
    columns = {
        name: said.index(alias)
        for name, aliases in (KEYS | FIELDS).items()
        for alias in reversed(aliases)
        if alias in said
    }
    if not columns.keys() & KEYS.keys():
        raise UnreadableDirectory(
            "The first line names no column by which people are known: external id, user name or e-mail."
        )
    if not columns.keys() & FIELDS.keys():
        raise UnreadableDirectory("The first line names neither a job title nor a department.")
    return columns


def entry(line: int, row: list[str], columns: dict[str, int]) -> Entry:
    cells = {
        name: row[column].strip() if column < len(row) else "" for name, column in columns.items()
    }
    who = next(((name, cells[name]) for name in KEYS if cells.get(name)), ("", ""))
    new = {name: cells[name] for name in FIELDS if cells.get(name)}
    made = Entry(line, *who, new)
    if not made.by or any(
        len(value) > User._meta.get_field(name).max_length  # type: ignore[operator,union-attr]
        for name, value in new.items()
    ):
        made.status = WRONG
    return made


# The accounts ---------------------------------------------------------------------------------


def by(name: str) -> dict[str, list[User]]:
    found: dict[str, list[User]] = {}
    for user in User.objects.exclude(**{name: ""}).only(
        "username", "external_id", "email", *FIELDS
    ):
        found.setdefault(folded(name, getattr(user, name)), []).append(user)
    return found


def compare(each: Entry, accounts: dict[str, dict[str, list[User]]]) -> None:
    if each.status == WRONG:
        return
    users = accounts[each.by].get(folded(each.by, each.who), [])
    if len(users) != 1:
        each.status = AMBIGUOUS if users else UNKNOWN
        return
    [each.user] = users
    each.old = {field: getattr(each.user, field) for field in each.new}
    each.status = CHANGED if each.changes else SAME


def folded(name: str, value: str) -> str:
    return value.lower() if name == "email" else value
