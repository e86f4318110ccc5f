"""The proof that nothing on record was changed, put in, moved or taken away since it was sealed."""

import time
from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError

from conversations.models import Seal
from conversations.proof import checkpoints
from conversations.proof.verification import verify

WIDTH = 30  # characters of the bar


class Command(BaseCommand):
    help = (
        "Compares every row of evidence with its seal, the seals with each other and with the"
        " signed checkpoints. Exit code 1 names the first bad row."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--key",
            action="append",
            default=[],
            metavar="HEX",
            help="trust this public key too: of checkpoints signed before a change of key",
        )

        parser.add_argument(
            "--files",
            action="store_true",
            help="read every attachment too, and compare it with its sha256",
        )

    def handle(self, *, key: list[str], files: bool, **options: object) -> None:
        began = time.monotonic()
        newest = Seal.objects.order_by("-number").first()
        total = newest.number if newest else 0

        def show_progress(number: int) -> None:
            if self.stdout.isatty():
                bar = "#" * (WIDTH * number // max(total, number))
                rate = number / (time.monotonic() - began)
                progress = f"{number:,} of {max(total, number):,}, {rate:,.0f} a second "
                self.stdout.write(f"\r[{bar:{WIDTH}}] {progress}", ending="")
                self.stdout.flush()

        result = verify(key, show_progress, with_files=files)
        if self.stdout.isatty():
            self.stdout.write("")
        if result.problem:
            raise CommandError(
                f"{result.problem}\nUp to seal {result.seals:,} the record is whole.", returncode=1
            )
        took = time.monotonic() - began
        self.stdout.write(
            f"The record is whole: {result.seals:,} seals hold"
            f" ({result.seals / took:,.0f} a second)."
        )
        self.stdout.write(f"Its checkpoints are signed by {checkpoints.derive_public_key()}.")
