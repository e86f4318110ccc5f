"""The numbers of the morning, above the index: what waits, what was decided this month, and whether the record was found whole."""

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Count, Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from .. import ids
from ..figures import count, lasting
from ..models import Decision, Review, Verification
from ..people.access import may, readable
from ..proof import sealing

USUAL = timedelta(seconds=5)  # that the worker may take


@dataclass
class Tile:
    name: str
    figure: str
    says: str = ""
    url: str = ""
    alarming: bool = False


def tiles(request: HttpRequest) -> list[Tile]:
    user = request.user
    found = queue(request) if may(user, "decide") and may(user, "view_content") else []
    if may(user, "view_audit"):
        found.append(decided())
    if found or user.is_superuser:
        found += [integrity(), backlog()]
    return found


def queue(request: HttpRequest) -> list[Tile]:
    user, now = request.user, timezone.now()
    others = ~Q(conversation__owner=user)
    free = others & (Q(assignee=None) | Q(lease__lt=now))
    severities = {
        f"free{level.value}": Count("pk", free & Q(severity=level)) for level in Review.Severity
    }
    mine = Q(assignee=user) & (Q(lease=None) | Q(lease__gte=now))
    escalated = others & Q(source=Review.Source.ESCALATED)
    counted = readable(user, Review.objects.waiting()).aggregate(
        mine=Count("pk", mine),
        overdue=Count("pk", others & Q(due__lt=now)),
        escalated=Count("pk", escalated),
        **severities,
    )
    waits = [(level.label, counted[f"free{level.value}"]) for level in reversed(Review.Severity)]
    url = reverse("admin:review-queue")
    return [
        Tile("My queue", count(counted["mine"]), "with you", f"{url}?of=mine"),
        Tile(
            "Overdue",
            count(counted["overdue"]),
            "whoever has them",
            f"{url}?of=overdue",
            bool(counted["overdue"]),
        ),
        Tile(
            "Free",
            count(sum(number for _, number in waits)),
            ", ".join(f"{number:,} {name}" for name, number in waits if number),
            url,
        ),
        Tile(
            "Escalated",
            count(counted["escalated"]),
            "for a Lead",
            f"{url}?of=escalated",
            bool(counted["escalated"]),
        ),
    ]


def decided() -> Tile:
    first = timezone.localtime().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    rows = (
        Decision.objects.filter(id__gte=ids.make_id(first, first=True))
        .values_list("disposition")
        .annotate(Count("pk"))
        .order_by()
    )
    found = dict(rows)
    says = ", ".join(
        f"{found[each.value]:,} {each.label}"
        for each in Decision.Disposition
        if each.value in found
    )
    return Tile(
        "Decided this month",
        count(sum(found.values())),
        says,
        reverse("admin:conversations_decision_changelist"),
    )


def integrity() -> Tile:
    last = Verification.objects.order_by("-ended").first()
    if last is None:
        return Tile("Integrity", "never checked", "manage.py verify")
    says = f"{last.seals:,} seals, {timezone.localtime(last.ended):%Y-%m-%d %H:%M}"
    return Tile(
        "Integrity", "not whole" if last.problem else "whole", says, alarming=bool(last.problem)
    )


def backlog() -> Tile:
    waiting, age = sealing.measure_backlog()
    waiting *= age > USUAL  # the opening of this page is on the trail, and waits itself
    return Tile(
        "Waiting for a seal",
        count(waiting),
        f"the oldest for {lasting(age)}" if waiting else "search and seals are up to date",
    )
