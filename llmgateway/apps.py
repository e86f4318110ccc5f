from django.apps import AppConfig
from django.contrib.admin import apps as admin


class GatewayConfig(AppConfig):
    name = "llmgateway"
    verbose_name = "LLM Gateway"

    def ready(self) -> None:
        from llmgateway import accounts, checks  # noqa: F401 (registers what they hold)


class DeskConfig(admin.AdminConfig):
    """Django's admin, with the review desk's own pages."""

    default = False
    default_site = "conversations.desk.Desk"
