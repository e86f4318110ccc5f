"""Misconfiguration, said before the first call: each with an id and a hint that names the fix.

What one value may be says the schema of settings; here is what settings mean together.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import checks
from django.core.checks import CheckMessage, Tags
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
    "CHECKPOINT_URL",
    "NOTICE_URL",
)
Check = Callable[..., list[CheckMessage]]


def error(number: str, text: str, hint: str) -> CheckMessage:
    return checks.Error(text, hint=hint, id=f"llmgateway.E{number}")


def warning(number: str, text: str, hint: str) -> CheckMessage:
    return checks.Warning(text, hint=hint, id=f"llmgateway.W{number}")


def register(*tags: str) -> Callable[[Check], Check]:
    """Register a check of values that are each right by themselves: a wrong one is told alone."""

    def wrap(check: Check) -> Check:
        @checks.register(*tags)
        @functools.wraps(check)
        def judge(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
            return [] if settings.READING.problems else check(app_configs, **kwargs)

        return judge

    return wrap


@checks.register
def values(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Tell all that is wrong with single settings, as `llmgateway.configuration` found it."""
    return [
        *(error("030", problem.sentence, problem.fix) for problem in settings.READING.problems),
        *(warning("030", doubt.sentence, doubt.fix) for doubt in settings.READING.doubts),
    ]


@register()
def upstream(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    return [*_endpoint(), *_authorization(), *_addresses(), *_secrets()]


@register()
def record(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if not any(database.get("ATOMIC_REQUESTS") for database in settings.DATABASES.values()):
        return []
    text = "ATOMIC_REQUESTS is on: a refused call would roll its own record back."
    hint = "Take ATOMIC_REQUESTS out of DATABASES (or atomic_requests out of DATABASE_URL)."
    return [error("004", text, hint)]


@register()
def tokens(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    return [*_tokens()]


@register()
def submissions(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if not settings.ENABLE_SUBMISSIONS_API or settings.SUBMISSIONS_API_URL:
        return []
    text = "ENABLE_SUBMISSIONS_API is on, and SUBMISSIONS_API_URL is not set."
    hint = (
        "Set it to the address that takes the calls, such as "
        "https://vendor.example/submissions, or ENABLE_SUBMISSIONS_API=false."
    )
    return [error("020", text, hint)]


@register()
def notices(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    found = []
    for name, other, hint in (
        ("NOTICE_URL", "NOTICE_SECRET", "Set it to a long random text that the receiver knows."),
        ("NOTICE_MAIL", "NOTICE_FROM", "Set it to the address that mails are from."),
    ):
        if getattr(settings, name) and not getattr(settings, other):
            found.append(error("021", f"{name} is set, and {other} is not.", hint))
    return found


@register()
def assessments(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.METADATA_SAMPLE and not settings.METADATA_CHECK:
        text = "METADATA_SAMPLE draws nothing while METADATA_CHECK is off."
        return [warning("006", text, "Set METADATA_CHECK=true, or METADATA_SAMPLE=0.")]
    return []


@register()
def secret(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.DEMO or settings.READING.is_set("SECRET_KEY"):
        return []
    text = f"SECRET_KEY is not set: this machine keeps one of its own in {settings.VAR_DIR}."
    hint = "Set SECRET_KEY to a long random text, the same on every machine."
    return [warning("002", text, hint)]


@register()
def pseudonyms(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if settings.DEMO or not settings.PSEUDONYMS or settings.READING.is_set("PSEUDONYM_KEY"):
        return []
    text = (
        f"PSEUDONYM_KEY is not set: this machine keeps one of its own in {settings.VAR_DIR}, "
        "and other machines give people other aliases."
    )
    hint = "Set PSEUDONYM_KEY to a long random text, the same on every machine."
    return [warning("005", text, hint)]


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
            "Set it to the whole header, such as 'Bearer' and a key, "
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
    if not hosts and settings.UNBOUND_SECRETS_PASS:
        text = (
            f"UPSTREAM_SECRETS binds {name} to no host: who may edit upstreams can have it sent "
            "anywhere. From version 0.3 on this is an error."
        )
        yield warning("032", text, hint)
    elif not hosts:
        yield error(
            "032", f"UPSTREAM_SECRETS binds {name} to no host, so it is sent nowhere.", hint
        )
    for host in hosts:
        if fault := credentials.find_fault_of_host(host):
            text = f"UPSTREAM_SECRETS binds {name} to “{host}”, which is no host: {fault}."
            yield error("032", text, hint)
