"""Verifies the figures of the usage report against the log."""

from argparse import ArgumentParser

from django.core.management import BaseCommand, CommandError

from conversations.report import rollups


class Command(BaseCommand):
    help = (
        "Verifies the roll-ups behind the usage report, and assessments, against the log; with"
        " --rebuild, makes them again from it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--rebuild", action="store_true")

    def handle(self, *, rebuild: bool, **options: object) -> None:
        if rebuild:
            rollups.rebuild()
        differences = rollups.differences()
        for difference in differences[:20]:
            self.stdout.write(f"differs: {difference}")
        if differences:
            raise CommandError(
                f"{len(differences)} rows say something else than the log."
                " manage.py rollups --rebuild makes them again from it."
            )
        self.stdout.write("The roll-ups say what the log says.")
