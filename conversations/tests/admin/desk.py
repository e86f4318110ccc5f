"""Pages of the review desk, as a test reads them."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from uuid import UUID

from django.http.response import HttpResponseBase
from django.test import Client
from django.urls import reverse

from conversations.models import (
    Snapshot,
    User,
)
from conversations.tests.calls import ask, user

CONVERSATIONS, CALLS = "/admin/conversations/conversation/", "/admin/conversations/snapshot/"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 12


def read(client: Client, path: str) -> tuple[HttpResponseBase, bytes]:
    """The response and its body; a stream is closed at its end."""
    response = client.get(path)
    return response, response.getvalue()


def page_of(call: Snapshot) -> str:
    return reverse("admin:conversations_snapshot_change", args=[call.id])


def transcript_of(call: Snapshot) -> str:
    return reverse("admin:conversations_conversation_change", args=[call.conversation_id])


def ids(response) -> list[UUID]:
    return [row.pk for row in response.context["cl"].result_list]


def text(response) -> str:
    """What a person reads: without tags, entities resolved."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).split())


def rows(response) -> list[dict[str, str]]:
    """What a person reads in each cell of a list, by its column."""
    cell = re.compile(r'<t[dh] class="field-(\w+)[^"]*">(.*?)</t[dh]>', re.DOTALL)
    words = lambda html: " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())  # noqa: E731
    found = (
        {name: words(html) for name, html in cell.findall(row)}
        for row in response.content.decode().split("<tr")
    )
    return [row for row in found if row]


def made(owner: User, count: int, **how) -> list[UUID]:
    """So many calls of one message each, a minute apart, the last one now. Oldest first."""
    now = datetime.now(UTC)
    return [
        ask(owner, [user(f"question {i}")], opened=now - timedelta(minutes=count - i), **how).id
        for i in range(count)
    ]


def ago(days: int) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).date().isoformat()
