"""What members do with a case: open one, let others in, link conversations, write notes.

Every change is one transaction with its event on the audit trail, which quotes no name of a case
and no note. A member reads of a linked conversation what the member's own rights allow.
"""

from typing import cast

from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext as _

from .models import AuditEvent, Case, CaseEntry, CaseMember, Conversation, User
from .models.case import CaseEntryQuerySet, CaseQuerySet
from .models.review import is_about
from .people import audit
from .people.access import Account, may, readable, reads_everything
from .people.persons import person_of

Action = AuditEvent.Action
Kind = CaseEntry.Kind


class CaseRefused(Exception):
    """A change that a member may not make; the text is fit to show."""


def works_on_cases(user: Account) -> bool:
    return may(user, "view_content") and may(user, "decide")


def visible_to(user: Account) -> CaseQuerySet:
    """Return the cases that this account may open: its own; a Lead of all departments, all."""
    if not works_on_cases(user):
        return Case.objects.none()
    if may(user, "lead") and reads_everything(user):
        return Case.objects.all()
    return Case.objects.with_member(user)


def readable_links(user: Account) -> CaseEntryQuerySet:
    """Return the links to conversations that this account may read and that are not its own."""
    own = is_about(person_of(user), path="")
    conversations = readable(user, Conversation.objects.exclude(own))
    return CaseEntry.objects.links().filter(conversation__in=conversations)


def open_case(request: HttpRequest, name: str, purpose: str) -> Case:
    """Open a case, with its maker as the first member. Raises CaseRefused."""
    if not name.strip() or not purpose.strip():
        raise CaseRefused(_("Enter a name and a purpose."))
    maker = cast(User, request.user)
    with transaction.atomic():
        case = Case.objects.create(name=name.strip(), purpose=purpose.strip(), made_by=maker)
        CaseMember.objects.create(case=case, user=maker)
        audit.record(request, Action.ADDED, case)
    return case


def add_note(request: HttpRequest, case: Case, text: str) -> None:
    """Raise CaseRefused for an empty note."""
    if not text.strip():
        raise CaseRefused(_("Write a note first."))
    _append(request, case, Kind.NOTE, text=text.strip())


def link(request: HttpRequest, case: Case, conversation: Conversation, text: str = "") -> None:
    """Link a conversation that the member may read. Raises CaseRefused."""
    if person_of(request.user).is_behind(conversation):
        raise CaseRefused(_("This is your own conversation, so another reviewer must link it."))
    with transaction.atomic():
        if _is_linked(_lock(case), conversation):
            raise CaseRefused(_("This conversation is linked already."))
        _append(request, case, Kind.LINKED, conversation, text)


def unlink(request: HttpRequest, case: Case, conversation: Conversation, text: str) -> None:
    """Take a link out of force; its entry stays. Raises CaseRefused."""
    if not text.strip():
        raise CaseRefused(_("Enter a reason to remove a conversation."))
    with transaction.atomic():
        if not _is_linked(_lock(case), conversation):
            raise CaseRefused(_("This conversation is not linked."))
        _append(request, case, Kind.UNLINKED, conversation, text)


def add_member(request: HttpRequest, case: Case, person: User | None) -> None:
    """Let a reviewer in. Raises CaseRefused."""
    if person is None or not works_on_cases(person):
        raise CaseRefused(_("There is no reviewer with that name."))
    with transaction.atomic():
        if not CaseMember.objects.get_or_create(case=case, user=person)[1]:
            raise CaseRefused(_("%(user)s is a member already.") % {"user": person})
        audit.record(request, Action.ADDED, case, member=person.get_username())


def remove_member(request: HttpRequest, case: Case, person: User | None) -> None:
    """Let a member in no more; the last one stays. Raises CaseRefused."""
    with transaction.atomic():
        members = CaseMember.objects.filter(case=_lock(case))
        if person is None or not members.filter(user=person).exists():
            raise CaseRefused(_("There is no member with that name."))
        if members.count() == 1:
            raise CaseRefused(_("The last member of a case stays. Add another one first."))
        members.filter(user=person).delete()
        audit.record(request, Action.DELETED, case, member=person.get_username())


def _lock(case: Case) -> Case:
    """Let no other change of this case pass before this one."""
    return Case.objects.select_for_update().get(pk=case.pk)


def _is_linked(case: Case, conversation: Conversation) -> bool:
    return CaseEntry.objects.filter(case=case, conversation=conversation).links().exists()


def _append(
    request: HttpRequest,
    case: Case,
    kind: Kind,
    conversation: Conversation | None = None,
    text: str = "",
) -> None:
    author = cast(User, request.user)
    with transaction.atomic():
        entry = CaseEntry.objects.create(
            case=case, author=author, kind=kind, conversation=conversation, text=text.strip()
        )
        audit.record(request, Action.ADDED, entry, case=case.pk, what=kind.label)
