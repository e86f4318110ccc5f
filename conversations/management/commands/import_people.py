"""Job titles and departments from a CSV of the company's directory."""

from argparse import ArgumentParser
from pathlib import Path

from django.core.management import BaseCommand, CommandError

from conversations.imports import people


class Command(BaseCommand):
    help = (
        "Sets job titles and departments from a CSV with the columns username, email or"
        " external_id, and job_title or department."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would change, and change nothing"
        )

    def handle(self, *, file: Path, dry_run: bool, **options: object) -> None:
        try:
            data = file.read_bytes()
            lines = people.read(data) if dry_run else people.write(data, "manage.py import_people")
        except OSError as problem:
            raise CommandError(f"{file} cannot be read: {problem.strerror}.") from None
        except people.UnreadableDirectory as problem:
            raise CommandError(str(problem)) from None
        for line in lines:
            if line.status != people.Status.SAME:
                changes = "; ".join(f"{name} {old!r} → {new!r}" for name, old, new in line.changes)
                self.stdout.write(
                    f"line {line.line}: {line.value!r} {line.status} {changes}".rstrip()
                )
        counts = people.counted(lines).items()
        summary = ", ".join(f"{count} {status}" for status, count in counts) or "no lines"
        if dry_run:
            self.stdout.write("Nothing was changed yet. ", ending="")
        self.stdout.write(f"{summary.capitalize()}.")
