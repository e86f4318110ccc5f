"""What the review desk leaves to the worker: exports, and the deletion of their files."""

from __future__ import annotations

from datetime import timedelta

from django.db import Error
from django.utils import timezone
from procrastinate import JobContext, RetryStrategy
from procrastinate.contrib.django import app
from procrastinate.exceptions import JobAborted

from . import database
from .models import Export

AT_ONCE = 2  # exports at a time, however many workers there are: other jobs must not wait for them
SILENT = timedelta(minutes=5)  # without a sign of a worker, an export is taken up again


@app.task(pass_context=True, retry=RetryStrategy(wait=2, retry_exceptions={Error, JobAborted}))
def export(context: JobContext, **arguments: str) -> None:
    """Make an export. Safe to run twice: what is durable is not done again.

    Its one argument is `id`, as jobs name it that are queued already.
    """
    from .exports import job

    try:
        if waiting := Export.objects.filter(id=arguments["id"]).first():
            job.run_export(waiting, context.should_abort)
    except job.ExportStopped:
        raise JobAborted from None
    finally:
        database.release()


def begin_export(new: Export) -> None:
    export.configure(lock=f"export {new.id.int % AT_ONCE}").defer(id=str(new.id))


@app.periodic(cron="*/5 * * * *")
@app.task(queueing_lock="exports_over")
def tidy_exports(timestamp: int) -> None:
    now = timezone.now()
    try:
        Export.objects.expire(now)
        for old in Export.objects.with_files_to_clear():
            old.clear()
        for waiting in Export.objects.abandoned(now - SILENT):
            begin_export(waiting)
    finally:
        database.release()
