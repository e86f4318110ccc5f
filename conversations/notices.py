"""Who is told what, and in which words; proxy.jobs.notices delivers.

Most of it comes from the sealed audit trail, which the worker reads as a queue: what was on it when
a worker died is read again, and a row says that somebody was told. Nothing here quotes a message, a
title or the person whose conversation it is.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from .models import AuditEvent, Conversation, Notice, NoticeFeed, Review, Seal, User, Verification
from .people import grants
from .people.access import may, readable
from .people.approvals import holders
from .people.persons import find_accounts, person_of

Kind = Notice.Kind
Action = AuditEvent.Action
TOLD_OF = (Action.ASSIGNMENT, Action.DECISION, Action.ADDED, Action.CHANGED)
AT_ONCE = 5000  # seals that are read at a time
KEPT = timedelta(days=30)
RECENT = timedelta(days=7)  # of failed runs of verify that are told

# Subject and text of each kind, made of its facts.
WORDS: dict[str, tuple[str | Promise, str | Promise]] = {
    Kind.SELF_GRANTED: (
        _("%(who)s gave itself rights"),
        _("The account %(who)s gave itself, or another account of its person: %(rights)s."),
    ),
    Kind.NOT_WHOLE: (
        _("The check of the record failed"),
        _("The record is not whole, or could not be checked. Up to seal %(seals)s: %(problem)s"),
    ),
    Kind.ESCALATED: (
        _("A conversation was escalated"),
        _("%(who)s escalated a conversation. It waits for a Lead."),
    ),
    Kind.ASKED: (
        _("%(to)s is asked for information about a conversation"),
        _("%(who)s asks %(to)s for information about a conversation, by %(until)s."),
    ),
    Kind.ASSIGNED: (
        _("A conversation was assigned to %(to)s"),
        _("%(who)s assigned a conversation to %(to)s."),
    ),
    Kind.OVERDUE: (
        _("Overdue reviews: %(count)s"),
        _("Reviews that are overdue: %(count)s."),
    ),
}


class Told(NamedTuple):
    """One thing to tell: its facts, and who gets it by mail."""

    kind: Kind
    subject: str
    facts: dict[str, Any]
    people: list[User]
    is_for_all: bool = True  # the webhook gets it too


def is_on() -> bool:
    return bool(settings.NOTICE_URL or settings.NOTICE_MAIL)


def write(notice: Notice) -> tuple[str, str]:
    """Return its subject and its text, with the address of the page that has more."""
    facts = json.loads(notice.facts)
    subject, text = (str(words) % facts for words in WORDS[notice.kind])
    return subject, f"{text}\n\n{settings.PUBLIC_URL.rstrip('/')}{facts['path']}\n"


# What there is to tell ----------------------------------------------------------------------------


def collect(now: datetime | None = None) -> int:
    """Make rows of all that is to be told, each once, and return how many are new."""
    now = now or timezone.now()
    Notice.objects.made_before(now - KEPT).delete()
    if not is_on():
        NoticeFeed.objects.all().delete()  # what happens meanwhile is not told later
        return 0
    made = _keep(_find_failed_runs(now)) + _keep(_find_overdue(now))
    while True:
        count, more = _read_trail()
        made += count
        if not more:
            return made


def _read_trail() -> tuple[int, bool]:
    """Read the next stretch of the trail; return how many notices it made, and if there is more."""
    head = Seal.objects.order_by("-number").values_list("number", flat=True).first() or 0
    with transaction.atomic():
        NoticeFeed.objects.get_or_create(pk=1, defaults={"number": head})
        feed = NoticeFeed.objects.select_for_update().get(pk=1)
        last = min(head, feed.number + AT_ONCE)
        sealed = Seal.objects.filter(number__gt=feed.number, number__lte=last, kind="auditevent")
        events = AuditEvent.objects.filter(id__in=sealed.values("subject")).doing(*TOLD_OF)
        told = (each for event in events.select_related("actor") for each in _read_event(event))
        made = _keep(told)
        feed.number = last
        feed.save(update_fields=["number"])
    return made, last < head


def _keep(told: Iterable[Told]) -> int:
    """Save a row for the webhook and one for each mail, where there is none yet."""
    rows = []
    for each in told:
        recipients: list[User | None] = []
        if settings.NOTICE_URL and each.is_for_all:
            recipients.append(None)
        if settings.NOTICE_MAIL:
            recipients += [person for person in each.people if person.email]
        facts = json.dumps(each.facts)
        rows += [
            Notice(kind=each.kind, subject=each.subject, recipient=recipient, facts=facts)
            for recipient in recipients
        ]
    before = Notice.objects.count()
    Notice.objects.bulk_create(rows, ignore_conflicts=True)
    return Notice.objects.count() - before


def _read_event(event: AuditEvent) -> Iterator[Told]:
    """Yield what an event of the trail tells, if anything."""
    detail = json.loads(event.detail)
    if event.action == Action.ASSIGNMENT:
        yield from _tell_assigned(event, detail)
    elif event.action == Action.DECISION and detail.get("disposition") == "escalated":
        yield from _tell_escalated(event, detail.get("to"))
    elif event.action == Action.DECISION and detail.get("disposition") == "needs_information":
        yield from _tell_asked(event, detail)
    elif given := grants.gives_itself(event):
        rights = sorted({change.value or str(grants.FLAGS[change.field]) for change in given})
        path = reverse("admin:conversations_auditevent_change", args=[event.pk])
        facts = {"who": event.actor_name, "rights": ", ".join(rights), "path": path}
        yield Told(Kind.SELF_GRANTED, str(event.pk), facts, _list_auditors(besides=event.actor))


def _tell_assigned(event: AuditEvent, detail: dict[str, Any]) -> Iterator[Told]:
    """A reviewer who claims it needs not be told."""
    name = detail.get("to")
    if not name or name == event.actor_name or detail.get("refused"):
        return
    facts = {"who": event.actor_name, "to": name, "path": _path_of(event)}
    yield Told(Kind.ASSIGNED, str(event.pk), facts, _find_addressee(event, name))


def _tell_asked(event: AuditEvent, detail: dict[str, Any]) -> Iterator[Told]:
    """A reviewer who puts off the own answer needs not be told."""
    name = detail["to"]
    if name == event.actor_name:
        return
    facts = {"who": event.actor_name, "to": name, "until": detail["until"]}
    facts["path"] = _path_of(event)
    yield Told(Kind.ASKED, str(event.pk), facts, _find_addressee(event, name))


def _tell_escalated(event: AuditEvent, addressee: str | None) -> Iterator[Told]:
    """Tell the Lead it goes to; where none is named, all who may read it, but for its owner."""
    if event.conversation is None:
        return
    if not Conversation.objects.filter(pk=event.conversation).exists():
        return  # it was erased meanwhile
    leads = holders("lead").filter(username=addressee) if addressee else holders("lead")
    facts = {"who": event.actor_name, "path": _path_of(event)}
    yield Told(Kind.ESCALATED, str(event.pk), facts, _who_may_decide(event, leads))


def _find_addressee(event: AuditEvent, name: str) -> list[User]:
    return _who_may_decide(event, User.objects.filter(username=name, is_active=True))


def _who_may_decide(event: AuditEvent, people: Iterable[User]) -> list[User]:
    """Leave out those who may not decide about the conversation by now: they learn nothing of it.

    Of a conversation that was erased meanwhile no person is told.
    """
    if event.conversation is None:
        return []
    conversation = Conversation.objects.filter(pk=event.conversation)
    about = conversation.select_related("owner").first()
    return [
        person
        for person in people
        if about is not None
        and may(person, "decide")
        and not person_of(person).is_behind(about)
        and readable(person, conversation).exists()
    ]


def _path_of(event: AuditEvent) -> str:
    return reverse("admin:conversations_conversation_change", args=[event.conversation])


def _find_failed_runs(now: datetime) -> Iterator[Told]:
    failed = Verification.objects.exclude(problem="").filter(ended__gte=now - RECENT)
    auditors = _list_auditors() if failed else []
    for run in failed:
        facts = {"seals": run.seals, "problem": run.problem, "path": reverse("admin:verifications")}
        yield Told(Kind.NOT_WHOLE, str(run.pk), facts, auditors)


def _find_overdue(now: datetime) -> Iterator[Told]:
    """Once a day: each reviewer their own, each Lead those that nobody has, the webhook all."""
    day = f"{now:%Y-%m-%d}"
    if Notice.objects.filter(kind=Kind.OVERDUE, subject__startswith=day).exists():
        return
    overdue = Review.objects.waiting().filter(due__lt=now)
    path = f"{reverse('admin:review-queue')}?of=overdue"
    total = overdue.count()
    if not total:
        return
    yield Told(Kind.OVERDUE, day, {"count": total, "path": path}, [])
    for person in holders("decide"):
        theirs = readable(person, overdue).open_to(person_of(person))  # type: ignore[attr-defined]
        whose = theirs.filter(assignee=person)
        if may(person, "lead"):
            whose |= theirs.filter(assignee=None)
        if count := whose.count():
            facts = {"count": count, "path": path}
            subject = f"{day} {person.pk}"
            yield Told(Kind.OVERDUE, subject, facts, [person], is_for_all=False)


def _list_auditors(besides: User | None = None) -> list[User]:
    people = holders("view_audit")
    return list(people.exclude(pk__in=find_accounts(besides.pk)) if besides else people)
