"""`manage.py restore FOLDER`: what `backup` wrote, into an empty database."""

from pathlib import Path
from typing import Any

from django.core.management import BaseCommand, CommandError, CommandParser

from conversations.models import Conversation, Seal, Snapshot
from llmgateway.ops import backup


class Command(BaseCommand):
    help = (
        "Reads what `backup` wrote into an empty database and into ATTACHMENTS_DIR. "
        "The database comes back whole, or not at all."
    )
    requires_system_checks = []  # of the settings for calls, which it makes none of

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path)

    def handle(self, *, folder: Path, **options: Any) -> None:
        try:
            lost = backup.read(folder)
        except (backup.BackupFailed, OSError) as error:
            raise CommandError(str(error)) from None
        restored = (
            f"Restored {Conversation.objects.count():,} conversations "
            f"and {Snapshot.objects.count():,} calls, {Seal.objects.count():,} of them sealed."
        )
        if lost:
            missing = f"{len(lost):,} attachments are not in the backup, or damaged there."
            raise CommandError("\n".join([f"{restored} {missing}", *lost]))
        self.stdout.write(f"{restored} Start the gateway: manage.py serve")
