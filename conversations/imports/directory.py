"""A CSV of people, as directories and spreadsheets write it. Pure.

Its columns are known under the names that Entra ID, Active Directory, LDAP, Okta and Google
Workspace give them; of two columns for one thing the first in COLUMNS counts, and columns that are
not known are passed over. A cell that says nothing is empty, and one that cannot be understood is
an error of its line.
"""

import csv
import io
import re
from dataclasses import dataclass
from typing import NamedTuple

from django.utils.translation import gettext as _

LARGEST = 5 << 20  # bytes
MARKS = ",;\t|"  # between cells
# Names of columns, without case, spaces and signs.
COLUMNS = {
    "external_id": "externalid employeeid employeenumber personnelnumber id objectid"
    " objectguid entryuuid",
    "username": "username samaccountname login userlogin uid userid userprincipalname user",
    "email": "email mail emailaddress primaryemail workemail",
    "first_name": "firstname givenname",
    "last_name": "lastname surname sn familyname",
    "job_title": "jobtitle title position employeetitle",
    "department": "department dept departmentname division ou departmentnumber",
    "active": "active isactive enabled accountenabled status accountstatus useraccountcontrol",
    "groups": "groups gatewaygroups",
}
KEYS = ("external_id", "username", "email")
CHANGED = ("job_title", "department", "active", "groups")  # of accounts that exist
ACTIVE = set(
    "active enabled true yes 1 provisioned recovery passwordexpired lockedout".split()
)  # the last four are Okta's: such a person signs in, or did
INACTIVE = set(
    "inactive disabled false no 0 suspended archived deleted deactivated deprovisioned"
    " staged terminated".split()
)
DISABLED = 2  # a bit of Active Directory's userAccountControl
NO_GROUP = "none"  # a cell of groups that is empty changes nothing


class UnreadableDirectory(Exception):
    """Not a file of people; the text is fit to show."""


@dataclass(slots=True)
class Person:
    """A line of the file."""

    line: int
    cells: dict[str, str]  # of COLUMNS, those that say something
    active: bool | None = None
    groups: list[str] | None = None
    problem: str = ""


class _Column(NamedTuple):
    place: int
    head: str


def read_people(data: bytes, *, may_name_only: bool = False) -> list[Person]:
    """Read each line that says anything. Raises UnreadableDirectory.

    `may_name_only`: the file need not say more of people than who they are.
    """
    text = _decode(data)
    passed, mark = 0, ""
    first, rest = _split(text)
    if first.startswith("#TYPE "):  # PowerShell's
        passed, text = 1, rest
        first, rest = _split(text)
    if declared := re.fullmatch(r'"?sep=(.*?)"?', first, re.IGNORECASE | re.DOTALL):  # Excel's
        passed, text = passed + 1, rest
        mark = declared[1]
        if len(mark) != 1 or mark not in MARKS:
            raise UnreadableDirectory(_("Its first line names a separator that is not known."))
        first, rest = _split(text)
    mark = mark or max(MARKS, key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    try:
        columns = _find_columns(next(rows, []))
        if not (may_name_only or columns.keys() & set(CHANGED)):
            raise UnreadableDirectory(
                _(
                    "The first line has neither a job title nor a department,"
                    " nor who is active or in which groups."
                )
            )
        return [
            _read_person(number, row, columns)
            for number, row in enumerate(rows, passed + 2)
            if any(cell.strip() for cell in row)
        ]
    except csv.Error as problem:
        raise UnreadableDirectory(
            _("Line %(number)d is not valid CSV: %(problem)s.")
            % {"number": passed + rows.line_num, "problem": problem}
        ) from None


def _decode(data: bytes) -> str:
    if len(data) > LARGEST:
        raise UnreadableDirectory(
            _("The file is larger than %(most)d MB.") % {"most": LARGEST >> 20}
        )
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise UnreadableDirectory(
            _("The file is not UTF-8. In a spreadsheet, save it as “CSV UTF-8”.")
        ) from None
    if "\0" in text:
        raise UnreadableDirectory(_("The file is not text."))
    return text


def _split(text: str) -> tuple[str, str]:
    """The first line, without its end, and what is behind it."""
    line, *rest = text.split("\n", 1)
    return line.rstrip("\r"), "".join(rest)


def _find_columns(heads: list[str]) -> dict[str, _Column]:
    """Field → its column."""
    names = [_plain(re.sub(r"\[.*?\]", "", head)) for head in heads]  # Google's [Required]
    columns = {}
    for name, aliases in COLUMNS.items():
        if alias := next((alias for alias in aliases.split() if alias in names), ""):
            if names.count(alias) > 1:
                text = _("The first line names a column twice: %(head)s.")
                raise UnreadableDirectory(text % {"head": heads[names.index(alias)].strip()})
            columns[name] = _Column(names.index(alias), alias)
    if not columns.keys() & set(KEYS):
        raise UnreadableDirectory(
            _(
                "The first line has no column that identifies people:"
                " external id, user name or e-mail."
            )
        )
    return columns


def _plain(text: str) -> str:
    return re.sub(r"[\W_]", "", text).lower()


def _read_person(number: int, row: list[str], columns: dict[str, _Column]) -> Person:
    cells = {
        name: row[column.place].strip()
        for name, column in columns.items()
        if column.place < len(row) and row[column.place].strip()
    }
    person = Person(number, cells)
    if not cells.keys() & set(KEYS):
        person.problem = _("It names no person.")
    try:
        if "active" in cells:
            person.active = _read_state(cells["active"], columns["active"].head)
        if "groups" in cells:
            person.groups = _read_groups(cells["groups"])
    except ValueError as problem:
        person.problem = str(problem)
    return person


def _read_state(cell: str, head: str) -> bool:
    """Whether the account is active. Raises ValueError."""
    if head == "useraccountcontrol" and cell.isdecimal():
        return not int(cell) & DISABLED
    state = re.sub(r"[\s_]", "", cell).lower()
    if state in ACTIVE | INACTIVE and head != "useraccountcontrol":
        return state in ACTIVE
    raise ValueError(_("“%(cell)s” is neither active nor inactive.") % {"cell": cell[:50]})


def _read_groups(cell: str) -> list[str]:
    if cell.lower() == NO_GROUP:
        return []
    return sorted({name.strip() for name in re.split(r"[;|,\n]", cell) if name.strip()})
