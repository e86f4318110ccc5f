"""The words of a page about a call: its author, its end, its tokens and its cost. Pure."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..models import Snapshot

# Error codes that the same question meets again.
REPEATED = {
    "content_policy_violation",
    "moderation_blocked",
    "content_filter",
    "invalid_request_error",
}
TOO_LONG = {"context_length_exceeded", "string_above_max_length"}


class Action(StrEnum):
    """The way on from a call that did not end well; templates know these words."""

    RETRY = "retry"
    REGENERATE = "again"
    EDIT = "edit"
    NEW_CONVERSATION = "new"


@dataclass(slots=True)
class CallProblem:
    """How a call ended, where that was not well, and the way on."""

    title: str
    text: str
    action: Action


def describe_problem(call: Snapshot) -> CallProblem | None:
    match call.status:
        case Snapshot.Status.FAILED if call.error_code in TOO_LONG:
            title, action = _("Too long for the model"), Action.NEW_CONVERSATION
        case Snapshot.Status.FAILED if call.error_code in REPEATED:
            title, action = _("The model's provider refused this"), Action.EDIT
        case Snapshot.Status.FAILED:
            title = _("The answer was cut off") if call.reply_id else _("No answer")
            action = Action.RETRY
        case Snapshot.Status.REFUSED:
            title, action = _("Not sent"), Action.EDIT
        case Snapshot.Status.CANCELLED:
            return CallProblem(_("Stopped"), "", Action.REGENERATE)
        case Snapshot.Status.INTERRUPTED:
            title, action = _("Interrupted"), Action.RETRY
        case _:
            return None
    return CallProblem(title, call.error, action)


def describe_finish(call: Snapshot) -> str:
    match call.finish_reason:
        case "length":
            return _("Ended at the token limit.")
        case "content_filter":
            return _("Ended by the provider's content filter.")
        case "" if call.status == Snapshot.Status.OK and _says_reasons(call):
            return _("The model did not say why it ended.")
    return ""


def _says_reasons(call: Snapshot) -> bool:
    """Tell whether a call of its kind has a reason; those of a classic gateway have none."""
    return call.kind == Snapshot.Kind.CHAT and call.classic_id is None


def role_name(role: str) -> str:
    """Name the author of a message; empty for an assistant or a tool, which has its own name."""
    match role:
        case "user":
            return _("You")
        case "system" | "developer":
            return _("System prompt")
    return ""


def describe_figures(call: Snapshot) -> str:
    """Write model · use case · tokens · cost, those that are known."""
    parts = [call.model, call.use_case]
    if call.total_tokens is not None:
        tokens = count_tokens(call.total_tokens)
        parts.append(_("about %(tokens)s") % {"tokens": tokens} if call.estimated else tokens)
    if call.cost is not None:
        cost, is_estimate = format_cost(call.cost), call.cost_source == call.CostSource.ESTIMATE
        parts.append(_("about %(cost)s") % {"cost": cost} if is_estimate else cost)
    return " · ".join(part for part in parts if part)


def count_tokens(number: int) -> str:
    return ngettext("%(count)s token", "%(count)s tokens", number) % {"count": f"{number:,}"}


def format_cost(cost: Decimal, *, in_cents: bool = False) -> str:
    """Write US dollars to the cent; below ten cents to a hundredth of one, unless `in_cents`."""
    if in_cents:
        least, exact = Decimal("0.01"), Decimal(0)
    else:
        least, exact = Decimal("0.0001"), Decimal("0.1")
    if 0 < cost < least:
        return f"<${least}"
    return f"${cost:,.4f}" if 0 < cost < exact else f"${cost:,.2f}"


def format_size(size: int) -> str:
    """Write a number of bytes."""
    if size < 1000:
        return ngettext("%(count)s byte", "%(count)s bytes", size) % {"count": f"{size:,}"}
    return f"{size / 1000:,.0f} kB" if size < 1_000_000 else f"{size / 1_000_000:,.1f} MB"
