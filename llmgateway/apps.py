"""The apps that start with every process; with wrong settings nothing starts that would act."""

import sys

from django.apps import AppConfig
from django.conf import settings
from django.contrib.admin import apps as admin
from django.contrib.staticfiles import apps as staticfiles

# Of manage.py: what tells an operator that the settings are wrong, and which.
TELLING = ("check", "doctor", "settings")


class GatewayConfig(AppConfig):
    name = "llmgateway"
    verbose_name = "LLM Gateway"

    def ready(self) -> None:
        if settings.READING.problems and sys.argv[1:2] not in ([name] for name in TELLING):
            sys.exit(settings.READING.report())

        from llmgateway import checks  # noqa: F401 (registers what they hold)


class DeskConfig(admin.AdminConfig):
    """Django's admin, with the review desk's own pages."""

    default = False
    default_site = "conversations.desk.Desk"


class StaticConfig(staticfiles.StaticFilesConfig):
    """Collects nothing that no page loads: half of the files, and of the time of every start."""

    default = False
    ignore_patterns = [*staticfiles.StaticFilesConfig.ignore_patterns, "redoc", "rest_framework"]
