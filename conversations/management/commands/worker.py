"""The worker: seals and indexes what was closed, and closes what dead processes left open. Any number may run; one works at a time."""

import logging
import signal
import threading
import time

from django.core.management.base import BaseCommand
from django.db import Error, connection

from conversations import record, sealing

log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Follow the log: seal and index closed calls, close those of dead processes."

    def add_arguments(self, parser):
        parser.add_argument("--once", action="store_true", help="do what is due, and end")

    def handle(self, *, once, **options):
        over = threading.Event()
        if not once:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: over.set())
        swept = 0.0
        while not over.is_set():
            try:
                if time.monotonic() - swept > 10 or once:
                    if count := record.sweep():
                        log.info("closed %d calls of dead processes", count)
                    swept = time.monotonic()
                sealed = sealing.seal()
            except Error as problem:
                if once:
                    raise
                log.warning("the database is away: %s", type(problem).__name__)
                connection.close()
                swept = time.monotonic() + 20  # nobody could beat meanwhile: who lives may do so first
                sealed = 0
            if once and not sealed:
                break
            over.wait(0 if once or sealed == sealing.BATCH else 1.0)  # a second's calls at once: each look has its price
