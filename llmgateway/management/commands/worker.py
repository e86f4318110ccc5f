"""The worker: follows the log, and does the jobs of each app's `tasks`.

Any number may run. The log is followed by one of them at a time; a job is done by one. What dies
with a worker is taken up by the next: the log is where it was left, and a job whose worker went
silent is due again. What hangs is ended, and started anew (llmgateway.ops.pulse).
"""

import asyncio
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import psycopg
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error, connection
from procrastinate.contrib.django import app
from procrastinate.exceptions import ConnectorException

from conversations import database
from conversations.models import Process
from conversations.proof import checkpoints, sealing
from conversations.record import old_words, orphans, processes
from conversations.search import index
from llmgateway import secret
from llmgateway.ops import metrics
from llmgateway.ops.pulse import Pulse
from proxy import wrong_keys
from proxy.jobs import submissions
from proxy.relay import journal, watcher

BEAT = 5.0  # seconds between two signs of life: /readyz and /metrics tell of them
SWEEP = 10.0  # seconds between two looks for the calls of dead processes
PAUSE = 2.0  # seconds before jobs are looked for again, where the database went away
LEAVE = 10.0  # seconds that a stop leaves to a job; what is not done by then is done again
log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = (
        "Follow the log: seal and index closed calls, close those of dead processes. "
        "Do the jobs that are due."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="do what is due, and end")

    def handle(self, *, once: bool, **options: Any) -> None:
        database.release()  # the connection of the system checks: each follower has its own
        try:
            secret.make_missing(settings)
        except secret.NoSecret as problem:
            raise CommandError(str(problem)) from None
        if once:
            work_once()
            return
        if port := settings.WORKER_METRICS_PORT:
            serve_metrics(port)
        try:
            asyncio.run(work())
        except Exception:  # Python's own last words would quote what it says
            log.exception("the worker failed")
            sys.exit(1)


def serve_metrics(port: int) -> None:
    try:
        metrics.serve(port)
    except OSError as problem:
        raise CommandError(
            f"WORKER_METRICS_PORT: a worker cannot listen on port {port}: {problem.strerror}."
        ) from None


def work_once() -> None:
    """Do what is due, and end."""
    sweep()
    database.release()  # jobs have threads and connections of their own
    asyncio.run(do_jobs(wait=False))
    while sealing.seal():
        pass
    while index.catch_up():
        pass
    checkpoints.write_checkpoint()
    submissions.deliver_due()


async def work() -> None:
    """Follow the log and do jobs until SIGTERM or SIGINT."""
    over, pulse = threading.Event(), Pulse("log", "submissions")
    stopping, loop = threading.Event(), asyncio.get_running_loop()
    jobs = asyncio.create_task(keep_doing_jobs(stopping))

    def stop() -> None:
        stopping.set()
        jobs.cancel()
        # A job that asks a model would hold the end up for as long as its answer takes.
        loop.call_later(LEAVE, watcher.cut_all)

    beating = asyncio.create_task(keep_beating(pulse))
    followers = [
        asyncio.create_task(asyncio.to_thread(follow, over, partial(pulse.turn, "log"))),
        asyncio.create_task(
            asyncio.to_thread(submissions.follow, over, partial(pulse.turn, "submissions"))
        ),
    ]
    for follower in followers:
        follower.add_done_callback(lambda _: stop())  # none goes on without the others
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        with suppress(asyncio.CancelledError):
            await jobs
    finally:
        over.set()
        beating.cancel()
        for follower in followers:
            await follower


async def keep_beating(pulse: Pulse) -> None:
    """Beat from the loop that does the jobs: where it hangs, there is no beat either."""
    try:
        while True:
            pulse.beat()
            await asyncio.sleep(1)
    finally:
        pulse.stop()


# The log ------------------------------------------------------------------------------------------


def follow(over: threading.Event, turn: Callable[[], None]) -> None:
    with connection.execute_wrapper(partial(with_turns, turn)):
        follow_log(over, turn)
    with suppress(Error):
        processes.unregister()


def with_turns(turn: Callable[[], None], execute: Callable[..., Any], *statement: Any) -> Any:
    """Run one statement of many: a large batch takes long, and does not hang."""
    done = execute(*statement)
    turn()
    return done


def follow_log(over: threading.Event, turn: Callable[[], None]) -> None:
    beaten = swept = 0.0
    while not over.is_set():
        turn()
        try:
            if time.monotonic() - beaten > BEAT:
                processes.beat(Process.Role.WORKER)
                beaten = time.monotonic()
            watcher.close_late()
            if time.monotonic() - swept > SWEEP:
                sweep()
                checkpoints.write_checkpoint()
                swept = time.monotonic()
            sealed = sealing.seal()
            indexed = index.catch_up()
        except Error as problem:
            log.warning("the database is away: %s", type(problem).__name__)
            connection.close()
            sealed = indexed = 0
            beaten = 0.0
            swept = time.monotonic() + SWEEP  # no process could beat: let the living do so first
        database.release()
        # a second's calls at once: each look has its price
        over.wait(0 if sealed == sealing.BATCH or indexed >= index.AT_ONCE else 1.0)


def sweep() -> None:
    old_words.fill_word_hashes()
    wrong_keys.tell_trail()
    if count := orphans.close_orphans(journal.bring_in):
        log.info("closed %d calls of dead processes", count)
    if count := orphans.close_unheard():
        log.info("closed %d calls whose opening was committed unheard", count)


# Jobs ---------------------------------------------------------------------------------------------


async def keep_doing_jobs(stopping: threading.Event) -> None:
    while not stopping.is_set():
        try:
            await do_jobs()  # returns when the database goes away
        except (ConnectorException, OSError, psycopg.Error) as problem:  # the last: of its pool
            log.warning("jobs wait, the database is away: %s", type(problem).__name__)
        await asyncio.sleep(PAUSE)


async def do_jobs(*, wait: bool = True) -> None:
    connector = app.connector.get_worker_connector()  # type: ignore[attr-defined]
    async with app.with_connector(connector).open_async() as jobs:
        watching = asyncio.create_task(watch())
        try:
            await jobs.run_worker_async(
                wait=wait,
                concurrency=4,
                delete_jobs="successful",
                install_signal_handlers=False,
                shutdown_graceful_timeout=LEAVE,
            )
        finally:
            watching.cancel()
            watcher.cut_all()
            # Periodic jobs are put into the queue on Django's connection of asgiref's thread. Only
            # here is it closed when its session is gone: left to itself it would fail for ever.
            await sync_to_async(database.release)()


async def watch() -> None:
    """Keep the time of the calls that jobs make: no socket has a limit of its own."""
    while True:
        watcher.look(time.monotonic())
        await asyncio.sleep(watcher.TICK)
