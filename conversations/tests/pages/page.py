"""A person's own conversation, as its page shows it."""

import base64
from uuid import UUID

from django.urls import reverse

from conversations import record
from conversations.models import Snapshot
from conversations.record import Outcome
from conversations.search import index
from conversations.tests.calls import assistant, turn, user
from conversations.tests.html import Html, check

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 12
NOBODY = UUID("00000000-0000-7000-8000-000000000000")  # names nothing


def page(client, root, **query) -> Html:
    response = client.get(reverse("conversation", args=[root]), query)
    assert response.status_code == 200
    html = Html(response)
    check(html)
    return html


def long(alice, count: int) -> tuple[UUID, list[Snapshot]]:
    """A conversation of so many exchanges."""
    said, calls, root = [], [], None
    for i in range(count):
        said.append(user(f"question {i}"))
        calls.append(turn(alice, said, f"answer {i}", root=root))
        said.append(assistant(f"answer {i}"))
        root = calls[0].conversation_id
    return root, calls


def close(call, **fields) -> Snapshot:
    record.close(call, Outcome(**fields))
    return Snapshot.objects.get(id=call.id)


def picture(data: bytes, kind: str = "image/png") -> dict:
    return {
        "type": "image_url",
        "image_url": {"url": f"data:{kind};base64,{base64.b64encode(data).decode()}"},
    }


# History ----------------------------------------------------------------------------------------


def indexed(*snapshots: Snapshot) -> None:
    index.index_messages([snapshot.id for snapshot in snapshots])
