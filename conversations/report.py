"""The usage report: who spent how much on what in a stretch of days, and in the stretch before it. From the roll-ups alone.

Days are UTC's, as the roll-up's are. Figures by person need a right of their own; without it no figure is of fewer than FEWEST people.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F

from .identity import FEWEST, Names
from .models import Conversation, User
from .record import uuid7

LONGEST = 92  # days that are counted one by one; longer stretches, by seven
MOST = 3660  # days
LISTED = 15  # rows of a panel; the rest are added up
SERIES = 7  # of the history, besides the rest
REST, SMALLER, NONE = "All others", "Smaller groups", "Not known"

USED = """
    WITH used AS (
        SELECT *, day < %(since)s AS before, %(since)s::date + (day - %(since)s::date) / %(step)s * %(step)s AS bucket
        FROM conversations_usage
        WHERE day BETWEEN %(first)s AND %(until)s AND (%(owner)s::bigint IS NULL OR owner_id = %(owner)s))"""
SUMS = "sum(calls)::bigint, sum(failures)::bigint, sum(prompt_tokens)::bigint, sum(completion_tokens)::bigint, sum(cost)"
TOTALS = f"{USED} SELECT before, owner_id, model, bucket, {SUMS} FROM used GROUP BY GROUPING SETS ((before, owner_id), (before, model), (before, bucket))"
HISTORY = f"{USED} SELECT bucket, owner_id, sum(calls)::bigint FROM used WHERE NOT before AND owner_id = ANY(%(owners)s) GROUP BY bucket, owner_id"
HISTORY_OF_GROUPS = f"{USED} SELECT bucket, department, sum(calls)::bigint FROM used JOIN conversations_user ON id = owner_id WHERE NOT before GROUP BY 1, 2"


@dataclass(frozen=True)
class Days:
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


NAMES = tuple(Figures.__dataclass_fields__)


@dataclass(frozen=True)
class Row:
    name: str
    figures: Figures
    people: int | None = None


class Report:
    """With an `owner`: of that person's own calls. `by_person` and `titles` say what its reader may see, and `names` how people are named to them."""

    def __init__(self, days: Days, *, owner: int | None = None, by_person: bool = False, titles: bool = False, names: Names | None = None):
        self.days, self.owner, self.by_person, self.titles = days, owner, by_person or owner is not None, titles or owner is not None
        self.names = names

    # What was spent -------------------------------------------------------------------------------------------------

    @cached_property
    def _sums(self) -> dict[tuple[bool, str], dict]:
        """(before, what by) → its figures."""
        found: dict[tuple[bool, str], dict] = defaultdict(dict)
        for before, owner, model, bucket, *sums in self._rows(TOTALS):
            by, key = ("owner", owner) if owner is not None else ("model", model) if model is not None else ("bucket", bucket)
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
    def models(self) -> list[Row]:
        return largest(Row(model, figures) for model, figures in self._sums[False, "model"].items())

    @property
    def persons(self) -> list[Row]:
        """Nothing where its reader may not see people."""
        return largest(Row(self._people[id][0], figures) for id, figures in self._sums[False, "owner"].items()) if self.by_person else []

    @property
    def departments(self) -> list[Row]:
        return largest(self._grouped(1))

    @property
    def job_titles(self) -> list[Row]:
        return largest(self._grouped(2))

    @cached_property
    def conversations(self) -> list[Row]:
        """Those begun in these days that took the most tokens; nothing where its reader may not see titles and people."""
        if not (self.titles and self.by_person):
            return []
        found = Conversation.objects.filter(id__gte=first_id(self.days.since), id__lt=first_id(self.days.until + timedelta(days=1)))
        found = found.filter(owner=self.owner) if self.owner else found
        found = (
            found.only("title", "turns", "prompt_tokens", "completion_tokens", "cost")
            .annotate(tokens=F("prompt_tokens") + F("completion_tokens"))
            .order_by("-tokens", "-id")[:LISTED]
        )
        return [Row(row.title or "Untitled", Figures(row.turns, 0, row.prompt_tokens, row.completion_tokens, row.cost)) for row in found]

    @cached_property
    def history(self) -> list[tuple[str, list[int]]]:
        """Calls by bucket: of each of the people, or groups, who made most, and last of all others."""
        if self.by_person:
            most = sorted(self._sums[False, "owner"].items(), key=lambda item: -item[1].calls)[:SERIES]
            names: Mapping[Hashable, str] = {id: self._people[id][0] for id, _ in most}
            rows = self._rows(HISTORY, owners=[id for id, _ in most])
        else:
            names, rows = self._group_of(1), self._rows(HISTORY_OF_GROUPS)
        lines: dict[str, dict[date, int]] = defaultdict(lambda: defaultdict(int))
        for bucket, key, calls in rows:
            if key in names:
                lines[names[key]][bucket] += calls
        first = sorted(lines, key=lambda name: -sum(lines[name].values()))[:SERIES]
        series = [(name, [lines[name][bucket] for bucket in self.days.buckets]) for name in first]
        rest = [figures.calls - sum(calls[n] for _, calls in series) for n, (_, figures) in enumerate(self.buckets)]
        return [*series, (REST, rest)] if any(rest) else series

    @property
    def fewest(self) -> int:
        """People in a department or with a job title that is shown: by a smaller one its reader could tell who they are."""
        return 1 if self.by_person and not (self.names and self.names.hidden) else FEWEST

    # Who -----------------------------------------------------------------------------------------------------------

    @cached_property
    def _people(self) -> dict[int, tuple[str, str, str]]:
        """Name, department and job title."""
        found = User.objects.filter(id__in=self._sums[False, "owner"]).only("username", "department", "job_title")
        return {user.pk: (self.names.name(user) if self.names else user.username, user.department, user.job_title) for user in found}

    def _group_of(self, field: int) -> dict[Hashable, str]:
        """What each department or job title is shown as."""
        sizes: dict[str, int] = defaultdict(int)
        for person in self._people.values():
            sizes[person[field]] += 1
        return merged(sizes, self.fewest)

    def _grouped(self, field: int) -> list[Row]:
        shown = self._group_of(field)
        rows: dict[str, Row] = {}
        for id, figures in self._sums[False, "owner"].items():
            if name := shown.get(self._people[id][field]):
                row = rows.get(name, Row(name, Figures(), 0))
                rows[name] = Row(name, row.figures + figures, (row.people or 0) + 1)
        return list(rows.values())

    def _rows(self, sql: str, **more: Any) -> list[tuple]:
        days = self.days
        values: dict[str, Any] = {"first": days.before, "since": days.since, "until": days.until, "step": days.step, "owner": self.owner}
        with connection.cursor() as cursor:
            cursor.execute(sql, values | more)
            return cursor.fetchall()


def first_id(day: date) -> UUID:
    return uuid7(datetime.combine(day, time.min, UTC), first=True)


def total(figures: Iterable[Figures]) -> Figures:
    return sum(figures, Figures())


def largest(rows: Iterable[Row]) -> list[Row]:
    """By tokens, then calls; what is past the list in one row."""
    ordered = sorted(rows, key=lambda row: (-row.figures.tokens, -row.figures.calls, row.name))
    rest = ordered[LISTED:]
    if not rest:
        return ordered
    people = None if rest[0].people is None else sum(row.people or 0 for row in rest)
    return [*ordered[:LISTED], Row(f"{REST} ({len(rest)})", total(row.figures for row in rest), people)]


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
