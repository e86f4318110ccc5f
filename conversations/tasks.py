"""What the desk leaves to the worker: exports, and taking their files away when they are over."""

from __future__ import annotations

from datetime import timedelta

from django.db import Error
from django.utils import timezone
from procrastinate import RetryStrategy
from procrastinate.contrib.django import app
from procrastinate.exceptions import JobAborted

from . import database
from .models import Export

AT_ONCE = (
    2  # exports that are made at a time, by however many workers: other jobs must not wait for them
)
SILENT = timedelta(minutes=5)  # after which an export that nobody is at is taken up


@app.task(pass_context=True, retry=RetryStrategy(wait=2, retry_exceptions={Error, JobAborted}))
def export(context, id: str) -> None:
    """Safe to run twice: what is durable is not done again."""
    from .exports import job

    try:
        if found := Export.objects.filter(id=id).first():
            job.run_export(found, context.should_abort)
    except job.ExportStopped:
        raise JobAborted from None
    finally:
        database.release()


def begin_export(made: Export) -> None:
    export.configure(lock=f"export {made.id.int % AT_ONCE}").defer(id=str(made.id))


@app.periodic(cron="*/5 * * * *")
@app.task(queueing_lock="exports_over")
def tidy_exports(timestamp: int) -> None:
    now = timezone.now()
    try:
        for made in Export.objects.with_files_to_clear(now):
            made.clear()
        for made in Export.objects.abandoned(now - SILENT):
            begin_export(made)
    finally:
        database.release()
