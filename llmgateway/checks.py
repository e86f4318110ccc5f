"""Misconfiguration, said before the first call: each with an id and a hint that names the fix."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import checks
from django.core.checks import CheckMessage, Tags, register
from django.db import connection

from llmgateway.demo import accounts
from proxy import addresses, credentials

UPSTREAMS = (
    "LLM_ENDPOINT",
    "LLM_GATEWAY_URL",
    "LLM_IMG_ENDPOINT",
    "LLM_EMBEDDINGS_ENDPOINT",
    "LLM_MODELS_ENDPOINT",
    "SUBMISSIONS_API_URL",
)
ENDINGS = ("ok", "refused", "failed", "cancelled", "interrupted")


def error(number: str, text: str, hint: str) -> CheckMessage:
    return checks.Error(text, hint=hint, id=f"llmgateway.E{number}")


def warning(number: str, text: str, hint: str) -> CheckMessage:
    return checks.Warning(text, hint=hint, id=f"llmgateway.W{number}")


@register
def upstream(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    return [*_endpoint(), *_authorization(), *_addresses(), *_secrets(), *_bundle()]


@register
def record(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if not any(database.get("ATOMIC_REQUESTS") for database in settings.DATABASES.values()):
        return []
    text = "ATOMIC_REQUESTS is on: a refused call would roll its own record back."
    hint = "Take ATOMIC_REQUESTS out of DATABASES (or atomic_requests out of DATABASE_URL)."
    return [error("004", text, hint)]


@register
def policy(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    url = settings.USAGE_POLICY_URL
    if not url or url.startswith(("https://", "http://")):
        return []
    hint = "Write https://…, or leave it empty for the gateway's own page."
    return [error("006", "USAGE_POLICY_URL is no web address.", hint)]


@register
def tokens(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    return [*_tokens()]


@register
def submissions(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    problems: list[CheckMessage] = []
    if settings.ENABLE_SUBMISSIONS_API and not settings.SUBMISSIONS_API_URL:
        text = "ENABLE_SUBMISSIONS_API is on, and SUBMISSIONS_API_URL is not set."
        hint = (
            "Set it to the address that takes the calls, such as "
            "https://vendor.example/submissions, or ENABLE_SUBMISSIONS_API=false."
        )
        problems.append(error("020", text, hint))
    if not set(settings.SUBMISSIONS_STATUSES) <= set(ENDINGS):
        text = "SUBMISSIONS_STATUSES names no status of a closed call."
        problems.append(error("021", text, f"Write some of {', '.join(ENDINGS)}."))
    return problems


@register
def assessments(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    percent, most = settings.METADATA_SAMPLE, settings.METADATA_SAMPLE_MOST
    if not (0 <= percent <= 100 and most >= 0):
        text = (
            "METADATA_SAMPLE is no percentage, or METADATA_SAMPLE_MOST no number of conversations."
        )
        hint = (
            "Write METADATA_SAMPLE=5 for five of a hundred conversations a night, "
            "and a METADATA_SAMPLE_MOST of 0 or more."
        )
        return [error("022", text, hint)]
    if percent and not settings.METADATA_CHECK:
        text = "METADATA_SAMPLE draws nothing while METADATA_CHECK is off."
        return [warning("006", text, "Set METADATA_CHECK=true, or METADATA_SAMPLE=0.")]
    return []


@register
def secret(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.DEMO or os.environ.get("SECRET_KEY"):
        return []
    text = f"SECRET_KEY is not set: this machine keeps one of its own in {settings.VAR_DIR}."
    hint = "Set SECRET_KEY to a long random text, the same on every machine."
    return [warning("002", text, hint)]


@register
def pseudonyms(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.DEMO or not settings.PSEUDONYMS or os.environ.get("PSEUDONYM_KEY"):
        return []
    text = (
        f"PSEUDONYM_KEY is not set: this machine keeps one of its own in {settings.VAR_DIR}, "
        "and other machines give people other aliases."
    )
    hint = "Set PSEUDONYM_KEY to a long random text, the same on every machine."
    return [warning("005", text, hint)]


@register
def logs(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.LOG_FORMAT in ("plain", "json"):
        return []
    hint = "Write LOG_FORMAT=json, or leave it empty for a terminal."
    return [error("007", "LOG_FORMAT is neither plain nor json.", hint)]


@register(Tags.database)
def demo_accounts(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Warn only: an operator must still be able to migrate. `serve` refuses to start."""
    users = get_user_model()._meta.db_table
    if settings.DEMO or not kwargs.get("databases"):
        return []
    if users not in connection.introspection.table_names():
        return []
    if not (count := accounts.active_demo_accounts().count()):
        return []
    text = f"{count} demo accounts are active, and their password is known to everyone."
    return [warning("003", text, "Run manage.py remove_demo.")]


def _endpoint() -> Iterator[CheckMessage]:
    if not settings.LLM_ENDPOINT and not settings.LLM_GATEWAY_URL and not settings.DEMO:
        hint = (
            "Set it to the whole address of chat completions, such as "
            "https://api.openai.com/v1/chat/completions, or try the demo: make run."
        )
        yield error("001", "LLM_ENDPOINT is not set: there is no model to speak to.", hint)


def _authorization() -> Iterator[CheckMessage]:
    if not settings.LLM_ENDPOINT and not settings.LLM_GATEWAY_URL:
        return
    if not settings.LLM_API_AUTHORIZATION and not settings.ALLOW_USER_TOKENS:
        text = "LLM_API_AUTHORIZATION is not set: calls go out without credentials."
        hint = (
            "Set it to the whole header, such as 'Bearer sk-…', "
            "or to 'none' where the upstream wants none."
        )
        yield warning("001", text, hint)


def _addresses() -> Iterator[CheckMessage]:
    for name in UPSTREAMS:
        value = getattr(settings, name)
        if value and (hint := addresses.find_objection(value)):
            yield error("002", f"{name} is no address that calls may be sent to.", hint)


def _tokens() -> Iterator[CheckMessage]:
    if settings.ALLOW_USER_TOKENS and settings.LLM_GATEWAY_URL:
        text = (
            "People's tokens go to LLM_ENDPOINT alone, and with LLM_GATEWAY_URL "
            "the pages do not ask it."
        )
        hint = "Take LLM_GATEWAY_URL away, or set ALLOW_USER_TOKENS=false."
        yield error("010", text, hint)
    if settings.TOKEN_URL and not settings.TOKEN_URL.startswith("https://"):
        hint = "Write https://…, or leave it empty for no link."
        yield error("011", "TOKEN_URL is not https.", hint)


def _secrets() -> Iterator[CheckMessage]:
    hint = (
        "Set it to what the upstream wants (for OpenAI's kind the whole Authorization header), "
        "or take its name out of UPSTREAM_SECRETS."
    )
    for name, value in settings.UPSTREAM_SECRETS.items():
        if not value:
            yield warning("004", f"UPSTREAM_SECRETS names {name}, which is not set.", hint)
    for name, hosts in settings.UPSTREAM_SECRET_HOSTS.items():
        yield from _hosts(name, hosts)


def _hosts(name: str, hosts: tuple[str, ...]) -> Iterator[CheckMessage]:
    hint = (
        f"Write {name}@api.example, {name}@*.api.example or {name}@api.example:8443 "
        "into UPSTREAM_SECRETS; several hosts with | between them."
    )
    if not hosts:
        text = (
            f"UPSTREAM_SECRETS binds {name} to no host: who may edit upstreams can have it sent "
            "anywhere. From version 0.3 on this is an error."
        )
        yield warning("030", text, hint)
    for host in hosts:
        if fault := credentials.find_fault_of_host(host):
            text = f"UPSTREAM_SECRETS binds {name} to “{host}”, which is no host: {fault}."
            yield error("030", text, hint)


def _bundle() -> Iterator[CheckMessage]:
    if settings.LLM_CA_BUNDLE and not Path(settings.LLM_CA_BUNDLE).is_file():
        hint = "Give the path of a PEM file of certificates, or leave it empty."
        yield error("003", "LLM_CA_BUNDLE is not a file.", hint)
