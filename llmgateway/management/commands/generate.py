"""Fills an empty gateway with a made-up year, for looking at the review desk at size."""

import time
from datetime import UTC, datetime
from typing import Any

from django.core.management import BaseCommand, CommandError, CommandParser
from django.db import connection

from conversations.models import User
from conversations.proof import sealing
from llmgateway.demo import accounts, generated, generated_reviews


class Command(BaseCommand):
    help = (
        "Writes a made-up year of calls, sealed and indexed, "
        "into a database that holds no calls but the demo's."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("calls", type=int, nargs="?", default=1_000_000)
        parser.add_argument("--people", type=int, default=400)
        parser.add_argument("--seed", type=int, default=1)

    def handle(self, *, calls: int, people: int, seed: int, **options: Any) -> None:
        if User.objects.exclude(external_id__startswith=accounts.MARK).exists():
            raise CommandError(
                "This database holds people's accounts. "
                "Give the made-up ones a VAR_DIR or DATABASE_URL of their own."
            )
        self.began = time.monotonic()
        company = generated.write(
            calls,
            people,
            seed,
            datetime.now(UTC).date(),
            lambda written: self.say(written, "calls written"),
        )
        self.seal("calls sealed and indexed")
        generated_reviews.write(company.dice, company.words)
        self.seal("decisions and events of the trail sealed")
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        self.stdout.write("")

    def seal(self, what: str) -> None:
        sealed = 0
        while batch := sealing.seal():
            sealed += batch
            self.say(sealed, what)

    def say(self, count: int, what: str) -> None:
        self.stdout.write(f"\r{count:,} {what}, {time.monotonic() - self.began:.0f} s ", ending="")
        self.stdout.flush()
