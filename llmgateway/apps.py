from django.apps import AppConfig
from django.contrib.admin import apps as admin
from django.contrib.staticfiles import apps as staticfiles


class GatewayConfig(AppConfig):
    name = "llmgateway"
    verbose_name = "LLM Gateway"

    def ready(self) -> None:
        from llmgateway import checks  # noqa: F401 (registers what they hold)


class DeskConfig(admin.AdminConfig):
    """Django's admin, with the review desk's own pages."""

    default = False
    default_site = "conversations.desk.Desk"


class StaticConfig(staticfiles.StaticFilesConfig):
    """Collects nothing that no page loads: half of the files, and of the time of every start."""

    default = False
    ignore_patterns = [*staticfiles.StaticFilesConfig.ignore_patterns, "redoc", "rest_framework"]
