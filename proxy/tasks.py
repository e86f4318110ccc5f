"""What is left to the worker: a title for a new conversation, and what a model says about one as a whole.

Read at the start of every process, also of those that pass on nothing: the passage is imported where it is used.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.db import Error, transaction
from procrastinate.contrib.django import app
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException

from conversations import database
from conversations.models import AuditEvent, Conversation, Snapshot
from conversations.people import audit
from conversations.report import assessments

from .faults import Fault

if TYPE_CHECKING:
    from .relay.exchange import Exchange

AT_ONCE = 2  # titles that are asked for at a time, by however many workers: a silent model must not keep them from other jobs
SAMPLE = "nightly sample"  # on the audit trail
log = logging.getLogger(__name__)


@app.task
def title(conversation: str) -> None:
    """Once, and not again where that fails. Safe to run twice: what has a title of its own is left alone."""
    from .jobs import titles

    try:
        found = Conversation.objects.filter(
            id=conversation, titled_by=Conversation.TitledBy.WORDS
        ).first()
        if found:
            titles.write(found, titles.build_request(found))
    except Fault as fault:
        log.info(
            "conversation %s keeps its first words for a title: %s", conversation, fault.status
        )
    finally:
        database.release()


def title_later(exchange: Exchange) -> None:
    """A page's call has ended: if it was the first answer of its conversation, a title is asked for. Never fails."""
    call = exchange.call
    if (
        not settings.TITLES or call.head_depth or exchange.token
    ):  # a person's own token goes into no job
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


# Assessments ----------------------------------------------------------------------------------------------------


@app.task(lock="assess")  # one at a time, by however many workers, as titles
def assess(conversation: str, if_due: bool) -> None:
    """Not tried again where it fails. With `if_due` only where something was answered since the last time, so it is safe to run twice."""
    from .jobs import metadata

    try:
        found = Conversation.objects.filter(id=conversation).first()
        if found and settings.METADATA_CHECK and (not if_due or assessments.due(found)):
            metadata.assess(metadata.build_request(found))
    except Fault as fault:
        log.info("conversation %s was not assessed: %s", conversation, fault.status)
    finally:
        database.release()


def assess_later(conversation: UUID, *, if_due: bool = False) -> None:
    """Raises AlreadyEnqueued where it waits for that."""
    assess.configure(queueing_lock=f"assess {conversation}").defer(
        conversation=str(conversation), if_due=if_due
    )


@app.periodic(cron="30 1 * * *")
@app.task(queueing_lock="draw")
def draw(timestamp: int) -> None:
    """A sample of the day before (UTC). What is drawn is on the audit trail, before any of it is asked."""
    percent, day = (
        settings.METADATA_SAMPLE,
        datetime.fromtimestamp(timestamp, UTC).date() - timedelta(days=1),
    )
    try:
        for id in (
            assessments.sample(day, percent, settings.METADATA_SAMPLE_MOST)
            if settings.METADATA_CHECK and percent
            else []
        ):
            with suppress(AlreadyEnqueued), transaction.atomic():  # it waits for that already
                audit.record(
                    SAMPLE,
                    AuditEvent.Action.ASSESSMENT,
                    Conversation(id=id),
                    day=day,
                    percent=percent,
                )
                assess_later(id, if_due=True)
    finally:
        database.release()
