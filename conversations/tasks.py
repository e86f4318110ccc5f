"""What the review desk leaves to the worker: exports, the deletion of their files, verification."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from django.db import Error
from django.utils import timezone
from procrastinate import JobContext, RetryStrategy
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob
from procrastinate.exceptions import AlreadyEnqueued, JobAborted

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


# Verification -----------------------------------------------------------------------------------


@app.task(
    pass_context=True,
    lock="verify",  # one at a time, whatever the number of workers
    retry=RetryStrategy(wait=2, retry_exceptions={Error, JobAborted}),
)
def verify(context: JobContext, *, by: str, with_files: bool) -> None:
    """Check the record. A worker that stops ends it between two batches, and it begins anew."""
    from .proof import runs

    def end_when_stopped(number: int) -> None:
        if context.should_abort():
            raise JobAborted

    try:
        runs.run(by, end_when_stopped, with_files=with_files)
    finally:
        database.release()


def begin_verification(by: str, *, with_files: bool) -> None:
    """Have the worker check the record. Raises AlreadyEnqueued where a run waits to begin."""
    verify.configure(queueing_lock="verify").defer(by=by, with_files=with_files)


def is_verifying() -> bool:
    """Whether a run waits or is under way."""
    open_jobs = ProcrastinateJob.objects.filter(status__in=("todo", "doing"))
    return open_jobs.filter(task_name=verify.name).exists()


@app.periodic(cron="7 * * * *")
@app.task(queueing_lock="verify_when_due")
def verify_when_due(timestamp: int) -> None:
    from .proof import runs

    now = datetime.fromtimestamp(timestamp, UTC)
    try:
        if runs.is_due(now) and not is_verifying():
            with suppress(AlreadyEnqueued):
                begin_verification(runs.BY_WORKER, with_files=runs.reads_files(now))
    finally:
        database.release()
