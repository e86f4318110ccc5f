"""What reviewers do at the queue, and the panel beside a transcript.

Every change is a POST.
"""

import json
from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import partial, wraps
from typing import Any, cast
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.postgres.expressions import ArraySubquery
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import OuterRef, QuerySet
from django.db.models.functions import JSONObject
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from .. import review
from ..ids import parse_uuid
from ..models import AuditEvent, Conversation, Decision, Review, Snapshot, User
from ..models.review import describe_shown
from ..people import audit
from ..people.access import holders_of, holds, may, readable
from ..people.identity import hides_people, tells_a_person
from ..people.persons import person_of
from ..reading import coverage
from ..reading.coverage import Coverage, Sight
from ..refusals import find_refused, show_again, takes_form
from ..search.queue import QueueFilter
from . import hits, transcript
from .rights import require_rights

SIGHTS = 500  # events of one reader of one conversation that are looked at, the newest
# What the panel says of a decision.
SAID = (
    "disposition",
    "reason",
    "note",
    "made",
    "page",
    "pages",
    "shown",
    "messages",
    "opened",
    "branches",
    "uncovered",
    "until",
)
REVIEWER = JSONObject(name="username", lead="lead")
Change = Callable[[HttpRequest, Conversation], Any]
CUT = gettext_lazy(
    "This page does not show all of the call. Download its request and its reply, then decide."
)
# A reviewer who decides must be able to read.
reviewers_only = require_rights("view_content", "decide")


# What to say of a field that is wrong; of several, the first.
WRONG = {
    "disposition": gettext_lazy("Choose a decision."),
    "page": review.UNOPENED,
    "until": gettext_lazy("Enter a valid date."),
    "addressee": gettext_lazy("There is no user with that name."),
    "reason": gettext_lazy("The reason is too long."),
    "note": gettext_lazy("The note is too long."),
}


class DecisionForm(forms.Form):
    disposition = forms.ChoiceField(choices=Decision.Disposition, widget=forms.RadioSelect)
    reason = forms.CharField(
        required=False,
        max_length=500,
        widget=forms.TextInput(
            attrs={"placeholder": gettext_lazy("A violation or escalation needs one")}
        ),
    )
    addressee = forms.CharField(required=False, max_length=150)
    until = forms.DateField(required=False, widget=forms.DateInput(attrs={"type": "date"}))
    note = forms.CharField(
        required=False, max_length=10_000, widget=forms.Textarea(attrs={"rows": 3})
    )
    # The audit event of the page that shows the form: it names all that the page was made from.
    page = forms.UUIDField(widget=forms.HiddenInput)

    def make_decision(self, request: HttpRequest, conversation: Conversation) -> Decision:
        """Make the decision that the form says; to whom and by when only where it is handed on.

        Raises ReviewRefused.
        """
        values = self.cleaned_data
        decision = Decision(
            conversation=conversation,
            disposition=values["disposition"],
            page=values["page"],
            reason=values["reason"],
            note=values["note"],
        )
        if decision.disposition in Decision.HANDED_ON and values["addressee"]:
            decision.addressee = find_reviewer(request, values["addressee"])
        if decision.disposition == Decision.Disposition.NEEDS_INFORMATION:
            decision.until = values["until"]
        return decision


# The list -----------------------------------------------------------------------------------------


def closed_calls() -> QuerySet[Snapshot]:
    """Select the closed calls of an outer query's review."""
    return Snapshot.objects.closed_of(OuterRef("conversation"))


def sign_list(request: HttpRequest, event: AuditEvent, rows: Mapping[UUID, review.Basis]) -> str:
    """Sign what a list shows to this reviewer: its event, and of each row how far it has come."""
    shown = {pk.hex: (row.calls, row.decision and row.decision.hex) for pk, row in rows.items()}
    return signing.dumps([event.pk.hex, shown], salt=list_salt(request), compress=True)


def read_list(request: HttpRequest) -> review.ShownList:
    """Read what the list showed from which a form comes. Raises ReviewRefused."""
    try:
        event, shown = signing.loads(request.POST.get("shown", ""), salt=list_salt(request))
    except signing.BadSignature:
        raise review.ReviewRefused(_("Open the list again, then select and decide.")) from None
    rows = {
        UUID(pk): review.Basis(calls, parse_uuid(decision))
        for pk, (calls, decision) in shown.items()
    }
    return review.ShownList(UUID(event), rows)


def list_salt(request: HttpRequest) -> str:
    return f"conversations.queue.{request.user.pk}"


@require_POST
@reviewers_only
def claim_next(request: HttpRequest) -> HttpResponse:
    return go_on(request)


def go_on(request: HttpRequest, after: UUID | None = None) -> HttpResponse:
    """Claim the next of the same queue, and go to it; to the queue where there is none."""
    chosen = QueueFilter.of_request(request)
    mine = chosen.reviews().exclude(conversation=after).gravest_first()
    held = mine.first() if chosen.tab == "mine" else None
    claimed = held or review.claim_next(request, chosen.reviews(), after=after)
    if claimed is None:
        messages.info(request, _("No conversations left in this queue."))
        return HttpResponseRedirect(queue_url(chosen))
    return HttpResponseRedirect(hits.transcript_url(claimed.conversation_id, of=chosen.place))


def describe_many(decided: int, skipped: int) -> str:
    text = _("Decided as “no issue”: %(decided)d.") % {"decided": decided}
    if skipped > 0:
        skips = _(
            "Skipped: %(skipped)d, your own, assigned to another reviewer, decided to be a"
            " violation, or changed since the list was shown."
        )
        text += " " + skips % {"skipped": skipped}
    return text


# One conversation ---------------------------------------------------------------------------------


def with_review(
    request: HttpRequest, conversations: QuerySet[Conversation]
) -> QuerySet[Conversation]:
    """Load what the panel shows: one query instead of three."""
    columns = JSONObject(
        **{name: name for name in SAID}, reviewer="reviewer__username", to="addressee__username"
    )
    decisions = (
        Decision.objects.filter(conversation=OuterRef("pk"))
        .newest_first()
        .values_list(columns)[:20]
    )
    rows = conversations.select_related(
        "review__assignee", "review__policy", "review__decision"
    ).annotate(decided=ArraySubquery(decisions))
    if may(request.user, "decide"):
        rows = rows.annotate(reviewers=ArraySubquery(reviewers().values_list(REVIEWER)))
    return with_sights(request, rows)


def with_sights(
    request: HttpRequest, conversations: QuerySet[Conversation]
) -> QuerySet[Conversation]:
    """Load what the trail says that this reader saw of them, newest first."""
    columns = JSONObject(event="id", action="action", subject="subject", detail="detail")
    events = (
        AuditEvent.objects.filter(conversation=OuterRef("pk"), actor=request.user.pk)
        .doing(*coverage.ACTIONS)
        .newest_first()
    )
    return conversations.annotate(sights=ArraySubquery(events.values_list(columns)[:SIGHTS]))


def read_sights(conversation: Conversation, here: AuditEvent | None = None) -> list[Sight]:
    """Return the sights that `with_sights` loaded, oldest first, and that of the page itself."""
    sights = [
        Sight(UUID(each["event"]), each["action"], each["subject"], json.loads(each["detail"]))
        for each in reversed(conversation.sights)  # type: ignore[attr-defined]
    ]
    if here:
        sights.append(Sight(here.pk, here.action, here.subject, json.loads(here.detail)))
    return sights


def find_latest(conversation: Conversation) -> UUID | None:
    """Return the id of the latest decision."""
    return getattr(getattr(conversation, "review", None), "decision_id", None)


def find_row(request: HttpRequest, call: Snapshot) -> Conversation:
    """Load what the panel shows of a call in no conversation, taken up before or not."""
    found = with_review(request, Conversation.objects.filter(pk=call.pk)).first()
    if found is None:
        found = review.row_of(call)
        found.decided, found.sights = [], []  # type: ignore[attr-defined]
        found.reviewers = getattr(call, "reviewers", [])  # type: ignore[attr-defined]
    return found


def get_subject(request: HttpRequest, pk: UUID) -> Conversation:
    """Get a conversation that the reviewer may read, or the row of a call in none.

    Raises Http404.
    """
    found = readable(request.user, Conversation.objects.filter(id=pk)).first()
    if found:
        return found
    calls = readable(request.user, Snapshot.objects.reviewed_alone())
    return review.row_of(get_object_or_404(calls, pk=pk))


def describe_panel(
    request: HttpRequest,
    conversation: Conversation,
    page: transcript.Transcript,
    event: AuditEvent,
) -> dict[str, Any]:
    """Describe the review, its decisions and the forms beside a page of a transcript.

    `conversation` is a row of `with_review`, `event` that of the page.
    """
    covered, unread = None, ""
    if page.closed and may(request.user, "decide"):
        row, sights = getattr(conversation, "review", None), read_sights(conversation, event)
        latest = row.decision if row and not row.is_second else None
        covered = coverage.measure(page.grown, page.calls, sights, latest)
        unread = find_unread(request, conversation, page, covered)
    return describe_standing(request, conversation, event, covered) | {"unread": unread}


def describe_call_panel(
    request: HttpRequest, conversation: Conversation, call: Snapshot, event: AuditEvent
) -> dict[str, Any]:
    """Describe the same beside a call in no conversation; `conversation` is of `find_row`."""
    covered = None
    if may(request.user, "decide"):
        sights = read_sights(conversation, event)
        covered = coverage.measure_call(sights, has_reply=bool(call.response))
    return describe_standing(request, conversation, event, covered)


def describe_standing(
    request: HttpRequest, conversation: Conversation, event: AuditEvent, covered: Coverage | None
) -> dict[str, Any]:
    """Describe what a panel shows of any subject, with a form where `covered` is known."""
    row = getattr(conversation, "review", None)
    leads = may(request.user, "lead")
    held = bool(row and row.assignee and not row.free(timezone.now()))
    form = None
    if covered:  # the form names the page that is shown, not one that was refused
        typed = find_refused(request, "review-decide")
        initial = (typed.dict() if typed else {}) | {"page": event.pk}
        form = DecisionForm(initial=initial, auto_id="review-%s", label_suffix="")
    return {
        "row": row,
        "decisions": [with_label(decision) for decision in conversation.decided],  # type: ignore[attr-defined]
        "own": person_of(request.user).is_behind(conversation),
        "held": held,
        "mine": held and row.assignee_id == request.user.pk,  # type: ignore[union-attr]
        "form": form,
        "coverage": covered,
        "opened": covered and describe_shown(*covered[:4]),
        "which": QueueFilter.of_request(request).place,
        "leads": leads,
        "reviewers": getattr(conversation, "reviewers", []),
    }


def find_unread(
    request: HttpRequest,
    conversation: Conversation,
    page: transcript.Transcript,
    covered: Coverage,
) -> str:
    """Return the address where the first message is shown that no decision would cover.

    That is the page of a call, where the transcript has no place for it, or not for all of it.
    """
    if not covered.uncovered:
        return ""
    node = covered.uncovered[0]
    if node in covered.cut or (page.grown.roots and node.path[0] in page.grown.preambles):
        return reverse("admin:conversations_snapshot_change", args=[node.message.snapshot_id])
    message, chosen = node.message.id, QueueFilter.of_request(request)
    query = hits.read_query(request)
    url = hits.transcript_url(conversation.pk, query, of=chosen.place, at=message)
    return f"{url}#m{message}"


def with_label(decision: dict[str, Any]) -> dict[str, Any]:
    """Add to a decision that `with_review` read what it says in words."""
    row = Decision(**{name: decision[name] for name in SAID})
    until = decision["until"] and date.fromisoformat(decision["until"])
    return decision | {
        "label": row.get_disposition_display(),
        "made": datetime.fromisoformat(decision["made"]),
        "coverage": row.coverage,
        "until": until,
    }


def reviewers() -> QuerySet[User]:
    return holders_of("decide").annotate(lead=holds("lead")).order_by("username")[:200]


def on_conversation(change: Change) -> Callable[[HttpRequest, UUID], HttpResponse]:
    """Make a view of a change to one conversation, which ends at its transcript.

    404 for a conversation that the reviewer may not read. A refusal becomes a message.
    """

    @require_POST
    @reviewers_only
    @wraps(change)
    def view(request: HttpRequest, pk: UUID) -> HttpResponse:
        try:
            _change(request, get_subject(request, pk), change)
        except review.ReviewRefused as problem:
            messages.error(request, str(problem))
        return go_back(request, pk)

    return view


def _change(request: HttpRequest, conversation: Conversation, change: Change) -> Any:
    """Change a conversation. Raises ReviewRefused, which tells no reader whose it is."""
    try:
        with transaction.atomic():  # a change that is refused leaves no row of a call
            return change(request, review.keep(conversation))
    except review.Unfit as problem:
        words = hide_reason(request, conversation, problem)
        raise review.ReviewRefused(words) from None


def go_back(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Go to the transcript that the form was sent from."""
    place = QueueFilter.of_request(request).place
    return HttpResponseRedirect(hits.transcript_url(pk, hits.read_query(request), of=place))


@on_conversation
def claim(request: HttpRequest, conversation: Conversation) -> None:
    review.claim(request, conversation)


@on_conversation
def release(request: HttpRequest, conversation: Conversation) -> None:
    review.release(request, conversation)


def find_transcript(pk: UUID) -> str:
    return reverse("admin:conversations_conversation_change", args=[pk])


@takes_form(find_transcript)
@reviewers_only
def assign(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    conversation, name = get_subject(request, pk), request.POST.get("to", "")
    try:
        _change(request, conversation, partial(assign_to, name=name))
    except review.ReviewRefused as problem:
        show = partial(show_page, request, conversation)
        return show_again(request, "review-assign", problem, show)
    messages.success(request, _("Assigned to %(user)s.") % {"user": name})
    return go_back(request, pk)


def assign_to(request: HttpRequest, conversation: Conversation, name: str) -> None:
    """Assign a conversation to the reviewer of this name, as a Lead. Raises ReviewRefused."""
    if not may(request.user, "lead"):
        raise PermissionDenied
    review.assign(request, conversation, find_reviewer(request, name))


def find_reviewer(request: HttpRequest, name: str) -> User:
    """Find the reviewer to whom a conversation shall go. Raises Unfit."""
    reviewer = User.objects.filter(username=name, is_active=True).first()
    if reviewer is None:
        raise review.Unfit(_("There is no user with that name."))
    if tells_a_person(request.user, reviewer.reviews_departments):
        raise review.Unfit(_("The departments of that reviewer have too few people."))
    return reviewer


def hide_reason(request: HttpRequest, conversation: Conversation, problem: review.Unfit) -> str:
    """Say why a conversation cannot be given to a reviewer, unless that tells whose it is.

    Then the trail has the try.
    """
    if not hides_people(request.user):
        return str(problem)
    name = request.POST.get("to") or request.POST.get("addressee", "")
    audit.record(request, AuditEvent.Action.ASSIGNMENT, conversation, to=name[:150], refused=True)
    return _("This conversation cannot be assigned to that user.")


@takes_form(find_transcript)
@reviewers_only
def decide(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    conversation = get_subject(request, pk)
    try:
        following: HttpResponse | None = _change(request, conversation, _decide)
    except review.ReviewRefused as problem:
        show = partial(show_page, request, conversation)
        return show_again(request, "review-decide", problem, show)
    return following or go_back(request, pk)


def show_page(request: HttpRequest, conversation: Conversation) -> HttpResponse:
    """Show the page that the panel stands on: the transcript, or a call in no conversation."""
    of_model: Any = admin.site.get_model_admin(
        Snapshot if conversation.is_one_call else Conversation
    )
    row = of_model.get_object(request, str(conversation.pk))
    return cast(HttpResponse, of_model.show_row(request, row))


def _decide(request: HttpRequest, conversation: Conversation) -> HttpResponse | None:
    """Decide, then go on to the next of the same search, or else of the same tab."""
    form = DecisionForm(request.POST)
    if not form.is_valid():
        raise review.ReviewRefused(next(WRONG[name] for name in WRONG if name in form.errors))
    decision = form.make_decision(request, conversation)
    with transaction.atomic():  # one form sent twice at once decides once, and claims one
        is_new = review.decide(request, decision, cover(request, decision))
        messages.success(request, describe_decided(decision))
        if "next" not in request.POST:
            return None
        if hits.read_words(request):
            return HttpResponseRedirect(hits.next_url(request, conversation.pk))
        return go_on(request, conversation.pk) if is_new else go_to_claimed(request, conversation)


def describe_decided(decision: Decision) -> str:
    text = _("Decided: %(decision)s.")
    if decision.uncovered:
        text = _("Decided in part: %(decision)s, about %(coverage)s. It stays in the queue.")
    label = decision.get_disposition_display()
    return text % {"decision": label, "coverage": decision.coverage}


def cover(request: HttpRequest, decision: Decision) -> review.Basis:
    """Write into a decision what its maker was shown; return what the page of its form showed.

    Raises ReviewRefused where the trail has no such page.
    """
    row = with_sights(request, Conversation.objects.filter(pk=decision.conversation_id)).get()
    sights = read_sights(row)
    page = next((each.detail for each in sights if each.event == decision.page), None)
    basis = review.find_basis(page)
    latest = Decision.objects.filter(pk=basis.decision).first() if basis.decision else None
    if Review.objects.filter(conversation=row).second().exists():
        latest = None  # who looks at it again looks at all of it
    if row.is_one_call:
        has_reply = Snapshot.objects.filter(pk=row.pk).exclude(response="").exists()
        found = coverage.measure_call(sights, has_reply=has_reply)
        if not found.shown:
            raise review.ReviewRefused(CUT)
    else:
        found = coverage.measure(*transcript.grow(row), sights, latest, since=basis.decision)
    decision.pages = found.pages
    decision.shown, decision.messages = found.shown, found.messages
    decision.opened, decision.branches = found.opened, found.branches
    decision.uncovered = [node.message.id for node in found.uncovered]
    decision.length = found.length
    decision.seconds = review.seconds_since(found.began) if found.began else None
    return basis


def go_to_claimed(request: HttpRequest, conversation: Conversation) -> HttpResponse:
    """Go to what was claimed when this form was sent first."""
    chosen = QueueFilter.of_request(request)
    mine = Review.objects.held_by(request.user, timezone.now()).exclude(lease=None)
    claimed = mine.exclude(conversation=conversation).order_by("-lease").first()
    if claimed is None:
        return HttpResponseRedirect(queue_url(chosen))
    return HttpResponseRedirect(hits.transcript_url(claimed.conversation_id, of=chosen.place))


def queue_url(chosen: QueueFilter) -> str:
    return f"{reverse('admin:review-queue')}?{chosen.query()}"
