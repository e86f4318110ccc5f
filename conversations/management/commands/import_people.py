"""Job titles and departments from a CSV of the company's directory."""

from pathlib import Path

from django.core.management import BaseCommand, CommandError

from conversations.imports import people


class Command(BaseCommand):
    help = "Sets job titles and departments from a CSV with the columns username, email or external_id, and job_title or department."

    def add_arguments(self, parser):
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would change, and change nothing"
        )

    def handle(self, *, file, dry_run, **options):
        try:
            data = file.read_bytes()
            entries = (
                people.read(data) if dry_run else people.write(data, "manage.py import_people")
            )
        except OSError as problem:
            raise CommandError(f"{file} cannot be read: {problem.strerror}.") from None
        except people.UnreadableDirectory as problem:
            raise CommandError(str(problem)) from None
        for entry in entries:
            if entry.status != people.SAME:
                changes = "; ".join(f"{name} {old!r} → {new!r}" for name, old, new in entry.changes)
                self.stdout.write(
                    f"line {entry.line}: {entry.who!r} {entry.status} {changes}".rstrip()
                )
        said = (
            ", ".join(f"{count} {status}" for status, count in people.counted(entries).items())
            or "nobody is in it"
        )
        self.stdout.write(f"{'Nothing was changed yet. ' if dry_run else ''}{said.capitalize()}.")
