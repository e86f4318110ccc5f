"""Misconfiguration, said before the first call: each with an id and a hint that names the fix."""

import os
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import connection

from llmgateway.demo import accounts
from proxy import addresses

UPSTREAMS = (
    "LLM_ENDPOINT",
    "LLM_GATEWAY_URL",
    "LLM_IMG_ENDPOINT",
    "LLM_EMBEDDINGS_ENDPOINT",
    "LLM_MODELS_ENDPOINT",
    "SUBMISSIONS_API_URL",
)
ENDINGS = ("ok", "refused", "failed", "cancelled", "interrupted")


@register
def upstream(app_configs, **kwargs) -> list[CheckMessage]:
    return [*_endpoint(), *_authorization(), *_addresses(), *_secrets(), *_bundle()]


@register
def record(app_configs, **kwargs) -> list[CheckMessage]:
    if not any(database.get("ATOMIC_REQUESTS") for database in settings.DATABASES.values()):
        return []
    hint = "Take ATOMIC_REQUESTS out of DATABASES (or atomic_requests out of DATABASE_URL)."
    return [
        Error(
            "ATOMIC_REQUESTS is on: a refused call would roll its own record back.",
            hint=hint,
            id="llmgateway.E004",
        )
    ]


@register
def policy(app_configs, **kwargs) -> list[CheckMessage]:
    url = settings.USAGE_POLICY_URL
    if not url or url.startswith(("https://", "http://")):
        return []
    return [
        Error(
            "USAGE_POLICY_URL is no web address.",
            hint="Write https://…, or leave it empty for the gateway's own page.",
            id="llmgateway.E006",
        )
    ]


@register
def tokens(app_configs, **kwargs) -> list[CheckMessage]:
    return [*_tokens()]


@register
def submissions(app_configs, **kwargs) -> list[CheckMessage]:
    problems: list[CheckMessage] = []
    if settings.ENABLE_SUBMISSIONS_API and not settings.SUBMISSIONS_API_URL:
        hint = "Set it to the address that takes the calls, such as https://vendor.example/submissions, or ENABLE_SUBMISSIONS_API=false."
        problems.append(
            Error(
                "ENABLE_SUBMISSIONS_API is on, and SUBMISSIONS_API_URL is not set.",
                hint=hint,
                id="llmgateway.E020",
            )
        )
    if not set(settings.SUBMISSIONS_STATUSES) <= set(ENDINGS):
        problems.append(
            Error(
                "SUBMISSIONS_STATUSES names no status of a closed call.",
                hint=f"Write some of {', '.join(ENDINGS)}.",
                id="llmgateway.E021",
            )
        )
    return problems


@register
def assessments(app_configs, **kwargs) -> list[CheckMessage]:
    percent, most = settings.METADATA_SAMPLE, settings.METADATA_SAMPLE_MOST
    if not (0 <= percent <= 100 and most >= 0):
        hint = "Write METADATA_SAMPLE=5 for five of a hundred conversations a night, and a METADATA_SAMPLE_MOST of 0 or more."
        return [
            Error(
                "METADATA_SAMPLE is no percentage, or METADATA_SAMPLE_MOST no number of conversations.",
                hint=hint,
                id="llmgateway.E022",
            )
        ]
    if percent and not settings.METADATA_CHECK:
        hint = "Set METADATA_CHECK=true, or METADATA_SAMPLE=0."
        return [
            Warning(
                "METADATA_SAMPLE draws nothing while METADATA_CHECK is off.",
                hint=hint,
                id="llmgateway.W006",
            )
        ]
    return []


@register
def secret(app_configs, **kwargs) -> list[CheckMessage]:
    if settings.DEMO or os.environ.get("SECRET_KEY"):
        return []
    hint = "Set SECRET_KEY to a long random text, the same on every machine."
    return [
        Warning(
            f"SECRET_KEY is not set: this machine keeps one of its own in {settings.VAR_DIR}.",
            hint=hint,
            id="llmgateway.W002",
        )
    ]


@register
def pseudonyms(app_configs, **kwargs) -> list[CheckMessage]:
    if settings.DEMO or not settings.PSEUDONYMS or os.environ.get("PSEUDONYM_KEY"):
        return []
    text = f"PSEUDONYM_KEY is not set: this machine keeps one of its own in {settings.VAR_DIR}, and other machines give people other aliases."
    return [
        Warning(
            text,
            hint="Set PSEUDONYM_KEY to a long random text, the same on every machine.",
            id="llmgateway.W005",
        )
    ]


@register
def logs(app_configs, **kwargs) -> list[CheckMessage]:
    if settings.LOG_FORMAT in ("plain", "json"):
        return []
    return [
        Error(
            "LOG_FORMAT is neither plain nor json.",
            hint="Write LOG_FORMAT=json, or leave it empty for a terminal.",
            id="llmgateway.E007",
        )
    ]


@register(Tags.database)
def demo_accounts(app_configs, databases, **kwargs) -> list[CheckMessage]:
    """A warning, so that whoever finds it can still migrate and run remove_demo; `serve` refuses to start."""
    if (
        settings.DEMO
        or not databases
        or get_user_model()._meta.db_table not in connection.introspection.table_names()
    ):
        return []
    if not (count := accounts.active_demo_accounts().count()):
        return []
    return [
        Warning(
            f"{count} demo accounts are active, and everyone knows their password.",
            hint="Run manage.py remove_demo.",
            id="llmgateway.W003",
        )
    ]


def _endpoint() -> Iterator[CheckMessage]:
    if not settings.LLM_ENDPOINT and not settings.LLM_GATEWAY_URL and not settings.DEMO:
        hint = "Set it to the whole address of chat completions, such as https://api.openai.com/v1/chat/completions, or try the demo: make run."
        yield Error(
            "LLM_ENDPOINT is not set: there is no model to speak to.",
            hint=hint,
            id="llmgateway.E001",
        )


def _authorization() -> Iterator[CheckMessage]:
    if (
        (settings.LLM_ENDPOINT or settings.LLM_GATEWAY_URL)
        and not settings.LLM_API_AUTHORIZATION
        and not settings.ALLOW_USER_TOKENS
    ):
        hint = "Set it to the whole header, such as 'Bearer sk-…', or to 'none' where the upstream wants none."
        yield Warning(
            "LLM_API_AUTHORIZATION is not set: calls go out without credentials.",
            hint=hint,
            id="llmgateway.W001",
        )


def _addresses() -> Iterator[CheckMessage]:
    for name in UPSTREAMS:
        if not (value := getattr(settings, name)):
            continue
        if hint := addresses.find_objection(value):
            yield Error(
                f"{name} is no address that calls may be sent to.", hint=hint, id="llmgateway.E002"
            )


def _tokens() -> Iterator[CheckMessage]:
    if settings.ALLOW_USER_TOKENS and settings.LLM_GATEWAY_URL:
        hint = "Take LLM_GATEWAY_URL away, or set ALLOW_USER_TOKENS=false."
        yield Error(
            "People's tokens go to LLM_ENDPOINT alone, and with LLM_GATEWAY_URL the pages do not ask it.",
            hint=hint,
            id="llmgateway.E010",
        )
    if settings.TOKEN_URL and not settings.TOKEN_URL.startswith("https://"):
        yield Error(
            "TOKEN_URL is not https.",
            hint="Write https://…, or leave it empty for no link.",
            id="llmgateway.E011",
        )


def _secrets() -> Iterator[CheckMessage]:
    for name in (name for name, value in settings.UPSTREAM_SECRETS.items() if not value):
        hint = "Set it to what the upstream wants (for OpenAI's kind the whole Authorization header), or take its name out of UPSTREAM_SECRETS."
        yield Warning(
            f"UPSTREAM_SECRETS names {name}, which is not set.", hint=hint, id="llmgateway.W004"
        )


def _bundle() -> Iterator[CheckMessage]:
    if settings.LLM_CA_BUNDLE and not Path(settings.LLM_CA_BUNDLE).is_file():
        yield Error(
            "LLM_CA_BUNDLE is not a file.",
            hint="Give the path of a PEM file of certificates, or leave it empty.",
            id="llmgateway.E003",
        )
