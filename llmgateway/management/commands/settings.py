"""`manage.py settings`: what is in force, and where each value comes from; never a secret."""

import sys
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandParser

from llmgateway.configuration import listing


class Command(BaseCommand):
    help = (
        "Show each setting, its value and where that comes from, without secrets. "
        "Ends with 1 where one is wrong."
    )
    requires_system_checks = []  # wrong ones are shown too

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--write",
            action="store_true",
            help="for developers: write README.md's table and .env.example from the schema",
        )

    def handle(self, *, write: bool, **options: Any) -> None:
        if write:
            listing.write_documents()
            return
        reading = settings.READING
        for line in listing.list_values(reading):
            self.stdout.write(line.rstrip())
        for problem in (*reading.problems, *reading.doubts):
            self.stderr.write(str(problem))
        if reading.problems:
            sys.exit(1)
