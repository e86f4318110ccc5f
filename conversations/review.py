"""The review of conversations: how they enter the queue, are claimed, decided, and come back.

Every change is one transaction with its event on the audit trail. A claim is a lease, so a reviewer
who walks away holds nothing for long.
"""

import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.contrib.postgres.aggregates import ArrayAgg
from django.db import transaction
from django.db.models import Exists, Q
from django.db.models.functions import Greatest
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from uuid_utils.compat import uuid7

from .ids import parse_uuid, time_of
from .models import AuditEvent, Conversation, Decision, Review, SamplingPolicy, Snapshot, User
from .models.review import ReviewQuerySet, calls_unseen
from .people import audit
from .people.access import may, readable
from .people.persons import person_of

LEASE = timedelta(minutes=30)
DUE = {
    Review.Severity.ROUTINE: timedelta(days=7),
    Review.Severity.RAISED: timedelta(days=3),
    Review.Severity.HIGH: timedelta(days=1),
}
SAMPLED_BY = ("owner__department", "model")
BULK = 200  # conversations that one decision in bulk is about, at most
Action = AuditEvent.Action
Source = Review.Source
State = Review.State
Severity = Review.Severity


Disposition = Decision.Disposition


class ReviewRefused(Exception):
    """A change that a reviewer may not make, or not now; the text is fit to show."""


class Unfit(ReviewRefused):
    """A conversation cannot be given to this reviewer. The reason may tell whose it is."""


class Basis(NamedTuple):
    """What a page or a list showed of a conversation, and what a decision made on it is about.

    Calls are closed once and never deleted, so that their number stands for the set of them.
    """

    calls: int  # that were closed
    decision: UUID | None  # the newest


OWN = gettext_lazy("This is your own conversation, so another reviewer must review it.")
TAKEN = "{} is reviewing this conversation."
UNOPENED = gettext_lazy("Open this conversation and read it, then decide.")
WENT_ON = gettext_lazy(
    "This conversation has continued since you opened it. Read the new messages, then decide."
)
MEANWHILE = gettext_lazy(
    "After you opened this conversation, at %(time)s, %(reviewer)s decided: %(decision)s. Your"
    " decision was not saved. Read it again, then decide."
)
DECIDED_BY_YOU = gettext_lazy(
    "You decided this conversation, and another reviewer has to decide it, too."
)
UNREAD = gettext_lazy(
    "A second reviewer reads the whole conversation. Open the messages that you have not read."
)
SET_ASIDE = gettext_lazy(
    "This conversation was decided to be a violation. Only a Lead can set that aside, with a"
    " reason."
)


# A call in no conversation ------------------------------------------------------------------------


def row_of(call: Snapshot) -> Conversation:
    """Make the row by which such a call is reviewed; it is kept with the first change."""
    status = "" if call.status == Snapshot.Status.OK else call.get_status_display()
    title = _("%(status)s %(kind)s call") % {"status": status, "kind": call.get_kind_display()}
    return Conversation(
        id=call.pk,
        owner_id=call.owner_id,
        end_user=call.end_user,
        is_one_call=True,
        title=title.strip().capitalize(),
        started=call.opened,
        last=call.closed or call.opened,
    )


def keep(conversation: Conversation) -> Conversation:
    """Save the row of a call that no reviewer took up before; return others as they are."""
    if not conversation._state.adding:
        return conversation
    Conversation.objects.bulk_create([conversation], ignore_conflicts=True)
    return Conversation.objects.get(pk=conversation.pk)


# The queue ----------------------------------------------------------------------------------------


def claim_next(
    request: HttpRequest, among: ReviewQuerySet, *, after: UUID | None = None
) -> Review | None:
    """Claim the gravest free review. Reviewers who ask at the same time get different ones.

    `after` is the conversation that was just decided: it is next only where no other is left.
    """
    now = timezone.now()
    with transaction.atomic():
        free = among.free(now).open_to(person_of(request.user)).gravest_first()
        if not may(request.user, "lead"):
            free = free.exclude(source=Source.ESCALATED)
        free = free.select_for_update(skip_locked=True, of=("self",))
        review = free.exclude(conversation=after).first() if after else None
        review = review or free.first()
        if review:
            _lease(request, review, now)
    return review


def claim(request: HttpRequest, conversation: Conversation) -> Review:
    """Claim a conversation, in the queue or not. Raises ReviewRefused."""
    _refuse_own(request.user, conversation)
    with transaction.atomic():
        review, now = _lock(conversation, Source.CHOSEN), timezone.now()
        _refuse_held(request.user, review, now)
        _refuse_second(request.user, review)
        _lease(request, review, now)
    return review


def enter(request: HttpRequest, conversations: Iterable[Conversation]) -> int:
    """Put conversations into the queue, decided ones once more; return how many entered.

    Those that wait stay as they are, and the reviewer's own are left out. Raises ReviewRefused.
    """
    chosen = sorted(conversations, key=lambda each: each.pk)
    _refuse_too_many(chosen)
    entered, now = 0, timezone.now()
    person = person_of(request.user)
    with transaction.atomic():
        for conversation in chosen:
            if person.is_behind(conversation):
                continue
            is_new = _enter(keep(conversation), Source.CHOSEN)
            review = Review.objects.select_for_update().get(pk=conversation.pk)
            if review.state == State.WAITING and not is_new:
                continue
            review.state, review.source = State.WAITING, Source.CHOSEN
            review.entered, review.due = now, now + DUE[Severity(review.severity)]
            review.assignee = review.lease = None
            review.save()
            audit.record(request, Action.QUEUED, conversation)
            entered += 1
    return entered


def release(request: HttpRequest, conversation: Conversation) -> None:
    """Put a conversation back into the queue. Raises ReviewRefused."""
    with transaction.atomic():
        review = Review.objects.select_for_update().filter(conversation=conversation).first()
        if review is None:
            raise ReviewRefused(_("This conversation is not in the queue."))
        if review.assignee_id != request.user.pk and not may(request.user, "lead"):
            raise ReviewRefused(
                _("Only the reviewer it is assigned to, or a Lead, can release this conversation.")
            )
        review.assignee = review.lease = None
        review.save(update_fields=["assignee", "lease"])
        audit.record(request, Action.ASSIGNMENT, conversation, to=None)


def assign(request: HttpRequest, conversation: Conversation, reviewer: User) -> Review:
    """Assign a conversation to a reviewer, for as long as it takes. Raises ReviewRefused."""
    _refuse_unfit(reviewer, conversation)
    with transaction.atomic():
        review = _lock(conversation, Source.ASSIGNED, Severity.RAISED)
        if _is_own_second(reviewer, review):
            raise Unfit(_("%(user)s made the first decision.") % {"user": reviewer})
        review.state, review.assignee = State.WAITING, reviewer
        review.lease = None
        review.save(update_fields=["state", "assignee", "lease"])
        audit.record(request, Action.ASSIGNMENT, conversation, to=reviewer.get_username())
    return review


def find_basis(page: Mapping[str, Any] | None) -> Basis:
    """Return what a page showed, by the details of its audit event. Raises ReviewRefused."""
    if page is None or "calls" not in page:
        raise ReviewRefused(UNOPENED)
    return Basis(page["calls"], parse_uuid(page["decision"]))


def decide(request: HttpRequest, decision: Decision, basis: Basis) -> bool:
    """Save a reviewer's decision about what a page showed.

    False, and nothing changes, where the form of that page was sent before and said the same.
    Raises ReviewRefused: about one's own conversation, about another reviewer's claim, where
    something is missing, and where the conversation is no longer what the page showed.
    """
    conversation = decision.conversation
    _refuse_own(request.user, conversation)
    _refuse_incomplete(decision)
    with transaction.atomic():
        review = _lock(conversation, Source.CHOSEN)
        if _is_repeated(decision, review.decision):
            return False
        decision.seen = _closed_calls([conversation]).get(conversation.pk, [])
        _refuse_stale(request.user, review, decision.seen, basis)
        _refuse_held(request.user, review, timezone.now())
        _refuse_second(request.user, review)
        if review.is_second and decision.uncovered:
            raise ReviewRefused(UNREAD)
        _refuse_setting_aside(request.user, decision)
        _save(request, review, decision)
        audit.record(
            request,
            Action.DECISION,
            conversation,
            decision=decision.pk,
            disposition=decision.disposition,
            of=decision.coverage,
            to=decision.addressee and decision.addressee.get_username(),
            until=decision.until,
        )
    return True


def no_issue(
    request: HttpRequest, conversations: Iterable[Conversation], shown: "ShownList", reason: str
) -> int:
    """Decide “no issue” about conversations of a list as a Lead; return how many were decided.

    Each decision is a row, about what the list showed. Left out are the Lead's own conversations,
    those that other reviewers hold, violations, and those of which the list shows no more how they
    are. Raises ReviewRefused.
    """
    chosen = sorted(conversations, key=lambda each: each.pk)
    _refuse_too_many(chosen)
    if not reason.strip():
        raise ReviewRefused(_("Enter a reason for these decisions."))
    decisions, person = [], person_of(request.user)
    with transaction.atomic():
        chosen = [each for each in chosen if not person.is_behind(each) and each.pk in shown.rows]
        new = {each.pk for each in chosen if _enter(each, Source.CHOSEN)}
        locked = Review.objects.select_for_update(of=("self",)).select_related("conversation")
        reviews = list(locked.filter(pk__in=[each.pk for each in chosen]).order_by("pk"))
        closed = _closed_calls(chosen)
        for review in reviews:
            decision = Decision(
                conversation=review.conversation,
                disposition=Disposition.NO_ISSUE,
                seen=closed.get(review.pk, []),
                pages=[shown.event],
                seconds=seconds_since(shown.event),
                length=0,
                uncovered=[],
                reason=reason,
            )
            if _may_be_saved(request.user, review, decision, shown.rows[review.pk]):
                _save(request, review, decision)
                decisions.append(decision.pk)
            elif review.pk in new:  # what is left out does not enter the queue
                review.delete()
        audit.record(
            request,
            Action.DECISION,
            of="many at once",
            disposition="no_issue",
            reason=reason,
            decisions=decisions,
        )
    return len(decisions)


def _refuse_too_many(conversations: list[Conversation]) -> None:
    if len(conversations) > BULK:
        text = _("You can decide at most %(number)d conversations at once.")
        raise ReviewRefused(text % {"number": BULK})


class ShownList(NamedTuple):
    """A list that a reviewer saw: its audit event, and what it showed of each conversation."""

    event: UUID
    rows: Mapping[UUID, Basis]


def _may_be_saved(
    lead: User | AnonymousUser, review: Review, decision: Decision, basis: Basis
) -> bool:
    """Tell whether a decision in bulk holds for this conversation."""
    try:
        _refuse_stale(lead, review, decision.seen or [], basis)
    except ReviewRefused:
        return False
    return not (
        review.is_second
        or review.held_by_another(lead, timezone.now())
        or _stands_as_violation(review.conversation_id)
    )


def _closed_calls(conversations: Iterable[Conversation]) -> dict[UUID, list[UUID]]:
    """Read the closed calls of these conversations, by the id of each."""
    calls = Snapshot.objects.filter(conversation__in=conversations).exclude(
        status=Snapshot.Status.PENDING
    )
    rows = calls.order_by().values_list("conversation")
    alone = {each.pk: [each.pk] for each in conversations if each.is_one_call}
    return dict(rows.annotate(calls=ArrayAgg("id", order_by="id"))) | alone


def _refuse_incomplete(decision: Decision) -> None:
    """Refuse what lacks a reason, an addressee or a day, and an addressee who cannot act."""
    addressee, conversation = decision.addressee, decision.conversation
    is_reasoned = bool(decision.reason.strip())
    match decision.disposition:
        case Disposition.VIOLATION if not is_reasoned:
            raise ReviewRefused(_("A violation needs a reason."))
        case Disposition.ESCALATED if addressee is None or not is_reasoned:
            raise ReviewRefused(_("An escalation needs a reason and the Lead it goes to."))
        case Disposition.NEEDS_INFORMATION if addressee is None or decision.until is None:
            raise ReviewRefused(
                _("A request for information needs the reviewer who is asked, and a date.")
            )
    if addressee is None:
        return
    if decision.disposition == Disposition.ESCALATED and not may(addressee, "lead"):
        raise Unfit(_("%(user)s is not a Lead.") % {"user": addressee})
    if decision.until and decision.until < timezone.localdate():
        raise ReviewRefused(_("Choose a date from today on."))
    _refuse_unfit(addressee, conversation)


def _is_repeated(decision: Decision, latest: Decision | None) -> bool:
    """Tell whether the latest decision was made by this very form, with the same values."""
    if latest is None or latest.page is None or latest.page != decision.page:
        return False
    said = ("disposition", "reason", "note", "addressee_id", "until")
    return all(getattr(latest, name) == getattr(decision, name) for name in said)


def _refuse_stale(
    reviewer: User | AnonymousUser, review: Review, seen: list[UUID], basis: Basis
) -> None:
    """Refuse what was decided before another decision, or before calls that are closed now."""
    latest = review.decision
    if latest and latest.pk != basis.decision:
        who = _("you") if latest.reviewer_id == reviewer.pk else str(latest.reviewer)
        raise ReviewRefused(
            MEANWHILE
            % {
                "time": f"{timezone.localtime(latest.made):%Y-%m-%d %H:%M}",
                "reviewer": who,
                "decision": latest.get_disposition_display(),
            }
        )
    if not seen or len(seen) != basis.calls:
        raise ReviewRefused(WENT_ON)


def _refuse_setting_aside(reviewer: User | AnonymousUser, decision: Decision) -> None:
    """Refuse to set a violation aside, unless a Lead does and says why."""
    sets_aside = decision.disposition in (Disposition.NO_ISSUE, Disposition.FALSE_POSITIVE)
    if not sets_aside or not _stands_as_violation(decision.conversation_id):
        return
    if not may(reviewer, "lead") or not decision.reason.strip():
        raise ReviewRefused(SET_ASIDE)


def _stands_as_violation(conversation: UUID) -> bool:
    """Tell whether the latest decision that ended a review says so: questions change nothing."""
    latest = Decision.objects.about(conversation).conclusive().newest_first().first()
    return latest is not None and latest.disposition == Disposition.VIOLATION


def _save(request: HttpRequest, review: Review, decision: Decision) -> None:
    """Save the decision, and where its review stands then. The review is locked."""
    decision.id, decision.made = uuid7(), timezone.now()  # in the order of commits
    decision.reviewer = request.user  # type: ignore[assignment]
    decision.newest = max(decision.seen or [])
    decision.second_of = review.decision if review.is_second else None
    decision.drawn = _is_drawn(decision)
    decision.save(force_insert=True)
    review.decision, review.assignee = decision, decision.addressee
    review.lease = None
    review.state = State.WAITING
    if decision.disposition == Disposition.ESCALATED:
        review.source, review.severity = Source.ESCALATED, Severity.HIGH
        review.entered, review.due = decision.made, decision.made + DUE[Severity.HIGH]
    elif decision.disposition == Disposition.NEEDS_INFORMATION and decision.until:
        review.source, review.entered = Source.INFORMATION, decision.made
        end = datetime.combine(decision.until + timedelta(days=1), time.min)
        review.due = timezone.make_aware(end)
    elif decision.uncovered:
        review.source, review.entered = Source.PART, decision.made
        review.due = min(review.due, decision.made + DUE[Severity(review.severity)])
    elif decision.drawn:
        review.source, review.severity = Source.SECOND, Severity.ROUTINE
        review.entered, review.due = decision.made, decision.made + DUE[Severity.ROUTINE]
    else:
        review.state = State.DECIDED
    review.save()


def _is_drawn(decision: Decision) -> bool:
    """Tell whether a second reviewer decides, too: of decisions that end a first review, a share.

    Drawn by the decision's id, with a key of the gateway's: no reviewer knows before.
    """
    is_open = decision.disposition in Decision.HANDED_ON or bool(decision.uncovered)
    if is_open or decision.second_of:
        return False
    seed = salted_hmac("conversations.second_line", "", algorithm="sha256").digest()
    return drawn(seed, decision.id, Decimal(str(settings.SECOND_LINE_PERCENT)))


def seconds_since(event: UUID) -> int:
    """How many seconds ago an audit event was."""
    return max(0, round((timezone.now() - time_of(event)).total_seconds()))


def _lock(
    conversation: Conversation, source: str, severity: Review.Severity = Severity.ROUTINE
) -> Review:
    """Lock the review of a conversation; enter it into the queue first if it has none."""
    _enter(conversation, source, severity)
    return Review.objects.select_for_update().get(conversation=conversation)


def _enter(
    conversation: Conversation, source: str, severity: Review.Severity = Severity.ROUTINE
) -> bool:
    """Enter a conversation into the queue if it has no review; tell whether it had none."""
    now = timezone.now()
    new: dict[str, Any] = {
        "source": source,
        "severity": severity,
        "entered": now,
        "due": now + DUE[severity],
    }
    return Review.objects.get_or_create(conversation=conversation, defaults=new)[1]


def _lease(request: HttpRequest, review: Review, now: datetime) -> None:
    review.state, review.assignee = State.WAITING, request.user  # type: ignore[assignment]
    review.lease = now + LEASE
    review.save(update_fields=["state", "assignee", "lease"])
    audit.record(
        request,
        Action.ASSIGNMENT,
        review.conversation,
        to=request.user.get_username(),
        until=review.lease,
    )


def _refuse_own(reviewer: User | AnonymousUser, conversation: Conversation) -> None:
    if person_of(reviewer).is_behind(conversation):
        raise ReviewRefused(OWN)


def _refuse_unfit(reviewer: User, conversation: Conversation) -> None:
    """Refuse a reviewer who may not decide about this conversation. Raises Unfit."""
    if not may(reviewer, "decide"):
        raise Unfit(_("%(user)s is not a reviewer.") % {"user": reviewer})
    if person_of(reviewer).is_behind(conversation):
        raise Unfit(_("%(user)s owns this conversation.") % {"user": reviewer})
    if not readable(reviewer, Conversation.objects.filter(pk=conversation.pk)).exists():
        text = _("%(user)s may not read conversations of this department.")
        raise Unfit(text % {"user": reviewer})


def _refuse_second(reviewer: User | AnonymousUser, review: Review) -> None:
    """Refuse that a person is the second reviewer of their own decision, by whatever account."""
    if _is_own_second(reviewer, review):
        raise ReviewRefused(DECIDED_BY_YOU)


def _is_own_second(reviewer: User | AnonymousUser, review: Review) -> bool:
    first = review.decision if review.is_second else None
    return first is not None and first.reviewer_id in person_of(reviewer).accounts


def _refuse_held(reviewer: User | AnonymousUser, review: Review, now: datetime) -> None:
    """Refuse what another reviewer holds, or a Lead must decide. A Lead is refused nothing."""
    if may(reviewer, "lead"):
        return
    if review.state == State.WAITING and review.source == Source.ESCALATED:
        raise ReviewRefused(_("This conversation was escalated. Only a Lead can decide it."))
    if review.held_by_another(reviewer, now):
        raise ReviewRefused(TAKEN.format(review.assignee))


# Conversations that enter it by themselves --------------------------------------------------------


def reopen(subjects: list[UUID]) -> int:
    """Bring back decided conversations with calls that their decisions did not see.

    `subjects` are newly sealed calls and decisions. Asked at the seal of both: whichever of the two
    is committed later is sealed with the other in sight, so that neither order escapes. Return how
    many came back.
    """
    called = Snapshot.objects.filter(id__in=subjects).values("conversation")
    decided = Decision.objects.filter(id__in=subjects).values("conversation")
    gone_on = Review.objects.decided().filter(
        Exists(calls_unseen("decision", conversation="conversation"))
    )
    rows = gone_on.filter(Q(conversation__in=called) | Q(conversation__in=decided))
    # Another decision may be under way: it is waited for, and what it saw is looked at anew.
    locked = list(rows.order_by("pk").select_for_update(of=("self",)).values_list("pk", flat=True))
    now = timezone.now()
    return gone_on.filter(pk__in=locked).update(
        state=State.WAITING,
        source=Source.REOPENED,
        severity=Greatest("severity", Severity.RAISED.value),
        entered=now,
        due=now + DUE[Severity.RAISED],
        assignee=None,
        lease=None,
    )


def sample(calls: list[UUID]) -> int:
    """Enter what a policy draws of newly sealed calls, and return how many.

    Conversations, and calls in none. Each enters once, and only if it began since the policy was
    made.
    """
    policies = list(SamplingPolicy.objects.filter(active=True))
    if not policies:
        return 0
    first = min(policy.made for policy in policies)
    sealed = Snapshot.objects.filter(id__in=calls)
    begun = sealed.filter(kind=Snapshot.Kind.CHAT, conversation__started__gte=first)
    alone = sealed.reviewed_alone().filter(opened__gte=first)
    rows = [
        *begun.values_list("conversation", "conversation__started", *SAMPLED_BY),
        *alone.values_list("pk", "opened", *SAMPLED_BY),
    ]
    reviews = {
        pk: _drawn_review(pk, policy)
        for pk, started, department, model in rows
        for policy in policies
        if policy.covers(started, department, model)
        and drawn(bytes(policy.seed), pk, policy.percent)
    }
    with transaction.atomic():
        kept = [row_of(call) for call in alone.filter(pk__in=reviews)]
        Conversation.objects.bulk_create(kept, ignore_conflicts=True)
        return len(Review.objects.bulk_create(reviews.values(), ignore_conflicts=True))


def _drawn_review(conversation: UUID, policy: SamplingPolicy) -> Review:
    now = timezone.now()
    return Review(
        conversation_id=conversation,
        source=Source.SAMPLED,
        policy=policy,
        entered=now,
        due=now + DUE[Severity.ROUTINE],
    )


def drawn(seed: bytes, row: UUID, percent: Decimal) -> bool:
    """Return whether a policy draws a conversation, or a call in none: its seed repeats it."""
    return int.from_bytes(hmac.digest(seed, row.bytes, "sha256")[:8]) * 100 < percent * 2**64
