"""Fills an empty gateway with a made-up year, for looking at the review desk at size."""

import time
from datetime import UTC, datetime

from django.core.management import BaseCommand, CommandError
from django.db import connection

from conversations import sealing
from conversations.models import User
from llmgateway import demo, generated


class Command(BaseCommand):
    help = "Writes a made-up year of calls, sealed and indexed, into a database that holds nobody's calls but the demo's."

    def add_arguments(self, parser):
        parser.add_argument("calls", type=int, nargs="?", default=1_000_000)
        parser.add_argument("--people", type=int, default=400)
        parser.add_argument("--seed", type=int, default=1)

    def handle(self, *, calls, people, seed, **options):
        if User.objects.exclude(external_id__startswith=demo.MARK).exists():
            raise CommandError("This database holds people's accounts. Give the made-up ones a VAR_DIR or DATABASE_URL of their own.")
        self.total, self.began = calls, time.monotonic()
        generated.write(calls, people, seed, datetime.now(UTC).date(), lambda written: self.say("written", written))
        sealed = 0
        while batch := sealing.seal():
            sealed += batch
            self.say("sealed and indexed", sealed)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        self.stdout.write("")

    def say(self, what: str, count: int) -> None:
        self.stdout.write(f"\r{count:,} of {self.total:,} calls {what}, {time.monotonic() - self.began:.0f} s ", ending="")
        self.stdout.flush()
