"""Many conversations say the same, each of its own picture: a trimmed history finds its own."""

import base64

import pytest

from conversations.models import Conversation
from conversations.record import trimmed
from conversations.tests.calls import assistant, person, turn, user
from conversations.tests.trimmed.shapes import read_origins, text_part

pytestmark = pytest.mark.django_db
ALIKE = 3 * trimmed.MOST


def linked(n):
    return {"type": "image_url", "image_url": {"url": f"https://x.example/{n}.png"}}


def embedded(n):
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes([n]) * 3000).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def in_the_opening(picture):
    return [user([text_part("What is it?"), picture])], "A cat."


def after_an_answer(picture):
    said = [user("Will you look?"), assistant("Yes.")]
    return [*said, user([text_part("What is it?"), picture])], "A cat."


WAYS = {
    "linked, in the opening": (linked, in_the_opening),
    "embedded, in the opening": (embedded, in_the_opening),
    "embedded, after an answer": (embedded, after_an_answer),
}


@pytest.fixture
def alice(settings, tmp_path):
    settings.MEDIA_ROOT = str(tmp_path)
    return person()


def begin(alice, history, text):
    """Record each answer of a history on its way."""
    for place, message in enumerate(history):
        if message["role"] == "assistant":
            turn(alice, history[:place], message["content"])
    turn(alice, history, text)


@pytest.mark.parametrize(("show", "tell"), WAYS.values(), ids=WAYS)
def test_each_goes_on_where_its_picture_is(alice, show, tell):
    told = [tell(show(n)) for n in range(ALIKE)]
    for history, text in told:
        begin(alice, history, text)
    firsts = list(Conversation.objects.order_by("started").values_list("id", flat=True))
    for n in (0, 1, ALIKE // 2, ALIKE - 1):
        history, text = told[n]
        back = [each | ({"name": "m"} if each["role"] == "assistant" else {}) for each in history]
        later = turn(alice, [*back, assistant(text, name="m"), user("Sure?")], "Yes.")
        assert later.conversation_id == firsts[n]
        assert set(read_origins(later)) == {"relayed"}
    assert Conversation.objects.count() == ALIKE


def test_one_that_none_has_seen_begins_anew_and_reads_few_paths(alice, monkeypatch):
    for n in range(ALIKE):
        begin(alice, *in_the_opening(linked(n)))
    read, read_rows = [], trimmed.read_rows
    monkeypatch.setattr(trimmed, "read_rows", lambda head: read.append(head) or read_rows(head))
    history, text = in_the_opening(linked("stranger"))
    later = turn(alice, [*history, assistant(text, name="m"), user("Sure?")], "Yes.")
    assert read_origins(later) == ["claimed"]
    assert Conversation.objects.count() == ALIKE + 1
    assert 0 < len(read) <= 2 * trimmed.MOST
