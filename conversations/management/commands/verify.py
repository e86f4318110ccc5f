"""The proof that nothing on record was changed, put in, moved or taken away since it was sealed."""

import sys
import time
from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Callable
from contextlib import ExitStack
from typing import IO

from django.core.management.base import BaseCommand, CommandError

from conversations.models import Seal
from conversations.proof.answer import describe
from conversations.proof.verification import verify

WIDTH = 30  # characters of the bar


class Command(BaseCommand):
    help = (
        "Compares every row of evidence with its seal, the seals with each other and with the"
        " signed checkpoints, and what is kept beside the evidence with it. Exit code 1 names what"
        " does not fit."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--checkpoints",
            metavar="FILE",
            help="a copy of the checkpoints that was shipped away (- reads standard input), in"
            " place of this machine's file",
        )
        parser.add_argument(
            "--key",
            action="append",
            default=[],
            metavar="HEX",
            help="the public key that was handed out to you; then no other is trusted, so name"
            " each one of before a change of key too",
        )
        parser.add_argument(
            "--files",
            action=BooleanOptionalAction,
            default=True,
            help="read every attachment and compare it with its sha256, or only measure it",
        )

    def handle(
        self, *, checkpoints: str | None, key: list[str], files: bool, **options: object
    ) -> None:
        began = time.monotonic()
        with ExitStack() as stack:
            copy = _open_copy(checkpoints, stack) if checkpoints else None
            run = verify(key, self._make_bar(began), copy=copy, with_files=files)
        if self.stdout.isatty():
            self.stdout.write("")
        if run.problem:
            raise CommandError(
                f"{run.problem}\nThe chain of seals holds up to seal {run.seals:,}.", returncode=1
            )
        took = time.monotonic() - began
        for line in describe(run, is_own_key=not key, took=took):
            self.stdout.write(line)

    def _make_bar(self, began: float) -> Callable[[int], None]:
        newest = Seal.objects.order_by("-number").first()
        total = newest.number if newest else 0

        def show_progress(number: int) -> None:
            if self.stdout.isatty():
                bar = "#" * (WIDTH * number // max(total, number))
                rate = number / (time.monotonic() - began)
                progress = f"{number:,} of {max(total, number):,}, {rate:,.0f} a second "
                self.stdout.write(f"\r[{bar:{WIDTH}}] {progress}", ending="")
                self.stdout.flush()

        return show_progress


def _open_copy(name: str, stack: ExitStack) -> IO[bytes]:
    """Open the copy of the checkpoints. Raises CommandError where there is none."""
    if name == "-":
        return sys.stdin.buffer
    try:
        return stack.enter_context(open(name, "rb"))
    except OSError as problem:
        raise CommandError(
            f"The copy of the checkpoints cannot be read: {name}: {problem.strerror}.",
            returncode=2,
        ) from None
