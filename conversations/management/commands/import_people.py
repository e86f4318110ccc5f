"""People from a CSV of the company's directory."""

from argparse import ArgumentParser
from pathlib import Path

from django.core.management import BaseCommand, CommandError

from conversations.imports import people
from conversations.imports.directory import UnreadableDirectory


class Command(BaseCommand):
    help = (
        "Sets job titles, departments, groups and who is active from a CSV. People are known by"
        " external id, user name or e-mail."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would change, and change nothing"
        )
        parser.add_argument(
            "--create", action="store_true", help="create accounts for people who have none"
        )
        parser.add_argument(
            "--deactivate",
            action="store_true",
            help="deactivate people who are not in the file; no service account, no superuser",
        )

    def handle(
        self, *, file: Path, dry_run: bool, create: bool, deactivate: bool, **options: object
    ) -> None:
        asked = people.Options(create, deactivate)
        try:
            data = file.read_bytes()
            lines = (
                people.read(data, asked)
                if dry_run
                else people.write(data, "manage.py import_people", asked)
            )
        except OSError as problem:
            raise CommandError(f"{file} cannot be read: {problem.strerror}.") from None
        except UnreadableDirectory as problem:
            raise CommandError(str(problem)) from None
        for line in lines:
            if line.status != people.Status.SAME:
                self.stdout.write(describe(line))
        counts = people.counted(lines).items()
        summary = ", ".join(f"{count} {status}" for status, count in counts) or "no lines"
        if dry_run:
            self.stdout.write("Nothing was changed yet. ", ending="")
        self.stdout.write(f"{summary.capitalize()}.")


def describe(line: people.DirectoryLine) -> str:
    where = f"line {line.line}" if line.line else "not in the file"
    changes = "; ".join(f"{name} {old!r} → {new!r}" for name, old, new in line.changes)
    return f"{where}: {line.value!r} {line.status} {changes or line.problem}".rstrip()
