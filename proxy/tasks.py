"""What pages leave to the worker: a title for a new conversation.

Read at the start of every process, also of those that pass on nothing: the passage is imported where it is used.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import Error
from procrastinate.contrib.django import app
from procrastinate.exceptions import ConnectorException

from conversations import record
from conversations.models import Conversation, Snapshot

from .upstream import Fault

if TYPE_CHECKING:
    from .exchange import Exchange

AT_ONCE = 2  # titles that are asked for at a time, by however many workers: a silent model must not keep them from other jobs
log = logging.getLogger(__name__)


@app.task
def title(conversation: str) -> None:
    """Once, and not again where that fails. Safe to run twice: what has a title of its own is left alone."""
    from . import titles

    try:
        found = Conversation.objects.filter(id=conversation, titled_by=Conversation.TitledBy.WORDS).first()
        if found:
            titles.write(found, titles.asked(found))
    except Fault as fault:
        log.info("conversation %s keeps its first words for a title: %s", conversation, fault.status)
    finally:
        record.release()


def after(exchange: Exchange) -> None:
    """A page's call has ended: if it was the first answer of its conversation, a title is asked for. Never fails."""
    call = exchange.call
    if not settings.TITLES or call.head_depth or exchange.token:  # a person's own token goes into no job
        return
    try:
        answered = Snapshot.objects.filter(id=call.id, status=Snapshot.Status.OK, conversation__titled_by=Conversation.TitledBy.WORDS)
        if call.conversation and answered.exists():
            title.configure(lock=f"title {call.conversation.int % AT_ONCE}").defer(conversation=str(call.conversation))
    except (Error, ConnectorException) as problem:
        log.warning("conversation %s gets no title by a model: %s", call.conversation, type(problem).__name__)
    finally:
        record.release()
