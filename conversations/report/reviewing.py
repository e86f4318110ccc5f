"""The reviewers' report: how much reviewers decided in some days, how fast, and how surely.

From decisions alone, which are evidence. Days are those of the reader's zone.
"""

from dataclasses import dataclass

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import Count, QuerySet

from ..models import Decision, Review

# Bytes of text a second: 1,000 words a minute, four times as fast as people read. A script whose
# characters have more bytes says as much with fewer of them.
HASTE = 100

# Of a decision that was drawn for a second line, the first that another reviewer made of it.
DISPOSITIONS = ", ".join(
    f"count(*) FILTER (WHERE d.disposition = '{each.value}')" for each in Decision.Disposition
)
FIGURES = f"""
    SELECT reviewer.username, count(*), {DISPOSITIONS},
        percentile_cont(0.5) WITHIN GROUP (ORDER BY d.seconds),
        percentile_cont(0.5) WITHIN GROUP (ORDER BY d.length) FILTER (WHERE d.page IS NOT NULL),
        count(*) FILTER (WHERE d.length > d.seconds::bigint * {HASTE}),
        count(*) FILTER (WHERE d.page IS NULL AND d.pages IS NOT NULL),
        count(*) FILTER (WHERE d.second_of_id IS NULL), count(*) FILTER (WHERE d.drawn),
        count(second.disposition), count(*) FILTER (WHERE second.disposition = d.disposition)
    FROM conversations_decision d
    JOIN conversations_user reviewer ON reviewer.id = d.reviewer_id
    LEFT JOIN LATERAL (
        SELECT disposition FROM conversations_decision
        WHERE second_of_id = d.id ORDER BY id LIMIT 1) second ON true
    WHERE d.id IN ({{chosen}})
    GROUP BY GROUPING SETS ((reviewer.username), ())
    HAVING count(*) > 0 ORDER BY reviewer.username NULLS FIRST"""


@dataclass(frozen=True)
class ReviewerFigures:
    """The decisions of one reviewer, or, without a name, of all."""

    name: str | None
    decisions: int
    dispositions: list[int]  # in the order of Decision.Disposition
    seconds: float | None  # the median from opening to deciding
    length: float | None  # the median of the bytes of text that were shown
    hasty: int
    listed: int  # from a list, without opening
    first: int  # that check no other
    drawn: int  # for a second line
    checked: int
    agreed: int

    @property
    def agreement(self) -> float | None:
        """The percentage of those checked that the second line decided alike."""
        return 100 * self.agreed / self.checked if self.checked else None

    def required(self, percent: float) -> float:
        """How many a sample of so many percent has."""
        return self.first * percent / 100


@dataclass(frozen=True)
class PolicyFigures:
    policy: int
    drawn: int
    decided: int


def read_reviewers(decisions: QuerySet[Decision]) -> list[ReviewerFigures]:
    """Read the figures of these decisions: of all together first, then of each reviewer."""
    count = len(Decision.Disposition)
    try:
        chosen, values = decisions.order_by().values("id").query.sql_with_params()
    except EmptyResultSet:
        return []
    with connection.cursor() as cursor:
        cursor.execute(FIGURES.format(chosen=chosen), values)
        return [
            ReviewerFigures(name, decided, list(rest[:count]), *rest[count:])
            for name, decided, *rest in cursor.fetchall()
        ]


def read_policies(reviews: QuerySet[Review]) -> list[PolicyFigures]:
    """Read what each sampling policy drew of these reviews, and how many of them were decided."""
    drawn = reviews.exclude(policy=None).order_by("policy").values_list("policy")
    rows = drawn.annotate(drawn=Count("pk"), decided=Count("decision"))
    return [PolicyFigures(*row) for row in rows]
