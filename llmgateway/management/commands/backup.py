"""`manage.py backup FOLDER`: everything that was recorded."""

from pathlib import Path
from typing import Any

from django.core.management import BaseCommand, CommandError, CommandParser

from llmgateway.ops import backup


class Command(BaseCommand):
    help = (
        "Writes the database and the attachments into a folder, while the gateway runs. "
        "Run again, it replaces the database's copy and adds new attachments."
    )
    requires_system_checks = []  # of the settings for calls, which it makes none of

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path)

    def handle(self, *, folder: Path, **options: Any) -> None:
        try:
            lost = backup.write(folder)
        except (backup.BackupFailed, OSError) as error:
            raise CommandError(str(error)) from None
        if lost:
            missing = f"{len(lost):,} attachments are missing from the storage, or damaged."
            raise CommandError("\n".join([f"{missing} All else is in {folder}.", *lost]))
        self.stdout.write(f"Everything is in {folder}.")
