"""The review queue as pages: the list, claims, and the panel beside a transcript.

Every change is a POST.
"""

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.postgres.expressions import ArraySubquery
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, Q, QuerySet
from django.db.models.functions import JSONObject
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from .. import review
from ..ids import parse_uuid
from ..models import AuditEvent, Conversation, Decision, Review, User
from ..models.review import ReviewQuerySet
from ..people import audit
from ..people.access import may, readable
from ..people.identity import Names, hides_people, tells_a_person
from .changelist import RowCount
from .patience import TookTooLong, limit_statements, show_stopped
from .rights import require_rights

SHOWN = 50  # rows of the queue
CAP = 1000  # rows that are counted
TABS = {
    "free": gettext_lazy("Unassigned"),
    "mine": gettext_lazy("Assigned to me"),
    "overdue": "Overdue",
    "escalated": "Escalated",
    "all": gettext_lazy("All waiting"),
}
# A reviewer who decides must be able to read.
reviewers_only = require_rights("view_content", "decide")


class DecisionForm(forms.Form):
    disposition = forms.ChoiceField(choices=Decision.Disposition, widget=forms.RadioSelect)
    reason = forms.CharField(
        required=False,
        max_length=500,
        widget=forms.TextInput(attrs={"placeholder": gettext_lazy("Required for a violation")}),
    )
    note = forms.CharField(
        required=False, max_length=10_000, widget=forms.Textarea(attrs={"rows": 3})
    )
    seen = forms.UUIDField(widget=forms.HiddenInput)


# The list -----------------------------------------------------------------------------------------


@reviewers_only
def page(request: HttpRequest) -> HttpResponse:
    tab = chosen_tab(request)
    rows = waiting(request, tab)
    counts = [RowCount(waiting(request, name).order_by().values("pk")[: CAP + 1]) for name in TABS]
    me = User.objects.filter(username=request.user.get_username())
    try:
        with limit_statements():
            [counted] = me.values_list(*counts)  # one row to hang them on
            top_rows = list(
                rows.gravest_first().select_related(
                    "conversation__owner", "assignee", "decision", "policy"
                )[:SHOWN]
            )
    except TookTooLong:
        audit.record(request, AuditEvent.Action.LIST, of="review queue", which=tab, stopped=True)
        return show_stopped(request, "Review queue")
    audit.record(request, AuditEvent.Action.LIST, of="review queue", which=tab, rows=len(top_rows))
    context = {
        **admin.site.each_context(request),
        "title": "Review queue",
        "which": tab,
        "tabs": [
            (name, title, number)
            for (name, title), number in zip(TABS.items(), counted, strict=True)
        ],
        "rows": top_rows,
        "names": Names(request.user),
        "cap": CAP,
        "now": timezone.now(),
        "leads": may(request.user, "lead"),
        "bulk": review.BULK,
    }
    return TemplateResponse(request, "admin/queue.html", context)


def chosen_tab(request: HttpRequest) -> str:
    tab = request.POST.get("of") or request.GET.get("of", "")
    return tab if tab in TABS else "free"


def waiting(request: HttpRequest, tab: str) -> ReviewQuerySet:
    """Return the reviews of a tab that this reviewer may read."""
    rows, now = readable(request.user, Review.objects.all()).waiting(), timezone.now()  # type: ignore[attr-defined]
    if tab == "mine":
        return rows.held_by(request.user, now)
    rows = rows.not_owned_by(request.user)
    if tab == "free":
        return rows.free(now)
    if tab == "overdue":
        return rows.overdue(now)
    if tab == "escalated":
        return rows.filter(source=Review.Source.ESCALATED)
    return rows


@require_POST
@reviewers_only
def claim_next(request: HttpRequest) -> HttpResponse:
    tab = chosen_tab(request)
    held = waiting(request, "mine").gravest_first().first() if tab == "mine" else None
    claimed = held or review.claim_next(request, waiting(request, tab))
    if claimed is None:
        messages.info(request, _("No conversations left in this queue."))
        return HttpResponseRedirect(queue_url(tab))
    return HttpResponseRedirect(transcript_url(claimed.conversation_id, tab))


@require_POST
@reviewers_only
def decide_many(request: HttpRequest) -> HttpResponse:
    """Decide “no issue” about the selected conversations, as a Lead."""
    if not may(request.user, "lead"):
        raise PermissionDenied
    selected = map(parse_uuid, request.POST.getlist("conversation")[: review.BULK + 1])
    ids = [each for each in selected if each]
    conversations = readable(request.user, Conversation.objects.filter(id__in=ids))
    try:
        count = review.no_issue(request, conversations, request.POST.get("reason", "")[:500])
    except review.ReviewRefused as problem:
        messages.error(request, str(problem))
    else:
        messages.success(request, describe_many(count, len(ids) - count))
    return HttpResponseRedirect(queue_url(chosen_tab(request)))


def describe_many(decided: int, skipped: int) -> str:
    text = _("Decided as “no issue”: %(decided)d.") % {"decided": decided}
    if skipped > 0:
        skips = _("Skipped: %(skipped)d, your own or assigned to another reviewer.")
        text += " " + skips % {"skipped": skipped}
    return text


# One conversation ---------------------------------------------------------------------------------


def with_review(
    request: HttpRequest, conversations: QuerySet[Conversation]
) -> QuerySet[Conversation]:
    """Load what the panel shows: one query instead of three."""
    columns = JSONObject(
        disposition="disposition",
        reason="reason",
        note="note",
        made="made",
        reviewer="reviewer__username",
    )
    decisions = (
        Decision.objects.filter(conversation=OuterRef("pk"))
        .newest_first()
        .values_list(columns)[:20]
    )
    rows = conversations.select_related(
        "review__assignee", "review__policy", "review__decision"
    ).annotate(decided=ArraySubquery(decisions))
    if may(request.user, "lead"):
        rows = rows.annotate(reviewers=ArraySubquery(reviewers().values("username")))
    return rows


def describe_panel(
    request: HttpRequest, conversation: Conversation, newest: UUID | None
) -> dict[str, Any]:
    """Describe the review, its decisions and the forms beside a transcript.

    `conversation` is a row of `with_review`, `newest` its newest closed call.
    """
    row = getattr(conversation, "review", None)
    leads = may(request.user, "lead")
    held = bool(row and row.assignee and not row.free(timezone.now()))
    form = None
    if newest and may(request.user, "decide"):
        form = DecisionForm(initial={"seen": newest}, auto_id="review-%s", label_suffix="")
    return {
        "row": row,
        "decisions": [with_label(decision) for decision in conversation.decided],  # type: ignore[attr-defined]
        "own": conversation.owner_id == request.user.pk,
        "held": held,
        "mine": held and row.assignee_id == request.user.pk,  # type: ignore[union-attr]
        "form": form,
        "which": chosen_tab(request),
        "leads": leads,
        "reviewers": conversation.reviewers if leads else [],  # type: ignore[attr-defined]
    }


def with_label(decision: dict[str, Any]) -> dict[str, Any]:
    """Add the disposition in words to a decision that `with_review` read."""
    return decision | {
        "label": Decision.Disposition(decision["disposition"]).label,
        "made": datetime.fromisoformat(decision["made"]),
    }


def reviewers() -> QuerySet[User]:
    may_decide = Q(groups__permissions__codename="decide") | Q(user_permissions__codename="decide")
    return User.objects.filter(may_decide, is_active=True).distinct().order_by("username")[:200]


def on_conversation(
    change: Callable[[HttpRequest, Conversation], HttpResponse | None],
) -> Callable[[HttpRequest, UUID], HttpResponse]:
    """Make a view of a change to one conversation, which ends at its transcript.

    404 for a conversation that the reviewer may not read. A refusal becomes a message.
    """

    @require_POST
    @reviewers_only
    @wraps(change)
    def view(request: HttpRequest, pk: UUID) -> HttpResponse:
        conversation = readable(request.user, Conversation.objects.filter(id=pk)).first()
        if conversation is None:
            raise Http404
        response = None
        try:
            response = change(request, conversation)
        except review.ReviewRefused as problem:
            messages.error(request, str(problem))
        return response or HttpResponseRedirect(transcript_url(pk, chosen_tab(request)))

    return view


@on_conversation
def claim(request: HttpRequest, conversation: Conversation) -> None:
    review.claim(request, conversation)


@on_conversation
def release(request: HttpRequest, conversation: Conversation) -> None:
    review.release(request, conversation)


@on_conversation
def assign(request: HttpRequest, conversation: Conversation) -> None:
    if not may(request.user, "lead"):
        raise PermissionDenied
    name = request.POST.get("to", "")
    reviewer = User.objects.filter(username=name, is_active=True).first()
    try:
        if reviewer is None:
            raise review.ReviewRefused(_("There is no user with that name."))
        if tells_a_person(request.user, reviewer.reviews_departments):
            raise review.ReviewRefused(_("The departments of that reviewer have too few people."))
        review.assign(request, conversation, reviewer)
    except review.ReviewRefused:
        if not hides_people(request.user):
            raise
        # Which of the reasons it is would tell whose conversation this is: the trail has the try.
        audit.record(
            request, AuditEvent.Action.ASSIGNMENT, conversation, to=name[:150], refused=True
        )
        text = _("This conversation cannot be assigned to that user.")
        raise review.ReviewRefused(text) from None
    messages.success(request, f"Assigned to {reviewer}.")


@on_conversation
def decide(request: HttpRequest, conversation: Conversation) -> HttpResponse | None:
    """Decide, then go on to the next of the same tab; to the queue where there is none."""
    form = DecisionForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Choose a decision."))
        return None
    values = form.cleaned_data
    decision = Decision(
        conversation=conversation,
        disposition=values["disposition"],
        newest=values["seen"],
        reason=values["reason"],
        note=values["note"],
    )
    review.decide(request, decision)
    messages.success(request, f"Decided: {decision.get_disposition_display()}.")
    return claim_next(request) if "next" in request.POST else None


def queue_url(tab: str) -> str:
    return f"{reverse('admin:review-queue')}?of={tab}"


def transcript_url(pk: UUID, tab: str) -> str:
    return f"{reverse('admin:conversations_conversation_change', args=[pk])}?of={tab}"
