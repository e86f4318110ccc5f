"""Jobs of the worker: titles and assessments by a model; checkpoints and notices that go out.

Every process imports this at its start, also one that passes on no calls: the relay is imported
where it is used.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.db import Error, transaction
from procrastinate import JobContext
from procrastinate.contrib.django import app
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException

from conversations import database
from conversations.models import AuditEvent, Conversation, Snapshot
from conversations.people import audit
from conversations.report import assessments

from .faults import Fault

if TYPE_CHECKING:
    from .relay.exchange import Exchange

# Titles under way at a time, whatever the number of workers: other jobs get past a silent model.
AT_ONCE = 2
SAMPLE = "nightly sample"  # on the audit trail
log = logging.getLogger(__name__)


@app.task
def title(conversation: str) -> None:
    """Write a title, and not again where that fails.

    Safe to run twice: a title of the conversation's own is left alone.
    """
    from .jobs import titles

    untitled = Conversation.objects.filter(titled_by=Conversation.TitledBy.WORDS)
    try:
        if row := untitled.filter(id=conversation).first():
            titles.write(row, titles.build_request(row))
    except Fault as fault:
        log.info(
            "conversation %s keeps its first words for a title: %s", conversation, fault.status
        )
    finally:
        database.release()


def title_later(exchange: Exchange) -> None:
    """Ask for a title after a page's call, if it was the first of its conversation. Never fails."""
    call = exchange.call
    if not settings.TITLES or call.head_depth or exchange.token:  # a token goes into no job
        return
    try:
        answered = Snapshot.objects.filter(
            id=call.id,
            status=Snapshot.Status.OK,
            conversation__titled_by=Conversation.TitledBy.WORDS,
        )
        if call.conversation and answered.exists():
            title.configure(lock=f"title {call.conversation.int % AT_ONCE}").defer(
                conversation=str(call.conversation)
            )
    except (Error, ConnectorException) as problem:
        log.warning(
            "conversation %s gets no title by a model: %s",
            call.conversation,
            type(problem).__name__,
        )
    finally:
        database.release()


# Assessments ------------------------------------------------------------------------------------


@app.task(lock="assess")  # one at a time, whatever the number of workers, as titles
def assess(conversation: str, *, if_due: bool) -> None:
    """Assess it, and not again where that fails.

    With `if_due` only where something was answered since the last time: it is safe to run twice.
    """
    from .jobs import metadata

    try:
        row = Conversation.objects.filter(id=conversation).first()
        if row and settings.METADATA_CHECK and (not if_due or assessments.due(row)):
            metadata.assess(metadata.build_request(row))
    except Fault as fault:
        log.info("conversation %s was not assessed: %s", conversation, fault.status)
    finally:
        database.release()


def assess_later(conversation: UUID, *, if_due: bool = False) -> None:
    """Have it assessed by the worker. Raises AlreadyEnqueued where it waits for that."""
    assess.configure(queueing_lock=f"assess {conversation}").defer(
        conversation=str(conversation), if_due=if_due
    )


@app.periodic(cron="30 1 * * *")
@app.task(queueing_lock="draw")
def draw(timestamp: int) -> None:
    """Draw a sample of the day before (UTC), each conversation first onto the audit trail."""
    day = datetime.fromtimestamp(timestamp, UTC).date() - timedelta(days=1)
    percent = settings.METADATA_SAMPLE if settings.METADATA_CHECK else 0
    try:
        drawn = assessments.sample(day, percent, settings.METADATA_SAMPLE_MOST) if percent else []
        for key in drawn:
            with suppress(AlreadyEnqueued), transaction.atomic():  # it waits for that already
                subject = Conversation(id=key)
                audit.record(
                    SAMPLE, AuditEvent.Action.ASSESSMENT, subject, day=day, percent=percent
                )
                assess_later(key, if_due=True)
    finally:
        database.release()


# What goes out ----------------------------------------------------------------------------------


@app.periodic(cron="* * * * *")
@app.task(queueing_lock="checkpoints", lock="checkpoints", pass_context=True)
def send_checkpoints(context: JobContext, timestamp: int) -> None:
    """Send those that the receiver has not; one worker at a time, so that they keep their order."""
    from .jobs import checkpoints

    checkpoints.send_checkpoints(context.should_abort)


@app.periodic(cron="* * * * *")
@app.task(queueing_lock="notices", lock="notices", pass_context=True)
def send_notices(context: JobContext, timestamp: int) -> None:
    """Find out what is to be told, and tell it."""
    from conversations.notices import collect

    from .jobs import notices

    try:
        collect()
        notices.send_notices(context.should_abort)
    finally:
        database.release()
