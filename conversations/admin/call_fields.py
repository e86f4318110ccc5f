"""The fields of one call, in groups, as a reader of its page may see them."""

from collections.abc import Callable
from typing import Any

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from ..figures import count, lasting
from ..models import Snapshot
from ..people.identity import Names
from ..templatetags.review import moment, visible

GROUPS: dict[str | Promise, tuple[str, ...]] = {
    gettext_lazy("User"): ("owner", "end_user", "key", "address", "user_agent"),
    gettext_lazy("Kind and model"): (
        "kind",
        "use_case",
        "model",
        "served_model",
        "upstream",
        "finish_reason",
    ),
    gettext_lazy("Outcome"): ("status", "error_code", "error", "stop", "retry_of"),
    gettext_lazy("Times"): ("opened", "first_byte", "closed"),
    "Tokens and cost": ("prompt_tokens", "completion_tokens", "estimated", "cost", "cost_source"),
    gettext_lazy("Identifiers"): (
        "id",
        "conversation",
        "about",
        "covers",
        "upstream_id",
        "upstream_request_id",
        "process",
        "classic_id",
        "classic",
    ),
    "Proof": ("preamble", "head", "reply", "salt", "commitment"),
}
# They lead to the person; with the salt, guesses at what was sent could be tried.
CLUES = ("key", "address", "user_agent", "classic", "salt")
PAYLOAD = ("params", "response")  # shown as the request and the reply that they are part of


def show_field(call: Snapshot, name: str, names: Names) -> SafeString | str:
    """Show a field to the reader of `names`."""
    return FIELDS.get(name, show_plain)(call, name, names)


def show_status(call: Snapshot) -> SafeString:
    return format_html(
        '<span class="gw-status gw-{}">{}</span>', call.status, call.get_status_display()
    )


def show_duration(call: Snapshot) -> str:
    return lasting(call.closed - call.opened if call.closed else None)


def show_plain(call: Snapshot, name: str, names: Names) -> SafeString | str:
    value = getattr(call, name)
    for kind, show in TYPES:
        if isinstance(value, kind):
            return show(value)
    return visible("–" if value in (None, "") else value)


def show_id(call: Snapshot, name: str, names: Names) -> str:
    return str(getattr(call, f"{name}_id") or "–")


def show_conversation(call: Snapshot, name: str, names: Names) -> SafeString | str:
    conversation = getattr(call, name)
    if not conversation:
        return "–"
    url = reverse("admin:conversations_conversation_change", args=[conversation.id])
    return format_html('<a href="{}?call={}">{}</a>', url, call.id, visible(str(conversation)))


def show_call(call: Snapshot, name: str, names: Names) -> SafeString | str:
    other = getattr(call, name)
    if not other:
        return "–"
    url = reverse("admin:conversations_snapshot_change", args=[other.id])
    return format_html('<a href="{}">{}</a>', url, other)


def show_user(call: Snapshot, name: str, names: Names) -> SafeString:
    user = getattr(call, name)
    parts = (
        names.name(user),
        names.full_name(user),
        names.job_title(user),
        names.department(user),
    )
    return visible(", ".join(filter(None, parts)))


def show_end_user(call: Snapshot, name: str, names: Names) -> SafeString:
    parts = (names.end_user(call), names.claim(call))
    return visible(", ".join(filter(None, parts)) or "–")


def show_clue(call: Snapshot, name: str, names: Names) -> SafeString | str:
    if getattr(call, name) and names.hidden:
        return format_html('<span class="gw-quiet">{}</span>', "hidden")
    return show_plain(call, name, names)


def show_opened(call: Snapshot, name: str, names: Names) -> SafeString:
    return format_html("{} {}", moment(call.opened), "")


def show_time(call: Snapshot, name: str, names: Names) -> SafeString:
    value = getattr(call, name)
    since = f"+ {lasting(value - call.opened)}" if value else ""
    return format_html("{} {}", moment(value), since)


def show_cost(call: Snapshot, name: str, names: Names) -> str:
    return "–" if call.cost is None else f"${call.cost.normalize():f}"


FIELDS: dict[str, Callable[[Snapshot, str, Names], SafeString | str]] = {
    "preamble": show_id,
    "head": show_id,
    "reply": show_id,
    "conversation": show_conversation,
    "about": show_conversation,
    "retry_of": show_call,
    "owner": show_user,
    "end_user": show_end_user,
    **dict.fromkeys(CLUES, show_clue),
    "opened": show_opened,
    "first_byte": show_time,
    "closed": show_time,
    "status": lambda call, name, names: show_status(call),
    "cost": show_cost,
}
# The first that fits: a bool is an int, too.
TYPES: tuple[tuple[Any, Callable[[Any], str]], ...] = (
    (bool, lambda value: "yes" if value else "no"),
    (bytes | memoryview, lambda value: bytes(value).hex()),
    (int, count),
)
