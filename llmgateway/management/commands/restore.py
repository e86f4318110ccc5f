"""`manage.py restore FOLDER`: what `backup` wrote, into an empty database."""

from pathlib import Path

from django.core.management import BaseCommand, CommandError

from conversations.models import Conversation, Seal, Snapshot
from llmgateway.ops import backup


class Command(BaseCommand):
    help = "Reads what `backup` wrote into an empty database and into ATTACHMENTS_DIR. The database comes back whole, or not at all."
    requires_system_checks = []  # of the settings for calls, which it makes none of

    def add_arguments(self, parser):
        parser.add_argument("folder", type=Path)

    def handle(self, *, folder, **options):
        try:
            lost = backup.read(folder)
        except (backup.BackupFailed, OSError) as error:
            raise CommandError(str(error)) from None
        seals = f"{Conversation.objects.count():,} conversations and {Snapshot.objects.count():,} calls, {Seal.objects.count():,} of them sealed"
        if lost:
            raise CommandError(
                f"Restored {seals}. {len(lost):,} attachments are not in the backup, or damaged there.\n"
                + "\n".join(lost)
            )
        self.stdout.write(f"Restored {seals}. Start it: manage.py serve")
