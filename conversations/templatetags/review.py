"""How the review desk shows text, money, tokens and time."""

from datetime import date, datetime, timedelta
from decimal import Decimal

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from .. import visible as text

register = template.Library()


@register.filter
def visible(value) -> SafeString:
    return text.visible("" if value is None else str(value))


@register.filter
def named(user, names) -> SafeString:
    """A person, as the reader of the page is told (conversations.identity)."""
    return text.visible(names.name(user))


@register.filter
def full_name(user, names) -> SafeString:
    return text.visible(names.full_name(user))


@register.filter
def job_title(user, names) -> SafeString:
    return text.visible(names.job_title(user))


@register.filter
def moment(value: datetime | None) -> SafeString | str:
    """In the reader's time zone, to the second."""
    if value is None:
        return "–"
    local = timezone.localtime(value)
    return format_html('<time datetime="{}">{}</time>', local.isoformat(timespec="milliseconds"), f"{local:%Y-%m-%d %H:%M:%S}")


@register.filter
def minute(value: datetime) -> SafeString:
    local = timezone.localtime(value)
    return format_html('<time datetime="{}">{}</time>', local.isoformat(timespec="milliseconds"), f"{local:%Y-%m-%d %H:%M}")


@register.filter
def count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


@register.filter
def dollars(value: Decimal | None) -> str:
    if value is None:
        return "–"
    return "$0" if not value else "< $0.0001" if value < Decimal("0.0001") else f"${value:,.4f}"


@register.filter
def short(value: float) -> str:
    """To three digits: 12, 12.3k, 1.23M."""
    for size, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{name}"
    return f"{value:.3g}"


@register.filter
def money(value: Decimal) -> str:
    """A sum: to the cent, where there are cents."""
    return f"${value:,.2f}" if value >= 1 else dollars(value)


@register.filter
def figure(value) -> SafeString | str:
    """A cell of a table: a day, a number, money, or somebody's text."""
    if isinstance(value, date):
        return f"{value.day} {value:%b %Y}"
    if isinstance(value, Decimal):
        return dollars(value)
    return count(value) if isinstance(value, int) else visible(value)


@register.filter
def spent(seconds: float) -> str:
    """Work, roughly: 40 s, 12 min, 3.5 h."""
    return f"{seconds:.0f}\xa0s" if seconds < 60 else f"{seconds / 60:.0f}\xa0min" if seconds < 3600 else f"{seconds / 3600:,.1f}\xa0h"


@register.filter
def lasting(value: timedelta | None) -> str:
    if value is None:
        return "–"
    seconds = value.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"
