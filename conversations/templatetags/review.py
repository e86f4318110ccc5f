"""How the review desk shows text, money, tokens and time."""

from datetime import date, datetime
from decimal import Decimal

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from .. import figures
from .. import visible as text
from ..figures import count, dollars

register = template.Library()
for each in (
    figures.count,
    figures.dollars,
    figures.short,
    figures.money,
    figures.spent,
    figures.lasting,
):
    register.filter(each)


@register.filter
def visible(value) -> SafeString:
    return text.show_hidden("" if value is None else str(value))


@register.filter
def named(user, names) -> SafeString:
    """A person, as the reader of the page is told (conversations.people.identity)."""
    return text.show_hidden(names.name(user))


@register.filter
def full_name(user, names) -> SafeString:
    return text.show_hidden(names.full_name(user))


@register.filter
def job_title(user, names) -> SafeString:
    return text.show_hidden(names.job_title(user))


@register.filter
def moment(value: datetime | None) -> SafeString | str:
    """In the reader's time zone, to the second."""
    if value is None:
        return "–"
    local = timezone.localtime(value)
    return format_html(
        '<time datetime="{}">{}</time>',
        local.isoformat(timespec="milliseconds"),
        f"{local:%Y-%m-%d %H:%M:%S}",
    )


@register.filter
def minute(value: datetime) -> SafeString:
    local = timezone.localtime(value)
    return format_html(
        '<time datetime="{}">{}</time>',
        local.isoformat(timespec="milliseconds"),
        f"{local:%Y-%m-%d %H:%M}",
    )


@register.filter
def figure(value) -> SafeString | str:
    """A cell of a table: a day, a number, money, or somebody's text."""
    if isinstance(value, date):
        return f"{value.day} {value:%b %Y}"
    if isinstance(value, Decimal):
        return dollars(value)
    return count(value) if isinstance(value, int) else visible(value)
