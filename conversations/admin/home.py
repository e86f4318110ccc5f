"""The figures above the index: the queue, this month's decisions, the state of the record."""

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Count, Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from .. import ids
from ..figures import count, lasting
from ..models import Decision, Review
from ..models.review import is_barred
from ..people import approvals
from ..people.access import Account, may, readable
from ..people.persons import person_of
from ..proof import runs, sealing

MOST = 100  # approvals that are counted and named
USUAL = timedelta(seconds=5)  # that the worker may take


@dataclass
class Tile:
    name: str
    figure: str
    says: str = ""
    url: str = ""
    alarming: bool = False


def tiles(request: HttpRequest) -> list[Tile]:
    """Return the tiles that the account may see."""
    user = request.user
    result: list[Tile] = []
    if may(user, "decide") and may(user, "view_content"):
        result += queue_tiles(request)
    if may(user, "view_audit"):
        result.append(decisions_tile())
    if approvals.may_look(user):
        result += approvals_tiles(request)
    if result or user.is_superuser:
        result += [integrity_tile(user), backlog_tile()]
    return result


def queue_tiles(request: HttpRequest) -> list[Tile]:
    user, now = request.user, timezone.now()
    others = ~is_barred(person_of(user))
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
        Tile("My queue", count(counted["mine"]), _("assigned to you"), f"{url}?of=mine"),
        Tile(
            "Overdue",
            count(counted["overdue"]),
            _("assigned or not"),
            f"{url}?of=overdue",
            bool(counted["overdue"]),
        ),
        Tile(
            _("Unassigned"),
            count(sum(number for _, number in waits)),
            ", ".join(f"{number:,} {name}" for name, number in waits if number),
            url,
        ),
        Tile(
            "Escalated",
            count(counted["escalated"]),
            _("for a Lead to decide"),
            f"{url}?of=escalated",
            bool(counted["escalated"]),
        ),
    ]


def decisions_tile() -> Tile:
    first = timezone.localtime().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    rows = (
        Decision.objects.filter(id__gte=ids.make_id(first, first=True))
        .values_list("disposition")
        .annotate(Count("pk"))
        .order_by()
    )
    counts = dict(rows)
    says = ", ".join(
        f"{counts[each.value]:,} {each.label}"
        for each in Decision.Disposition
        if each.value in counts
    )
    return Tile(
        "Decided this month",
        count(sum(counts.values())),
        says,
        reverse("admin:conversations_decision_changelist"),
    )


def approvals_tiles(request: HttpRequest) -> list[Tile]:
    """Count what waits for a second person, and name what acts without one; nothing for nothing."""
    waiting = approvals.visible_to(request.user).waiting(timezone.now())
    rows = list(waiting.values_list("name", "acts_alone").order_by("acts_alone")[: MOST + 1])
    if not rows:
        return []
    says = "; ".join(
        _("%(name)s acts on %(time)s unless it is refused")
        % {"name": name, "time": f"{timezone.localtime(acts):%Y-%m-%d %H:%M}"}
        for name, acts in rows
        if acts
    )
    number = f"{MOST}+" if len(rows) > MOST else count(len(rows))
    url = reverse("admin:conversations_approval_changelist")
    return [Tile(_("Approvals"), number, says or _("for a second person"), url, bool(says))]


def integrity_tile(user: Account) -> Tile:
    """Say when the record was last checked, and what came of it."""
    url = reverse("admin:verifications") if may(user, "view_audit") else ""
    standing = runs.read_standing()
    last = standing.newest
    if last is None:
        says = _("a worker does so once a day")
        return Tile("Integrity", _("never checked"), says, url, standing.is_alarming)
    when = f"{timezone.localtime(last.ended):%Y-%m-%d %H:%M}"
    says = _("%(seals)s seals, checked %(when)s") % {"seals": count(last.seals), "when": when}
    if standing.is_old and standing.age:
        days = count(standing.age.days)
        says = _("%(says)s, %(days)s days ago") % {"says": says, "days": days}
    return Tile("Integrity", _name_result(standing), says, url, standing.is_alarming)


def _name_result(standing: runs.Standing) -> str:
    assert standing.newest
    if standing.newest.problem:
        return _("problem found")
    if standing.is_old:
        return _("not checked lately")
    if not standing.newest.seals:
        return _("nothing sealed yet")
    return _("intact") if standing.newest.is_whole else _("not confirmed")


def backlog_tile() -> Tile:
    waiting, age = sealing.measure_backlog()
    if waiting and age > USUAL:
        oldest = _("the oldest for %(duration)s") % {"duration": lasting(age)}
        return Tile("Waiting for a seal", count(waiting), oldest)
    # The opening of this page is on the trail, and waits for its own seal.
    return Tile("Waiting for a seal", count(0), "search and seals are up to date")
