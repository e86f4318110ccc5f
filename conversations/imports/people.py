"""Job titles and departments from the company's directory.

A CSV is compared with the accounts, then written down at once or not at all. A person is found by
external id, user name or e-mail, whichever the file has, in this order. An empty cell changes
nothing.
"""

import csv
import io
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext as _

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


class Status(StrEnum):
    CHANGED = "changed"
    SAME = "unchanged"
    UNKNOWN = "without an account"
    AMBIGUOUS = "with several accounts"
    WRONG = "not valid"


class UnreadableDirectory(Exception):
    """Not a file that can be compared; the text is fit to show."""


@dataclass(slots=True)
class DirectoryLine:
    """A line of the file, and how it compares with the account of its person."""

    line: int
    key: str  # of KEYS
    value: str  # under that key
    new: dict[str, str]
    status: Status = Status.UNKNOWN
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


def read(data: bytes) -> list[DirectoryLine]:
    """Compare each line with the accounts, and change nothing. Raises UnreadableDirectory."""
    rows = csv.reader(
        io.StringIO(_decode(data), newline=""), delimiter=_delimiter_of(data), strict=True
    )
    try:
        columns = _find_columns(next(rows, []))
        lines = [
            _read_line(number, row, columns)
            for number, row in enumerate(rows, 2)
            if any(cell.strip() for cell in row)
        ]
    except csv.Error as problem:
        raise UnreadableDirectory(
            _("Line %(number)d is not valid CSV: %(problem)s.")
            % {"number": rows.line_num, "problem": problem}
        ) from None
    accounts = {name: _accounts_by(name) for name in KEYS if name in columns}
    for line in lines:
        _compare(line, accounts)
    return lines


def write(data: bytes, actor: HttpRequest | str) -> list[DirectoryLine]:
    """Compare, and change the accounts, with one event on the audit trail; all or nothing.

    `actor` is a request or the name of a command. Raises UnreadableDirectory.
    """
    with transaction.atomic():
        lines = read(data)
        changed: dict[int, User] = {}
        for line in lines:
            if line.user and line.status == Status.CHANGED:
                user = changed.setdefault(line.user.pk, line.user)
                for name, value in line.new.items():
                    setattr(user, name, value)
        User.objects.bulk_update(changed.values(), list(FIELDS), batch_size=1000)
        audit.record(
            actor,
            AuditEvent.Action.CHANGED,
            of="job titles and departments",
            file=sha256(data).hexdigest(),
            users=sorted(changed),
        )
    return lines


def counted(lines: list[DirectoryLine]) -> dict[str, int]:
    """How many lines there are of each status that occurs."""
    counts = {str(status): sum(line.status == status for line in lines) for status in Status}
    return {status: count for status, count in counts.items() if count}


# The file -------------------------------------------------------------------------------------


def _decode(data: bytes) -> str:
    if len(data) > LARGEST:
        raise UnreadableDirectory(
            _("The file is larger than %(most)d MB.") % {"most": LARGEST >> 20}
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableDirectory(
            _("The file is not UTF-8. In a spreadsheet, save it as “CSV UTF-8”.")
        ) from None
    if "\0" in text:
        raise UnreadableDirectory(_("The file is not text."))
    return text


def _delimiter_of(data: bytes) -> str:
    """Comma, semicolon or tab: the one that the first line has most of."""
    first = data.split(b"\n", 1)[0]
    return max(",;\t", key=lambda mark: first.count(mark.encode()))


def _find_columns(heads: list[str]) -> dict[str, int]:
    """Field → its column."""
    heads = [" ".join(head.lower().replace("_", " ").replace("-", " ").split()) for head in heads]
    columns = {
        name: heads.index(alias)
        for name, aliases in (KEYS | FIELDS).items()
        for alias in reversed(aliases)
        if alias in heads
    }
    if not columns.keys() & KEYS.keys():
        raise UnreadableDirectory(
            _(
                "The first line has no column that identifies people:"
                " external id, user name or e-mail."
            )
        )
    if not columns.keys() & FIELDS.keys():
        raise UnreadableDirectory(_("The first line has neither a job title nor a department."))
    return columns


def _read_line(number: int, row: list[str], columns: dict[str, int]) -> DirectoryLine:
    cells = {
        name: row[column].strip() if column < len(row) else "" for name, column in columns.items()
    }
    key = next((name for name in KEYS if cells.get(name)), "")
    new = {name: cells[name] for name in FIELDS if cells.get(name)}
    line = DirectoryLine(number, key, cells.get(key, ""), new)
    if not key or any(len(value) > _longest(name) for name, value in new.items()):
        line.status = Status.WRONG
    return line


def _longest(field_name: str) -> int:
    return User._meta.get_field(field_name).max_length  # type: ignore[return-value,union-attr]


# The accounts ---------------------------------------------------------------------------------


def _accounts_by(key: str) -> dict[str, list[User]]:
    accounts: dict[str, list[User]] = {}
    users = User.objects.exclude(**{key: ""}).only("username", "external_id", "email", *FIELDS)
    for user in users:
        accounts.setdefault(_fold(key, getattr(user, key)), []).append(user)
    return accounts


def _compare(line: DirectoryLine, accounts: dict[str, dict[str, list[User]]]) -> None:
    if line.status == Status.WRONG:
        return
    users = accounts[line.key].get(_fold(line.key, line.value), [])
    if len(users) != 1:
        line.status = Status.AMBIGUOUS if users else Status.UNKNOWN
        return
    [line.user] = users
    line.old = {name: getattr(line.user, name) for name in line.new}
    line.status = Status.CHANGED if line.changes else Status.SAME


def _fold(key: str, value: str) -> str:
    return value.lower() if key == "email" else value
