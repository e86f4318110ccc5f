"""The usage report: who spent how much on what in a stretch of days, and in the stretch before it; and what models said it was worth.

From the roll-ups alone. Days are UTC's, as theirs are. Figures by person need a right of their own, and so does what was assessed of few people;
without them no figure is of fewer than FEWEST.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property, reduce
from operator import add
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db import connection

from ..ids import make_id
from ..models import Conversation, User
from ..people.identity import FEWEST, Names

LONGEST = 92  # days that are counted one by one; longer stretches, by seven
MOST = 3660  # days
LISTED = 15  # rows of a panel; the rest are added up
SERIES = 7  # of the history, besides the rest
REST, SMALLER, NONE = "All others", "Smaller groups", "Not known"

BUCKET = "%(since)s::date + (day - %(since)s::date) / %(step)s * %(step)s"
OF = "(%(owner)s::bigint IS NULL OR owner_id = %(owner)s)"
USED = f"FROM conversations_usage WHERE day BETWEEN %(since)s AND %(until)s AND {OF}"
SUMS = "sum(calls)::bigint, sum(failures)::bigint, sum(prompt_tokens)::bigint, sum(completion_tokens)::bigint, sum(cost)"
TOTALS = f"""
    SELECT false, owner_id, model, {BUCKET} AS bucket, {SUMS} {USED} GROUP BY GROUPING SETS ((owner_id), (model), (bucket))
    UNION ALL SELECT true, owner_id, NULL, NULL, {SUMS} FROM conversations_usage WHERE day >= %(first)s AND day < %(since)s AND {OF} GROUP BY owner_id"""
HISTORY = f"SELECT {BUCKET} AS bucket, owner_id, sum(calls)::bigint {USED} AND owner_id = ANY(%(owners)s) GROUP BY bucket, owner_id"
HISTORY_OF_GROUPS = f"""
    SELECT bucket, department, sum(calls)::bigint
    FROM (SELECT {BUCKET} AS bucket, owner_id, sum(calls) AS calls {USED} GROUP BY bucket, owner_id) used JOIN conversations_user u ON u.id = owner_id
    GROUP BY bucket, department"""
# Of a conversation that was assessed again in these days, the last.
ASSESSED = """
    SELECT owner_id, count(*), count(*) FILTER (WHERE work_related), sum(satisfaction_score), sum(user_seconds_saved), sum(assistant_seconds_saved),
        sum(assistant_seconds_saved / 3600 * assistant_wage)
    FROM (SELECT DISTINCT ON (conversation_id) owner_id, work_related, satisfaction_score, user_seconds_saved, assistant_seconds_saved, assistant_wage
          FROM conversations_assessment WHERE call_id >= %(first_id)s AND call_id < %(end_id)s ORDER BY conversation_id, call_id DESC) newest
    GROUP BY owner_id"""


@dataclass(frozen=True)
class Period:
    since: date
    until: date  # the last of them

    def __post_init__(self) -> None:
        """Raises ValueError, fit to show."""
        if not date(2000, 1, 1) <= self.since <= self.until <= date(2999, 12, 31):
            raise ValueError("These are no days, one after the other, of this millennium.")
        if self.count > MOST:
            raise ValueError(f"More than {MOST} days.")

    @property
    def count(self) -> int:
        return (self.until - self.since).days + 1

    @property
    def before(self) -> date:
        """The first of as many days just before."""
        return self.since - timedelta(days=self.count)

    @property
    def step(self) -> int:
        """Days in one bucket."""
        return 1 if self.count <= LONGEST else 7

    @property
    def buckets(self) -> list[date]:
        """The first day of each."""
        return [self.since + timedelta(days=n) for n in range(0, self.count, self.step)]


@dataclass(frozen=True)
class Figures:
    calls: int = 0
    failures: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: Decimal = Decimal(0)

    def __add__(self, other: "Figures") -> "Figures":
        return Figures(*(getattr(self, name) + getattr(other, name) for name in NAMES))

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def size(self) -> tuple[float, ...]:
        return self.tokens, self.calls


NAMES = tuple(Figures.__dataclass_fields__)


@dataclass(frozen=True)
class Assessed:
    """What a model said of some conversations, added up."""

    conversations: int = 0
    work_related: int = 0
    satisfaction: float = 0  # points of ten, added up
    seconds: float = 0  # saved for those who asked
    assistant_seconds: float = 0  # of people who could have done it
    worth: float = 0  # US dollars, at their wages

    def __add__(self, other: "Assessed") -> "Assessed":
        return Assessed(*map(add, astuple(self), astuple(other)))

    @property
    def percent(self) -> float:
        """Of them, work-related."""
        return 100 * self.work_related / self.conversations

    @property
    def mean(self) -> float:
        """Satisfaction, of ten."""
        return self.satisfaction / self.conversations

    @property
    def size(self) -> tuple[float, ...]:
        return self.conversations, self.seconds


Sums = TypeVar("Sums", bound=Figures | Assessed)


@dataclass(frozen=True)
class ReportRow(Generic[Sums]):
    name: str
    figures: Sums
    people: int | None = None


class Report:
    """With an `owner`: of that person's own calls, and nothing that was assessed. `by_person`, `titles` and `assessments` say what its reader may see,
    and `names` how people are named to them."""

    def __init__(
        self,
        days: Period,
        *,
        owner: int | None = None,
        by_person: bool = False,
        titles: bool = False,
        assessments: bool = False,
        names: Names | None = None,
    ):
        self.days, self.owner, self.by_person, self.titles = (
            days,
            owner,
            by_person or owner is not None,
            titles or owner is not None,
        )
        self.assessments, self.names = assessments, names

    # What was spent -------------------------------------------------------------------------------------------------

    @cached_property
    def _sums(self) -> dict[tuple[bool, str], dict]:
        """(before, what by) → its figures."""
        found: dict[tuple[bool, str], dict] = defaultdict(dict)
        for before, owner, model, bucket, *sums in self._rows(TOTALS):
            by, key = (
                ("owner", owner)
                if owner is not None
                else ("model", model)
                if model is not None
                else ("bucket", bucket)
            )
            found[before, by][key] = Figures(*sums)
        return found

    @cached_property
    def total(self) -> Figures:
        return total(self._sums[False, "owner"].values())

    @cached_property
    def total_before(self) -> Figures:
        return total(self._sums[True, "owner"].values())

    @property
    def people(self) -> int:
        return len(self._sums[False, "owner"])

    @property
    def people_before(self) -> int:
        return len(self._sums[True, "owner"])

    @property
    def buckets(self) -> list[tuple[date, Figures]]:
        used = self._sums[False, "bucket"]
        return [(bucket, used.get(bucket, Figures())) for bucket in self.days.buckets]

    @property
    def models(self) -> list[ReportRow[Figures]]:
        return largest(
            ReportRow(model, figures) for model, figures in self._sums[False, "model"].items()
        )

    @property
    def persons(self) -> list[ReportRow[Figures]]:
        """Nothing where its reader may not see people."""
        return (
            largest(
                ReportRow(self._people[id][0], figures)
                for id, figures in self._sums[False, "owner"].items()
            )
            if self.by_person
            else []
        )

    @property
    def departments(self) -> list[ReportRow[Figures]]:
        return largest(self._grouped(1, self._sums[False, "owner"], self.fewest))

    @property
    def job_titles(self) -> list[ReportRow[Figures]]:
        return largest(self._grouped(2, self._sums[False, "owner"], self.fewest))

    @cached_property
    def conversations(self) -> list[ReportRow[Figures]]:
        """Those begun in these days that took the most tokens; nothing where its reader may not see titles and people."""
        if not (self.titles and self.by_person):
            return []
        found = Conversation.objects.filter(
            id__gte=first_id(self.days.since), id__lt=first_id(self.days.until + timedelta(days=1))
        )
        found = found.filter(owner=self.owner) if self.owner else found
        rows = found.only("title", "turns", "prompt_tokens", "completion_tokens", "cost").costliest(
            LISTED
        )
        return [
            ReportRow(
                row.title or "Untitled",
                Figures(row.turns, 0, row.prompt_tokens, row.completion_tokens, row.cost),
            )
            for row in rows
        ]

    @cached_property
    def history(self) -> list[tuple[str, list[int]]]:
        """Calls by bucket: of each of the people, or groups, who made most, and last of all others."""
        if self.by_person:
            most = sorted(self._sums[False, "owner"].items(), key=lambda item: -item[1].calls)[
                :SERIES
            ]
            names: Mapping[Hashable, str] = {id: self._people[id][0] for id, _ in most}
            rows = self._rows(HISTORY, owners=[id for id, _ in most])
        else:
            names, rows = (
                self._group_of(1, self._sums[False, "owner"], self.fewest),
                self._rows(HISTORY_OF_GROUPS),
            )
        lines: dict[str, dict[date, int]] = defaultdict(lambda: defaultdict(int))
        for bucket, key, calls in rows:
            if key in names:
                lines[names[key]][bucket] += calls
        first = sorted(lines, key=lambda name: -sum(lines[name].values()))[:SERIES]
        series = [(name, [lines[name][bucket] for bucket in self.days.buckets]) for name in first]
        rest = [
            figures.calls - sum(calls[n] for _, calls in series)
            for n, (_, figures) in enumerate(self.buckets)
        ]
        return [*series, (REST, rest)] if any(rest) else series

    @property
    def fewest(self) -> int:
        """People in a department or with a job title that is shown: by a smaller one its reader could tell who they are."""
        return 1 if self.by_person and not self._hidden else FEWEST

    @property
    def _hidden(self) -> bool:
        return bool(self.names and self.names.hidden)

    # What models said -----------------------------------------------------------------------------------------------

    @property
    def assessed(self) -> Assessed | None:
        """Nothing where its reader could tell who they are."""
        by_owner = self._assessed
        return (
            reduce(add, by_owner.values())
            if by_owner and len(by_owner) >= self.fewest_assessed
            else None
        )

    @property
    def people_assessed(self) -> int:
        return len(self._assessed)

    @property
    def assessed_departments(self) -> list[ReportRow[Assessed]]:
        return largest(self._grouped(1, self._assessed, self.fewest_assessed))

    @property
    def assessed_persons(self) -> list[ReportRow[Assessed]]:
        """Nothing where its reader may not see people, or assessments of one."""
        shown = self.by_person and self.assessments
        return (
            largest(
                ReportRow(self._people[id][0], assessed) for id, assessed in self._assessed.items()
            )
            if shown
            else []
        )

    @property
    def fewest_assessed(self) -> int:
        return 1 if self.assessments and not self._hidden else FEWEST

    @cached_property
    def _assessed(self) -> dict[int, Assessed]:
        """By owner."""
        ids = {
            "first_id": first_id(self.days.since),
            "end_id": first_id(self.days.until + timedelta(days=1)),
        }
        return (
            {}
            if self.owner
            else {owner: Assessed(*sums) for owner, *sums in self._rows(ASSESSED, **ids)}
        )

    # Who -----------------------------------------------------------------------------------------------------------

    @cached_property
    def _people(self) -> dict[int, tuple[str, str, str]]:
        """Name, department and job title."""
        found = User.objects.filter(
            id__in=self._sums[False, "owner"].keys() | self._assessed.keys()
        ).only("username", "department", "job_title")
        return {
            user.pk: (
                self.names.name(user) if self.names else user.username,
                user.department,
                user.job_title,
            )
            for user in found
        }

    def _group_of(self, field: int, people: Iterable[int], fewest: int) -> dict[Hashable, str]:
        """What each department or job title of theirs is shown as."""
        sizes: dict[str, int] = defaultdict(int)
        for id in people:
            sizes[self._people[id][field]] += 1
        return merged(sizes, fewest)

    def _grouped(
        self, field: int, by_owner: Mapping[int, Sums], fewest: int
    ) -> list[ReportRow[Sums]]:
        shown = self._group_of(field, by_owner, fewest)
        found: dict[str, list[Sums]] = defaultdict(list)
        for id, figures in by_owner.items():
            if name := shown.get(self._people[id][field]):
                found[name].append(figures)
        return [ReportRow(name, reduce(add, each), len(each)) for name, each in found.items()]

    def _rows(self, sql: str, **more: Any) -> list[tuple]:
        days = self.days
        values: dict[str, Any] = {
            "first": days.before,
            "since": days.since,
            "until": days.until,
            "step": days.step,
            "owner": self.owner,
        }
        with connection.cursor() as cursor:
            cursor.execute(sql, values | more)
            return cursor.fetchall()


def first_id(day: date) -> UUID:
    return make_id(datetime.combine(day, time.min, UTC), first=True)


def total(figures: Iterable[Figures]) -> Figures:
    return sum(figures, Figures())


def largest(rows: Iterable[ReportRow[Sums]]) -> list[ReportRow[Sums]]:
    """By tokens, then calls, or by conversations; what is past the list in one row."""
    ordered = sorted(rows, key=lambda row: (*(-part for part in row.figures.size), row.name))
    rest = ordered[LISTED:]
    if not rest:
        return ordered
    people = None if rest[0].people is None else sum(row.people or 0 for row in rest)
    return [
        *ordered[:LISTED],
        ReportRow(f"{REST} ({len(rest)})", reduce(add, (row.figures for row in rest)), people),
    ]


def merged(sizes: dict[str, int], fewest: int) -> dict[Hashable, str]:
    """What each group is shown as, so that nothing shown is of fewer people: too small ones together, with the next larger where they are
    still too few. Empty where all together are."""
    small: list[str] = []
    for name in sorted(sizes, key=lambda name: (sizes[name], name)):
        together = sum(sizes[each] for each in small)
        if sizes[name] >= fewest and (not small or together >= fewest):
            break
        small.append(name)
    if small and sum(sizes[name] for name in small) < fewest:
        return {}
    return {name: SMALLER if name in small else name or NONE for name in sizes}
