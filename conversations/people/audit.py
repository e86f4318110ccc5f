"""The audit trail, and its one rule: what cannot be recorded does not happen.

Reading is recorded before anything is rendered; a change, in its own transaction. Changes are the rows of other models, made
by their own code: `record` only says who, what and when.
"""

import json
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import Error
from django.db.models import Model
from django.http import HttpRequest

from ..models import AuditEvent, Conversation

LONGEST = 500  # characters of a name or a header that are kept


class NotRecorded(Exception):
    """There is no audit event, so there must be no page either: it becomes an error without content."""


def record(
    who: Any,
    action: str,
    subject: Model | type[Model] | None = None,
    *,
    terms: str = "",
    **detail: Any,
) -> AuditEvent:
    """One event, committed when this returns unless a transaction is open. `who` is a request, a user, or the name of a command;
    `subject` a row, or the model whose rows were listed.

    `detail` holds filters, counts and reasons, and is shown to Auditors: nothing that quotes what was said. Words that were searched for are `terms`.
    Raises NotRecorded.
    """
    request = who if isinstance(who, HttpRequest) else None
    actor: Any = getattr(request, "user", None) if request else who
    known = getattr(actor, "pk", None)
    event = AuditEvent(
        actor_id=known,
        actor_name=clean(
            actor if isinstance(actor, str) else actor.get_username() if known else ""
        ),
        address=getattr(request, "client_address", None),
        user_agent=clean(request.headers.get("User-Agent", "")) if request else "",
        action=action,
        kind=(subject._meta.model_name or "") if subject else "",
        subject=str(subject.pk) if isinstance(subject, Model) else "",
        conversation=conversation_of(subject),
        terms=clean(terms),
        detail=json.dumps(detail, cls=DjangoJSONEncoder),
    )
    try:
        event.save(force_insert=True)
    except Error as problem:
        raise NotRecorded(f"{action}: {type(problem).__name__}") from problem
    return event


def conversation_of(subject: Any) -> Any:
    if not isinstance(subject, Model):
        return None
    return (
        subject.pk
        if isinstance(subject, Conversation)
        else getattr(subject, "conversation_id", None)
    )


def clean(text: str) -> str:
    return text[:LONGEST].replace("\0", "\ufffd").encode(errors="replace").decode()
