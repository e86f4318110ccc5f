from django.apps import AppConfig


class GatewayConfig(AppConfig):
    name = "llmgateway"
    verbose_name = "LLM Gateway"

    def ready(self) -> None:
        from llmgateway import accounts, checks  # noqa: F401 (registers what they hold)
