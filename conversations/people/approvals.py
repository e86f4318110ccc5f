"""Two people for one thing: who asks, who may agree, and when asking alone is enough.

Whatever needs it asks here, and looks here whether it is in force. Accounts of one person are one
person. Where nobody but the asker holds the right, it acts after APPROVAL_DELAY_HOURS: time enough
for others to see it on the admin's home page.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy

from ..models import Approval, AuditEvent, User
from ..models.approval import ApprovalQuerySet, canonical, digest_of
from . import audit
from .access import Account, holders_of, may
from .persons import find_accounts, is_same_person

State = Approval.State
RIGHTS = ("view_content", "export_content")  # of second persons; a new kind may add its own


class Verdict(StrEnum):
    """Whether an account may decide, or why not."""

    MAY = "may"
    SETTLED = "settled"
    SAME_PERSON = "same person"
    NO_RIGHT = "no right"


WORDS = {
    Verdict.SETTLED: gettext_lazy("This was decided already, or is over."),
    Verdict.SAME_PERSON: gettext_lazy("You asked for this yourself: a second person has to agree."),
    Verdict.NO_RIGHT: gettext_lazy("Only a person who holds the right themselves can agree."),
}


class Wanted(NamedTuple):
    """What somebody asks for."""

    kind: str
    target: str  # the id of what it is for
    name: str  # in words
    content: dict[str, Any]  # exactly what is agreed to; no messages
    right: str  # of the record, that the second person holds
    until: datetime | None = None


class DecisionRefused(Exception):
    """Why nothing was decided; the text is fit to show."""


def judge(state: State, *, agrees: bool, asked_it: bool, holds_right: bool) -> Verdict:
    """Whether somebody may agree or refuse. Pure.

    `asked_it`: the same person asked, by whatever account; that person may only take it back. What
    acts alone can still be refused.
    """
    if state not in (State.WAITING, State.ALONE):
        return Verdict.SETTLED
    if asked_it:
        return Verdict.SAME_PERSON if agrees else Verdict.MAY
    return Verdict.MAY if holds_right else Verdict.NO_RIGHT


def acts_alone_at(
    asked: datetime, delay: timedelta, *, asker_holds_right: bool, others: int
) -> datetime | None:
    """When a request acts though nobody agreed; None: never, since somebody can. Pure."""
    return asked + delay if asker_holds_right and not others else None


def holders(right: str) -> QuerySet[User]:
    """Return the people who hold a right of the record and can sign in, or did."""
    absent = Q(password__startswith=UNUSABLE_PASSWORD_PREFIX, last_login=None)
    return holders_of(right).filter(is_service=False).exclude(absent)


def is_holder(account: Account, right: str) -> bool:
    """Whether this account is a person's who holds the right."""
    return may(account, right) and not getattr(account, "is_service", False)


def ask(request: HttpRequest, wanted: Wanted) -> Approval:
    """Ask in the name of the account that makes the request, on the audit trail."""
    assert wanted.right in RIGHTS, wanted.right
    asker: Any = request.user
    now = timezone.now()
    others = holders(wanted.right).exclude(pk__in=find_accounts(asker.pk)).count()
    delay = timedelta(hours=settings.APPROVAL_DELAY_HOURS)
    holds_right = is_holder(asker, wanted.right)
    acts_alone = acts_alone_at(now, delay, asker_holds_right=holds_right, others=others)
    with transaction.atomic():
        approval = Approval.objects.create(
            kind=wanted.kind,
            target=wanted.target,
            name=wanted.name,
            content=canonical(wanted.content),
            digest=digest_of(wanted.content),
            right=wanted.right,
            asked=now,
            asked_by=asker,
            acts_alone=acts_alone,
            until=wanted.until,
        )
        detail: dict[str, Any] = {"content": wanted.content, "acts_alone": acts_alone}
        audit.record(request, AuditEvent.Action.ADDED, approval, name=wanted.name, **detail)
    return approval


def verdict(account: Account, approval: Approval, *, agrees: bool) -> Verdict:
    return judge(
        approval.state,
        agrees=agrees,
        asked_it=isinstance(account, User) and is_same_person(approval.asked_by, account),
        holds_right=is_holder(account, approval.right),
    )


def decide(request: HttpRequest, approval: Approval, *, agrees: bool) -> None:
    """Agree or refuse, on the audit trail. Raises DecisionRefused."""
    found = verdict(request.user, approval, agrees=agrees)
    if found != Verdict.MAY:
        raise DecisionRefused(WORDS[found])
    with transaction.atomic():
        if not approval.decide(request.user, agreed=agrees):
            raise DecisionRefused(WORDS[Verdict.SETTLED])
        word = "Agreed." if agrees else "Refused."
        audit.record(request, AuditEvent.Action.CHANGED, approval, name=str(approval), what=word)


def may_look(account: Account) -> bool:
    """Whether this account may see approvals: it administers, or could agree to one."""
    if account.is_superuser or may(account, "view_audit"):
        return account.is_active
    return bool(_held_rights(account))


def visible_to(account: Account) -> ApprovalQuerySet:
    """Select what this account may agree to, or asked for; all, for those who administer."""
    rows = Approval.objects.select_related("asked_by", "decided_by")
    if account.is_superuser or may(account, "view_audit"):
        return rows
    return rows.filter(Q(right__in=_held_rights(account)) | Q(asked_by_id=account.pk))


def _held_rights(account: Account) -> list[str]:
    return [right for right in RIGHTS if may(account, right)]
