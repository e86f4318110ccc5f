"""The audit trail, and its one rule: what cannot be recorded does not happen.

Reading is recorded before anything is rendered; a change, in its own transaction. Changes are the
rows of other models, made by their own code: `record` only says who, what and when.
"""

import json
from typing import Any
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db import Error
from django.db.models import Model
from django.http import HttpRequest

from ..models import AuditEvent, Conversation, Snapshot
from . import cross_site

LONGEST = 500  # characters of a name or a header that are kept


class NotRecorded(Exception):
    """There is no audit event, so there must be no page either: an error without content."""


def record(
    actor: Any,
    action: str,
    subject: Model | type[Model] | None = None,
    *,
    terms: str = "",
    address: str | None = None,
    **detail: Any,
) -> AuditEvent:
    """Record one event, committed when this returns unless a transaction is open.

    `actor` is a request, a user, or the name of a command; `subject` a row, or the model whose rows
    were listed. `terms` are words that were searched, `address` is where it came from if no request
    says so. `detail` holds filters, counts and reasons,
    and Auditors see it: it quotes no content. Raises NotRecorded, and CrossSite for a read that
    another site had the browser of a person make.
    """
    request = actor if isinstance(actor, HttpRequest) else None
    if request:
        cross_site.refuse(request)
        actor = getattr(request, "user", None)
    account = getattr(actor, "pk", None)
    event = AuditEvent(
        actor_id=account,
        actor_name=clean(_name_of(actor)),
        address=getattr(request, "client_address", address),
        user_agent=clean(request.headers.get("User-Agent", "")) if request else "",
        action=action,
        kind=(subject._meta.model_name or "") if subject else "",
        subject=str(subject.pk) if isinstance(subject, Model) else "",
        conversation=_conversation_of(subject),
        terms=clean(terms),
        detail=json.dumps(detail, cls=DjangoJSONEncoder),
    )
    try:
        event.save(force_insert=True)
    except Error as problem:
        raise NotRecorded(f"{action}: {type(problem).__name__}") from problem
    return event


def _name_of(actor: Any) -> str:
    if isinstance(actor, str):
        return actor
    return actor.get_username() if getattr(actor, "pk", None) else ""


def _conversation_of(subject: Model | type[Model] | None) -> UUID | None:
    if isinstance(subject, Conversation):
        return subject.pk
    if isinstance(subject, Snapshot):
        return subject.conversation_id or subject.pk
    return getattr(subject, "conversation_id", None) if isinstance(subject, Model) else None


def clean(text: str) -> str:
    return text[:LONGEST].replace("\0", "\ufffd").encode(errors="replace").decode()
