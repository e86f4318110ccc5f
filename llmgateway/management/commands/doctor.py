"""`manage.py doctor`: what is wrong, and the fix of each. Exit code 1 where anything fails."""

import json
import sys
from typing import Any

from django.core.management import BaseCommand, CommandParser
from django.db import connection

from llmgateway.ops import doctor


class Command(BaseCommand):
    help = (
        "Examine settings, database, worker, upstreams, clocks and disks; say what to do. "
        "Ends with 1 where something fails."
    )
    requires_system_checks = []  # they are among what it tells

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="a list, for programs")

    def handle(self, **options: Any) -> None:
        # it would hide why a connection fails, and take longer to
        connection.settings_dict["OPTIONS"].pop("pool", None)
        findings = []
        for finding in doctor.examine():
            findings.append(finding)
            if not options["json"]:
                self.stdout.write(f"{finding.level:6}{finding.about}: {finding.text}")
                if finding.fix:
                    self.stdout.write(f"      → {finding.fix}")
        if options["json"]:
            self.stdout.write(json.dumps([finding._asdict() for finding in findings], indent=2))
        if any(finding.level == doctor.FAIL for finding in findings):
            sys.exit(1)
