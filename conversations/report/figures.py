"""The usage report: who spent how much on what in some days, and in as many days before them; and
what models said it was worth.

From the roll-ups alone. Days are UTC's, as theirs are. Figures by person need a right of their own,
and so does what was assessed of few people; without them no group is of fewer than FEWEST. Under
PSEUDONYMS no figure is then: no total, no day, no model (small_numbers).
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, replace
from datetime import UTC, date, timedelta
from decimal import Decimal
from functools import cached_property, reduce
from operator import add, attrgetter
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

import orjson
from django.conf import settings
from django.db import connection
from django.utils.translation import gettext as _

from ..ids import first_id_of
from ..models import Conversation, User
from ..models.conversation import ConversationQuerySet
from ..people.identity import FEWEST, Names
from ..people.persons import FIT, Claim, Fit, own_account_column
from .small_numbers import carry, find_small

LONGEST = 92  # days that are counted one by one; longer stretches, by seven
MOST = 3660  # days
LISTED = 15  # rows of a panel; the rest are added up
SERIES = 7  # of the history, besides the rest
AT_ONCE = 2000  # conversations that memory holds
REST = "All others"
SMALLER, NONE = "Smaller groups", "Not known"
SMALLER_MODELS = "Models of few people"

BUCKET = "%(since)s::date + (day - %(since)s::date) / %(step)s * %(step)s"
OF_OWNER = "(%(owner)s::bigint IS NULL OR owner_id = %(owner)s)"
USED = f"FROM conversations_usage WHERE day BETWEEN %(since)s AND %(until)s AND {OF_OWNER}"
SUMS = """sum(calls)::bigint, sum(failures)::bigint,
        sum(prompt_tokens)::bigint, sum(completion_tokens)::bigint, sum(cost)"""
# Beside each sum its people, where they are few and that matters.
OWNERS = f"""
        CASE WHEN count(DISTINCT owner_id) < {FEWEST} THEN array_agg(DISTINCT owner_id) END"""
ANYONE = "NULL::bigint[]"
# Apart from these, what each end user of a shared key spent, and whose account that is.
TOTALS = f"""
    SELECT false, owner_id, model, {BUCKET} AS bucket, NULL, NULL::jsonb, {{owners}}, {SUMS} {USED}
    GROUP BY GROUPING SETS ((owner_id), (model), (bucket))
    UNION ALL SELECT true, owner_id, NULL, NULL, NULL, NULL, {ANYONE}, {SUMS}
    FROM conversations_usage
    WHERE day >= %(first)s AND day < %(since)s AND {OF_OWNER} GROUP BY owner_id
    UNION ALL SELECT day < %(since)s AS before, owner_id, NULL, NULL, end_user,
        {FIT.format(claim="spent.owner_id, spent.end_user")}, {ANYONE}, {SUMS}
    FROM conversations_enduserusage spent
    WHERE day BETWEEN %(first)s AND %(until)s AND %(apart)s GROUP BY before, owner_id, end_user"""
# Of an account what its end users did not spend, and beside it what some of them did.
USED_FOR = USED.replace("usage", "enduserusage")
HISTORY = f"""
    SELECT bucket, owner_id, '', sum(calls)::bigint FROM (
        SELECT {BUCKET} AS bucket, owner_id, calls {USED} AND owner_id = ANY(%(owners)s)
        UNION ALL
        SELECT {BUCKET}, owner_id, -calls {USED_FOR} AND owner_id = ANY(%(owners)s) AND %(apart)s
    ) own GROUP BY bucket, owner_id
    UNION ALL
    SELECT {BUCKET} AS bucket, owner_id, end_user, sum(calls)::bigint {USED_FOR}
        AND (owner_id, end_user) IN (
            SELECT * FROM unnest(%(claimants)s::bigint[], %(names)s::text[]))
    GROUP BY bucket, owner_id, end_user"""
HISTORY_OF_GROUPS = f"""
    SELECT bucket, department, sum(calls)::bigint, count(DISTINCT person)
    FROM (
        SELECT {BUCKET} AS bucket, owner_id, sum(calls) AS calls {USED} GROUP BY bucket, owner_id
    ) used JOIN unnest(%(accounts)s::bigint[], %(persons)s::bigint[], %(departments)s::text[])
        AS account (id, person, department) ON account.id = owner_id
    GROUP BY bucket, department"""
# Of a conversation that was assessed again in these days, the last.
ASSESSED = """
    SELECT owner_id, count(*), count(*) FILTER (WHERE work_related), sum(satisfaction_score),
        sum(user_seconds_saved), sum(assistant_seconds_saved),
        sum(assistant_seconds_saved / 3600 * assistant_wage)
    FROM (
        SELECT DISTINCT ON (conversation_id) owner_id, work_related, satisfaction_score,
            user_seconds_saved, assistant_seconds_saved, assistant_wage
        FROM conversations_assessment WHERE call_id >= %(first_id)s AND call_id < %(end_id)s
        ORDER BY conversation_id, call_id DESC) newest
    GROUP BY owner_id"""


@dataclass(frozen=True)
class Period:
    since: date
    until: date  # the last of them
    by_day: bool = False  # however many they are

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
        """The first of as many days just before these."""
        return self.since - timedelta(days=self.count)

    @property
    def step(self) -> int:
        """Days in one bucket."""
        return 1 if self.by_day or self.count <= LONGEST else 7

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

    def __sub__(self, other: "Figures") -> "Figures":
        return Figures(*(getattr(self, name) - getattr(other, name) for name in NAMES))

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def size(self) -> tuple[float, ...]:
        return self.tokens, self.calls


NAMES = tuple(Figures.__dataclass_fields__)


@dataclass(frozen=True)
class Assessed:
    """What models said of some conversations, added up."""

    conversations: int = 0
    work_related: int = 0
    satisfaction: float = 0  # points of ten, added up
    seconds: float = 0  # saved for the users themselves
    assistant_seconds: float = 0  # saved for people who could have done it
    worth: float = 0  # US dollars, at their wages

    def __add__(self, other: "Assessed") -> "Assessed":
        return Assessed(*map(add, astuple(self), astuple(other)))

    @property
    def percent(self) -> float:
        """The share that is work-related."""
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


@dataclass(frozen=True, kw_only=True)
class ReportRights:
    """What the reader of a report may see, and how people are named to them."""

    by_person: bool = False
    titles: bool = False
    assessments: bool = False
    names: Names | None = None


class _Person(NamedTuple):
    id: int  # of the own account
    name: str
    department: str
    job_title: str


class Report:
    """Figures of some days for a reader with these rights.

    With an `owner`: of that person's own calls, and nothing that was assessed; their titles are a
    right all the same, for a key that may not read conversations. Whole, it lists every row, every
    series and every day. Where no figure may be of few people, series and days stay as a page has
    them: figures of both kinds, subtracted, would be.
    """

    def __init__(
        self,
        days: Period,
        rights: ReportRights = ReportRights(),
        *,
        owner: int | None = None,
        whole: bool = False,
    ) -> None:
        self.days, self.owner = days, owner
        self.rights = replace(rights, by_person=True) if owner is not None else rights
        self.listed = None if whole else LISTED
        self.series: int | None = SERIES
        if whole and not self._strict:
            self.series, self.days = None, replace(days, by_day=True)

    @property
    def by_person(self) -> bool:
        return self.rights.by_person

    # What was spent ---------------------------------------------------------------------------

    @cached_property
    def _sums(self) -> dict[tuple[bool, str], dict]:
        """(before, what by) → its figures. End users: where the reader may see people."""
        sums: dict[tuple[bool, str], dict] = defaultdict(dict)
        sql = TOTALS.format(owners=OWNERS if self._strict else ANYONE)
        apart = self.by_person and self.owner is None
        for before, owner, model, bucket, name, fit, few, *figures in self._rows(sql, apart=apart):
            claim = None if name is None else (owner, name)
            keys = {"end_user": claim, "owner": owner, "model": model, "bucket": bucket}
            by, key = next((by, key) for by, key in keys.items() if key is not None)
            if claim:
                self._fits[claim] = Fit(*orjson.loads(fit)) if fit else None
            sums[before, by][key] = Figures(*figures)
            if few:
                self._few[by][key] = set(few)
        if self.rights.names:
            self.rights.names.keep_fits(self._fits)
        return sums

    @cached_property
    def _few(self) -> dict[str, dict[Any, set[int]]]:
        """What by → the people of its figures that are of few; `_sums` fills it, where strict."""
        return defaultdict(dict)

    @property
    def _strict(self) -> bool:
        """Whether no figure at all may be of few people: it could be known whose it is."""
        return settings.PSEUDONYMS and not self.by_person

    @property
    def too_few(self) -> bool:
        """Whether these days have so few people that nothing of them is shown."""
        return self._strict and 0 < self.people < FEWEST

    @property
    def too_few_before(self) -> bool:
        return self._strict and 0 < self.people_before < FEWEST

    @cached_property
    def total(self) -> Figures:
        return total(self._sums[False, "owner"].values())

    @cached_property
    def total_before(self) -> Figures:
        return total(self._sums[True, "owner"].values())

    @property
    def people(self) -> int:
        return self._count_people(before=False)

    @property
    def people_before(self) -> int:
        return self._count_people(before=True)

    def _count_people(self, *, before: bool) -> int:
        """Count accounts; for readers who may see people, end users too: each person once."""
        claims = self._sums[before, "end_user"]
        accounts = self._persons[before].keys() - claims.keys()
        fits = (self._fits[claim] for claim in claims)
        unknown = {claim for claim in claims if not self._fits[claim]}
        fitting = {self._people[fit.pk].id for fit in fits if fit}
        return len(accounts | fitting | unknown)

    @cached_property
    def _fits(self) -> dict[Claim, Fit | None]:
        """The accounts of the end users; `_sums` fills it."""
        return {}

    @cached_property
    def _persons(self) -> dict[bool, dict[int | Claim, Figures]]:
        """(before) → the figures of people, by their own accounts, and of end users apart."""
        persons: dict[bool, dict[int | Claim, Figures]] = {}
        for before in (False, True):
            own: dict[int, Figures] = dict(self._sums[before, "owner"])
            for (account, _name), figures in self._sums[before, "end_user"].items():
                own[account] = own.get(account, Figures()) - figures
            kept = {account: figures for account, figures in own.items() if figures.calls > 0}
            persons[before] = self._by_person(kept) | self._sums[before, "end_user"]
        return persons

    @property
    def buckets(self) -> list[tuple[date, Figures]]:
        used = self._sums[False, "bucket"]
        figures = [used.get(bucket, Figures()) for bucket in self.days.buckets]
        if self._strict:
            few = self._few["bucket"]
            is_few = [bucket in few or bucket not in used for bucket in self.days.buckets]
            figures = carry(figures, is_few, Figures())
        return list(zip(self.days.buckets, figures, strict=True))

    @property
    def models(self) -> list[ReportRow[Figures]]:
        used = self._sums[False, "model"]
        few = self._few["model"]
        others = {model: sums.calls for model, sums in used.items() if model not in few}
        small = find_small(few, others, FEWEST)
        rows = [ReportRow(model, sums) for model, sums in used.items() if model not in small]
        if small:
            rows.append(ReportRow(SMALLER_MODELS, total(used[model] for model in small)))
        return self._largest(rows)

    @property
    def persons(self) -> list[ReportRow[Figures]]:
        """Empty where the reader may not see people."""
        if not self.by_person:
            return []
        persons = self._persons[False]
        return self._largest(
            ReportRow(self._name(person), figures) for person, figures in persons.items()
        )

    def _name(self, person: int | Claim) -> str:
        """Name an account; or an end user, with whose claim that is."""
        if isinstance(person, int):
            return self._people[person].name
        account, name = person
        names = self.rights.names
        shown = names.name_end_user(account, name) if names else name
        return _("%(user)s, claimed by %(owner)s") % {
            "user": shown,
            "owner": self._people[account].name,
        }

    @property
    def departments(self) -> list[ReportRow[Figures]]:
        return self._largest(self._grouped("department", self._used, self.fewest))

    @property
    def job_titles(self) -> list[ReportRow[Figures]]:
        return self._largest(self._grouped("job_title", self._used, self.fewest))

    @property
    def _used(self) -> dict[int, Figures]:
        """By person, with what their shared keys spent for others."""
        return self._by_person(self._sums[False, "owner"])

    @cached_property
    def conversations(self) -> list[ReportRow[Figures]]:
        """Those begun in these days that took the most tokens.

        Empty where the reader may not see titles and people.
        """
        return list(map(_row_of, self._begun.costliest(LISTED)))

    def all_conversations(self) -> Iterator[ReportRow[Figures]]:
        """All of them, in this order, one at a time."""
        return map(_row_of, self._begun.by_tokens().iterator(chunk_size=AT_ONCE))

    @property
    def _begun(self) -> ConversationQuerySet:
        if not (self.rights.titles and self.by_person):
            return Conversation.objects.none()
        begun = Conversation.objects.of_messages().filter(
            id__gte=self._first_id, id__lt=self._end_id
        )
        begun = begun.filter(owner=self.owner) if self.owner else begun
        return begun.only("title", "turns", "prompt_tokens", "completion_tokens", "cost")

    @cached_property
    def history(self) -> list[tuple[str, list[int]]]:
        """Calls by bucket: of each of the people, or groups, with most, and last of all others."""
        if self._strict:
            return self._history_of_many
        if self.by_person:
            persons = self._persons[False]
            most = sorted(persons, key=lambda each: (-persons[each].calls, *_order(each)))[
                : self.series
            ]
            names: Mapping[Hashable, str] = {person: self._name(person) for person in most}
            claims = [person for person in most if not isinstance(person, int)]
            rows = self._rows(
                HISTORY,
                apart=self.owner is None,
                owners=[account for account, each in self._people.items() if each.id in names],
                claimants=[account for account, _name in claims],
                names=[name for _account, name in claims],
            )
            rows = [
                (bucket, (owner, end_user) if end_user else self._people[owner].id, calls)
                for bucket, owner, end_user, calls in rows
            ]
        else:
            names = self._group_names("department", self._used, self.fewest)
            rows = self._read_history_of_groups()
        lines: dict[str, dict[date, int]] = defaultdict(lambda: defaultdict(int))
        for bucket, key, calls, *_people in rows:
            if key in names:
                lines[names[key]][bucket] += calls
        first = sorted(lines, key=lambda name: (-sum(lines[name].values()), name))[: self.series]
        series = [(name, [lines[name][bucket] for bucket in self.days.buckets]) for name in first]
        rest = [
            figures.calls - sum(calls[n] for _, calls in series)
            for n, (_, figures) in enumerate(self.buckets)
        ]
        return [*series, (REST, rest)] if any(rest) else series

    @property
    def _history_of_many(self) -> list[tuple[str, list[int]]]:
        """Calls by bucket of departments, where no number may be of few people."""
        names = self._group_names("department", self._used, FEWEST)
        calls: dict[str, dict[date, int]] = defaultdict(lambda: defaultdict(int))
        people: dict[str, dict[date, int]] = defaultdict(lambda: defaultdict(int))
        rows = self._read_history_of_groups()
        totals: dict[str, int] = defaultdict(int)
        for _bucket, key, number, _people in rows:
            totals[names.get(key, REST)] += number
        first = sorted(totals, key=lambda name: (-totals[name], name))[: self.series]
        for bucket, key, number, count in rows:
            name = names.get(key, REST)
            name = name if name in first else REST
            calls[name][bucket] += number
            people[name][bucket] += count
        order = [name for name in (*first, REST) if name in calls]
        return [
            (
                name,
                carry(
                    [calls[name][bucket] for bucket in self.days.buckets],
                    [people[name][bucket] < FEWEST for bucket in self.days.buckets],
                    0,
                ),
            )
            for name in dict.fromkeys(order)
        ]

    def _read_history_of_groups(self) -> list[tuple]:
        """Read the calls by bucket and department, each with its number of people."""
        people = self._people
        return self._rows(
            HISTORY_OF_GROUPS,
            accounts=[*people],
            persons=[each.id for each in people.values()],
            departments=[each.department for each in people.values()],
        )

    @property
    def fewest(self) -> int:
        """People in a department or with a job title that is shown; fewer could be identified."""
        return 1 if self.by_person and not self._hidden else FEWEST

    @property
    def _hidden(self) -> bool:
        names = self.rights.names
        return bool(names and names.hidden)

    # What models said -------------------------------------------------------------------------

    @property
    def assessed(self) -> Assessed | None:
        """None where the reader could tell whose conversations were assessed."""
        by_owner = self._assessed
        if not by_owner or len(by_owner) < self.fewest_assessed:
            return None
        return reduce(add, by_owner.values())

    @property
    def people_assessed(self) -> int:
        return len(self._assessed)

    @property
    def assessed_departments(self) -> list[ReportRow[Assessed]]:
        return self._largest(self._grouped("department", self._assessed, self.fewest_assessed))

    @property
    def assessed_persons(self) -> list[ReportRow[Assessed]]:
        """Empty where the reader may not see people, or assessments of one."""
        if not (self.by_person and self.rights.assessments):
            return []
        return self._largest(
            ReportRow(self._people[owner].name, assessed)
            for owner, assessed in self._assessed.items()
        )

    @property
    def fewest_assessed(self) -> int:
        return 1 if self.rights.assessments and not self._hidden else FEWEST

    @cached_property
    def _assessed(self) -> dict[int, Assessed]:
        """By person."""
        return self._by_person(self._assessed_accounts)

    @cached_property
    def _assessed_accounts(self) -> dict[int, Assessed]:
        """By owner."""
        if self.owner:
            return {}
        rows = self._rows(ASSESSED, first_id=self._first_id, end_id=self._end_id)
        return {owner: Assessed(*sums) for owner, *sums in rows}

    # People and rows --------------------------------------------------------------------------

    @cached_property
    def _people(self) -> dict[int, _Person]:
        """The person of each account, and of the person's own."""
        owners = {owner for before in (False, True) for owner in self._sums[before, "owner"]}
        fitting = {fit.pk for fit in self._fits.values() if fit}
        users = User.objects.filter(id__in=owners | fitting | self._assessed_accounts.keys())
        names, people = self.rights.names, dict[int, _Person]()
        for account, (pk, username, *group) in users.values_list("pk", own_account_column()):
            user = User(pk=pk, username=username)
            person = _Person(pk, names.name(user) if names else username, *group)
            people |= {account: person, pk: person}
        return people

    def _by_person(self, by_owner: Mapping[int, Sums]) -> dict[int, Sums]:
        """Add up the figures of accounts that are one person's, by the own account."""
        people: dict[int, list[Sums]] = defaultdict(list)
        for owner, figures in by_owner.items():
            people[self._people[owner].id].append(figures)
        return {pk: reduce(add, each) for pk, each in people.items()}

    def _group_names(self, field: str, people: Iterable[int], fewest: int) -> dict[Hashable, str]:
        """The name under which each department or job title of these people is shown."""
        group_of, sizes = attrgetter(field), defaultdict[str, int](int)
        for owner in people:
            sizes[group_of(self._people[owner])] += 1
        return merged(sizes, fewest)

    def _grouped(
        self, field: str, by_owner: Mapping[int, Sums], fewest: int
    ) -> list[ReportRow[Sums]]:
        group_of, names = attrgetter(field), self._group_names(field, by_owner, fewest)
        groups: dict[str, list[Sums]] = defaultdict(list)
        for owner, figures in by_owner.items():
            if name := names.get(group_of(self._people[owner])):
                groups[name].append(figures)
        return [ReportRow(name, reduce(add, each), len(each)) for name, each in groups.items()]

    def _largest(self, rows: Iterable[ReportRow[Sums]]) -> list[ReportRow[Sums]]:
        """Sort by tokens, then calls, or by conversations; add up the rows past the list."""
        ordered = sorted(rows, key=lambda row: (*(-part for part in row.figures.size), row.name))
        rest = [] if self.listed is None else ordered[self.listed :]
        if not rest:
            return ordered
        people = None if rest[0].people is None else sum(row.people or 0 for row in rest)
        figures = reduce(add, (row.figures for row in rest))
        return [*ordered[: self.listed], ReportRow(f"{REST} ({len(rest)})", figures, people)]

    @property
    def _first_id(self) -> UUID:
        return first_id_of(self.days.since, UTC)

    @property
    def _end_id(self) -> UUID:
        return first_id_of(self.days.until + timedelta(days=1), UTC)

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


def _row_of(conversation: Conversation) -> ReportRow[Figures]:
    tokens = conversation.prompt_tokens, conversation.completion_tokens
    figures = Figures(conversation.turns, 0, *tokens, conversation.cost)
    return ReportRow(conversation.title or "Untitled", figures)


def _order(person: int | Claim) -> tuple[bool, int | Claim]:
    """Sort accounts by their numbers, and end users behind them."""
    return not isinstance(person, int), person


def total(figures: Iterable[Figures]) -> Figures:
    return sum(figures, Figures())


def merged(sizes: dict[str, int], fewest: int) -> dict[Hashable, str]:
    """The name under which each group is shown, so that nothing shown is of fewer people.

    Too small groups go together, with the next larger where they are still too few. Empty where all
    together are too few.
    """
    small: list[str] = []
    for name in sorted(sizes, key=lambda name: (sizes[name], name)):
        together = sum(sizes[each] for each in small)
        if sizes[name] >= fewest and (not small or together >= fewest):
            break
        small.append(name)
    if small and sum(sizes[name] for name in small) < fewest:
        return {}
    return {name: SMALLER if name in small else name or NONE for name in sizes}
