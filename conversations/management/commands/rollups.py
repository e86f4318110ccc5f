"""Holds the figures of the usage report against the log."""

from django.core.management import BaseCommand, CommandError

from conversations.report import rollups


class Command(BaseCommand):
    help = "Verifies the roll-ups behind the usage report, and assessments, against the log; with --rebuild, makes them again from it."

    def add_arguments(self, parser):
        parser.add_argument("--rebuild", action="store_true")

    def handle(self, *, rebuild, **options):
        if rebuild:
            rollups.rebuild()
        found = rollups.differences()
        for each in found[:20]:
            self.stdout.write(f"differs: {each}")
        if found:
            raise CommandError(
                f"{len(found)} rows say something else than the log. manage.py rollups --rebuild makes them again from it."
            )
        self.stdout.write("The roll-ups say what the log says.")
