"""How the review desk shows text, money, tokens and time."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django import template
from django.http import QueryDict
from django.template.context import Context
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from .. import figures
from .. import visible as text
from ..figures import count, dollars
from ..models import Conversation, SamplingPolicy, Snapshot, User
from ..people.identity import Names
from ..reading.pieces import Piece
from ..refusals import find_refused

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


@register.simple_tag(takes_context=True)
def typed_into(context: Context, form: str, **fields: Any) -> QueryDict | None:
    """Return what was typed into a form of this page that was refused; None for all others."""
    return find_refused(context["request"], form, **fields)


@register.filter
def visible(value: object) -> SafeString:
    return text.show_hidden("" if value is None else str(value))


@register.filter
def marked(value: str, piece: Piece) -> SafeString:
    """Show a text of a piece as `visible` does, with the words of a search marked."""
    return text.show_hidden(value, piece.find)


@register.filter
def named(user: User, names: Names) -> SafeString:
    """Name a person as conversations.people.identity names them to the reader of the page."""
    return text.show_hidden(names.name(user))


@register.filter
def person(row: Conversation | Snapshot, names: Names) -> SafeString:
    """Name the person who asked: the end user of a shared key, else the owner."""
    return text.show_hidden(names.person(row))


@register.filter
def claim(row: Conversation | Snapshot, names: Names) -> SafeString:
    """Say whose claim that name is; nothing where it is the owner's own."""
    return text.show_hidden(names.claim(row))


@register.filter
def drawn_by(policy: SamplingPolicy | None, names: Names) -> SafeString | str:
    return visible(names.policy(policy)) if policy else ""


@register.filter
def full_name(user: User, names: Names) -> SafeString:
    return text.show_hidden(names.full_name(user))


@register.filter
def job_title(user: User, names: Names) -> SafeString:
    return text.show_hidden(names.job_title(user))


@register.filter
def moment(value: datetime | None) -> SafeString | str:
    """Show a time in the reader's time zone, to the second."""
    return "–" if value is None else _time(value, "%Y-%m-%d %H:%M:%S")


@register.filter
def minute(value: datetime) -> SafeString:
    return _time(value, "%Y-%m-%d %H:%M")


def _time(value: datetime, style: str) -> SafeString:
    local = timezone.localtime(value)
    return format_html(
        '<time datetime="{}">{}</time>',
        local.isoformat(timespec="milliseconds"),
        local.strftime(style),
    )


@register.filter
def figure(value: object) -> SafeString | str:
    """Show a cell of a table: a day, an amount of money, a number, or a text of a user."""
    if isinstance(value, date):
        return f"{value.day} {value:%b %Y}"
    if isinstance(value, Decimal):
        return dollars(value)
    return count(value) if isinstance(value, int) else visible(value)
