"""The queue as pages: what waits, claiming the next, and what is said about a conversation beside its transcript. Every change is a POST."""

from datetime import datetime
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
from django.views.decorators.http import require_POST

from .. import review
from ..models import AuditEvent, Conversation, Decision, Review, User
from ..people import audit
from ..people.access import may, readable
from ..people.identity import Names
from .changelist import Count
from .patience import TookTooLong, patience, stopped

SHOWN = 50  # rows of the queue
CAP = 1000  # that are counted
WHICH = {
    "free": "Free",
    "mine": "Mine",
    "overdue": "Overdue",
    "escalated": "Escalated",
    "all": "All that waits",
}


class DecisionForm(forms.Form):
    disposition = forms.ChoiceField(choices=Decision.Disposition, widget=forms.RadioSelect)
    reason = forms.CharField(
        required=False,
        max_length=500,
        widget=forms.TextInput(attrs={"placeholder": "Needed for a violation"}),
    )
    note = forms.CharField(
        required=False, max_length=10_000, widget=forms.Textarea(attrs={"rows": 3})
    )
    seen = forms.UUIDField(widget=forms.HiddenInput)


def reviewers_only(view):
    """Whoever decides must be able to read."""

    def checked(request: HttpRequest, *args, **kwargs) -> HttpResponse:
        if not (may(request.user, "view_content") and may(request.user, "decide")):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return checked


# The list -------------------------------------------------------------------------------------------------------


@reviewers_only
def page(request: HttpRequest) -> HttpResponse:
    which = chosen(request)
    rows = waiting(request, which)
    counts = [Count(waiting(request, name).order_by().values("pk")[: CAP + 1]) for name in WHICH]
    try:
        with patience():
            [counted] = User.objects.filter(username=request.user.get_username()).values_list(
                *counts
            )  # one row to hang them on
            gravest = rows.gravest_first()  # type: ignore[attr-defined]
            shown = list(
                gravest.select_related("conversation__owner", "assignee", "decision", "policy")[
                    :SHOWN
                ]
            )
    except TookTooLong:
        audit.record(request, AuditEvent.Action.LIST, of="review queue", which=which, stopped=True)
        return stopped(request, "Review queue")
    audit.record(request, AuditEvent.Action.LIST, of="review queue", which=which, rows=len(shown))
    context = {
        **admin.site.each_context(request),
        "title": "Review queue",
        "which": which,
        "tabs": [
            (name, title, number)
            for (name, title), number in zip(WHICH.items(), counted, strict=True)
        ],
        "rows": shown,
        "names": Names(request.user),
        "cap": CAP,
        "now": timezone.now(),
        "leads": may(request.user, "lead"),
        "bulk": review.BULK,
    }
    return TemplateResponse(request, "admin/queue.html", context)


def chosen(request: HttpRequest) -> str:
    which = request.POST.get("of") or request.GET.get("of", "")
    return which if which in WHICH else "free"


def waiting(request: HttpRequest, which: str) -> QuerySet[Review]:
    rows, now = readable(request.user, Review.objects.all()).waiting(), timezone.now()  # type: ignore[attr-defined]
    if which == "mine":
        return rows.held_by(request.user, now)
    rows = rows.not_of(request.user)
    return {
        "free": rows.free(now),
        "overdue": rows.overdue(now),
        "escalated": rows.filter(source=Review.Source.ESCALATED),
    }.get(which, rows)


@require_POST
@reviewers_only
def claim_next(request: HttpRequest) -> HttpResponse:
    which = chosen(request)
    held = waiting(request, "mine").gravest_first().first() if which == "mine" else None  # type: ignore[attr-defined]
    found = held or review.claim_next(request, waiting(request, which))
    if found is None:
        messages.info(request, "Nothing of these waits for you.")
        return HttpResponseRedirect(f"{reverse('admin:review-queue')}?of={which}")
    return HttpResponseRedirect(transcript_of(found.conversation_id, which))


@require_POST
@reviewers_only
def in_bulk(request: HttpRequest) -> HttpResponse:
    """The Lead's “no issue” about those that were ticked."""
    if not may(request.user, "lead"):
        raise PermissionDenied
    ids = [
        id
        for id in (
            as_uuid(each) for each in request.POST.getlist("conversation")[: review.BULK + 1]
        )
        if id
    ]
    try:
        count = review.no_issue(
            request,
            readable(request.user, Conversation.objects.filter(id__in=ids)),
            request.POST.get("reason", "")[:500],
        )
    except review.ReviewRefused as problem:
        messages.error(request, str(problem))
    else:
        left = (
            f" {len(ids) - count} were left: your own, or in somebody's hands."
            if count < len(ids)
            else ""
        )
        messages.success(request, f"No issue: {count} decided.{left}")
    return HttpResponseRedirect(f"{reverse('admin:review-queue')}?of={chosen(request)}")


# One conversation -----------------------------------------------------------------------------------------------


def beside(request: HttpRequest, conversations: QuerySet[Conversation]) -> QuerySet[Conversation]:
    """With what the panel shows at hand: one query instead of three."""
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
    found = conversations.select_related(
        "review__assignee", "review__policy", "review__decision"
    ).annotate(decided=ArraySubquery(decisions))
    return (
        found.annotate(reviewers=ArraySubquery(reviewers().values("username")))
        if may(request.user, "lead")
        else found
    )


def panel(request: HttpRequest, conversation: Conversation, seen: UUID | None) -> dict[str, Any]:
    """What stands beside a transcript, whose newest closed call is `seen`: where the review stands, what was decided, and the forms. Of a row of `beside`."""
    row = getattr(conversation, "review", None)
    leads = may(request.user, "lead")
    return {
        "row": row,
        "decisions": [said(decision) for decision in conversation.decided],  # type: ignore[attr-defined]
        "own": conversation.owner_id == request.user.pk,
        "held": bool(row and row.assignee and not row.free(timezone.now())),
        "mine": bool(row and row.assignee_id == request.user.pk and not row.free(timezone.now())),
        "form": DecisionForm(initial={"seen": seen}, auto_id="review-%s", label_suffix="")
        if seen and may(request.user, "decide")
        else None,
        "which": chosen(request),
        "leads": leads,
        "reviewers": conversation.reviewers if leads else [],  # type: ignore[attr-defined]
    }


def said(decision: dict[str, Any]) -> dict[str, Any]:
    """As `beside` reads it, with its disposition in words."""
    return decision | {
        "label": Decision.Disposition(decision["disposition"]).label,
        "made": datetime.fromisoformat(decision["made"]),
    }


def reviewers() -> QuerySet[User]:
    may_decide = Q(groups__permissions__codename="decide") | Q(user_permissions__codename="decide")
    return User.objects.filter(may_decide, is_active=True).distinct().order_by("username")[:200]


@require_POST
@reviewers_only
def act(request: HttpRequest, id: UUID, what: str) -> HttpResponse:
    conversation = readable(request.user, Conversation.objects.filter(id=id)).first()
    if conversation is None:
        raise Http404
    which, here = chosen(request), transcript_of(id, chosen(request))
    try:
        if what == "claim":
            review.claim(request, conversation)
        elif what == "release":
            review.release(request, conversation)
        elif what == "assign":
            assign(request, conversation)
        elif what == "decide":
            return decide(request, conversation, which)
        else:
            raise Http404
    except review.ReviewRefused as problem:
        messages.error(request, str(problem))
    return HttpResponseRedirect(here)


def assign(request: HttpRequest, conversation: Conversation) -> None:
    if not may(request.user, "lead"):
        raise PermissionDenied
    to = User.objects.filter(username=request.POST.get("to", ""), is_active=True).first()
    if to is None:
        raise review.ReviewRefused("Nobody has that name.")
    review.assign(request, conversation, to)
    messages.success(request, f"Assigned to {to}.")


def decide(request: HttpRequest, conversation: Conversation, which: str) -> HttpResponse:
    """Then on to the next of the same kind; to the queue where there is none."""
    form = DecisionForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Choose what it comes to.")
        return HttpResponseRedirect(transcript_of(conversation.pk, which))
    said = form.cleaned_data
    decision = review.decide(
        request,
        conversation,
        said["disposition"],
        said["seen"],
        reason=said["reason"],
        note=said["note"],
    )
    messages.success(request, f"Decided: {decision.get_disposition_display()}.")
    if "next" not in request.POST:
        return HttpResponseRedirect(transcript_of(conversation.pk, which))
    return claim_next(request)


def transcript_of(id: UUID, which: str) -> str:
    return f"{reverse('admin:conversations_conversation_change', args=[id])}?of={which}"


def as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
