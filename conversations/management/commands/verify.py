"""The proof that nothing on record was changed, put in, moved or taken away since it was sealed."""

import time

from django.core.management.base import BaseCommand, CommandError

from conversations.models import Seal
from conversations.proof import checkpoints
from conversations.proof.verification import verify

WIDTH = 30  # characters of the bar


class Command(BaseCommand):
    help = "Holds every row of evidence against its seal, the seals against each other and against the signed checkpoints. Exit code 1 names the first bad row."

    def add_arguments(self, parser):
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
            help="read every attachment too, and hold it against its sha256",
        )

    def handle(self, *, key, files, **options):
        began = time.monotonic()
        newest = Seal.objects.order_by("-number").first()
        total = newest.number if newest else 0

        def tell(number: int) -> None:
            if self.stdout.isatty():
                bar = "#" * (WIDTH * number // max(total, number))
                rate = number / (time.monotonic() - began)
                self.stdout.write(
                    f"\r[{bar:{WIDTH}}] {number:,} of {max(total, number):,}, {rate:,.0f} a second ",
                    ending="",
                )
                self.stdout.flush()

        found = verify(key, tell, with_files=files)
        if self.stdout.isatty():
            self.stdout.write("")
        if found.problem:
            raise CommandError(
                f"{found.problem}\nUp to seal {found.seals:,} the record is whole.", returncode=1
            )
        took = time.monotonic() - began
        self.stdout.write(
            f"The record is whole: {found.seals:,} seals hold ({found.seals / took:,.0f} a second)."
        )
        self.stdout.write(f"Its checkpoints are signed by {checkpoints.public_key()}.")
