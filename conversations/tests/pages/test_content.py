"""Whatever a conversation holds is shown, and does nothing; files come from here."""

from hashlib import sha256

import pytest
from django.core.files.storage import default_storage

from conversations import record
from conversations.models import Conversation, Message
from conversations.record import CallRequest, attachments
from conversations.tests.calls import answer, ask, assistant, turn, user
from conversations.tests.pages.page import NOBODY, PNG, close, long, page, picture

pytestmark = pytest.mark.django_db
GIF = b"GIF89a" + bytes(range(256)) * 12
WEBP = b"RIFF\x00\x00\x00\x00WEBP" + bytes(range(256)) * 12
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 12
PAGE = b"<html><script>alert(1)</script>" + b"x" * 3000
DRAWING = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'>" + b"x" * 3000


def test_claimed_answers_are_marked(alice, hers):
    root = turn(alice, [user("q"), assistant("never relayed"), user("r")], "a").conversation_id
    html = page(hers, root)
    assert html.words.count("the gateway did not relay it") == 1
    assert "did not relay it. never relayed" in html.words


def test_the_system_prompt_is_folded(alice, hers):
    root = turn(alice, [{"role": "system", "content": "Be terse."}, user("q")], "a").conversation_id
    html = page(hers, root)
    assert "System prompt Be terse." in html.words
    [fold] = html.all("details", **{"class": "preamble"})
    assert "open" not in fold
    prompt = Message.objects.get(text="Be terse.")
    html = page(hers, root, at=prompt.id)
    [fold] = html.all("details", **{"class": "preamble"})
    assert "open" in fold
    assert "q" in html.words


def test_tool_calls_can_be_read(alice, hers):
    call = ask(alice, [user("weather?")])
    reply = answer(
        call,
        None,
        tool_calls=[
            {
                "id": "c1",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'},
            }
        ],
    )
    sent_back = {key: value for key, value in reply.items() if value not in (None, [])}
    turn(
        alice,
        [
            user("weather?"),
            sent_back,
            {"role": "tool", "tool_call_id": "c1", "content": "4 degrees"},
        ],
        "It is cold.",
        root=call.conversation,
    )
    html = page(hers, call.conversation)
    assert 'Calls get_weather{ "city": "Oslo" }' in html.words
    assert "Result of get_weather 4 degrees" in html.words
    assert "It is cold." in html.words


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        [],
        [{}],
        [1],
        ["text"],
        {"odd": "object"},
        [{"type": "text"}],
        [{"type": "text", "text": 5}],
        [{"type": "image_url", "image_url": None}],
        [{"type": "image_url", "image_url": {"url": 5}}],
        [{"type": "file", "file": {"file_id": "f"}}],
        [{"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}],
        [{"type": "image_url", "image_url": {"url": "javascript:alert(1)"}}],
        [{"$attachment": ["zz", ""]}],
        [{"type": "image_url", "image_url": {"url": {"$attachment": [5]}}}],
    ],
)
def test_odd_content_breaks_no_page(alice, hers, content):
    root = turn(
        alice,
        [
            {"role": "user", "content": content},
            assistant("x", tool_calls="no", function_call="no"),
            user("q"),
        ],
        "a",
    ).conversation_id
    html = page(hers, root)
    assert not [link for link in html.all("a") if (link.get("href") or "").startswith("javascript")]


def test_odd_replies_break_no_page(alice, hers):
    call = ask(alice, [user("q")])
    answer(
        call,
        None,
        tool_calls=[5, {"id": 1}, {"id": "c", "function": {"name": None, "arguments": 7}}],
        refusal="I would rather not.",
    )
    assert "The model declined: I would rather not." in page(hers, call.conversation).words


def test_remote_pictures_are_not_loaded(alice, hers):
    part = {"type": "image_url", "image_url": {"url": "https://evil.example/pixel.png"}}
    html = page(
        hers,
        turn(
            alice,
            [user([{"type": "text", "text": "q"}, part])],
            "![x](https://evil.example/other.png)",
        ).conversation_id,
    )
    assert html.all("img") == []
    assert "[image not loaded: https://evil.example/pixel.png]" in html.words


@pytest.mark.parametrize(
    "query",
    [
        "at=x",
        f"at={NOBODY}",
        "shown=-1",
        "shown=99999999999999999999",
        "live=x",
        "at=%00&shown=%ff",
    ],
)
def test_an_odd_address_shows_the_newest(alice, hers, query):
    root, _ = long(alice, 2)
    response = hers.get(f"/c/{root}/?{query}")
    assert response.status_code == 200
    assert b"answer 1" in response.content


def test_another_persons_message_is_not_shown_by_its_id(alice, hers, bob):
    root, _ = long(alice, 1)
    theirs = turn(bob, [user("secret")], "hidden")
    assert "hidden" not in page(hers, root, at=theirs.reply_id).words


def test_pictures_that_a_model_made_are_shown_with_their_prompt(alice, hers):
    body = {"model": "dall-e-2", "prompt": "a red boat"}
    call = record.open(
        CallRequest(
            owner=alice.pk, kind="image", model="dall-e-2", body=body, messages=[user("a red boat")]
        )
    )
    close(call, status="ok", replies=[{"role": "assistant", "content": [picture(PNG)]}])
    html = page(hers, call.conversation)
    [image] = html.all("img")
    assert image["alt"] == "a red boat"
    assert "Regenerate" not in html.words


# Attachments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "kind", "name"),
    [
        (PNG, "image/png", "png"),
        (GIF, "image/gif", "gif"),
        (WEBP, "image/webp", "webp"),
        (JPEG, "image/jpeg", "jpeg"),
    ],
)
def test_a_picture_is_shown_from_here(alice, hers, data, kind, name):
    root = turn(
        alice, [user([{"type": "text", "text": "what is this"}, picture(data, "image/png")])], "a"
    ).conversation_id
    [image] = page(hers, root).all("img")
    response = hers.get(image["src"])
    assert b"".join(response) == data
    assert response["Content-Type"] == kind
    assert response["Content-Disposition"].startswith("inline; filename=")
    assert response["Content-Disposition"].endswith(f'.{name}"')
    assert response["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize("data", [PAGE, DRAWING, b"%PDF-1.7" + b"x" * 3000])
def test_anything_else_is_a_download(alice, hers, data):
    """Whatever type the sender gave it."""
    root = turn(
        alice, [user([picture(data, "text/html"), picture(data[:-1], "image/png")])], "a"
    ).conversation_id
    sent = {sha256(each).digest(): each for each in (data, data[:-1])}
    for row in Conversation.objects.get(id=root).attachments.all():
        response = hers.get(f"/c/{root}/a/{row.pk}")
        assert response["Content-Disposition"].startswith("attachment")
        assert response["Content-Type"] == "application/octet-stream"
        assert response["Content-Security-Policy"] == "sandbox; default-src 'none'"
        assert b"".join(response) == sent.pop(bytes(row.sha256))
    assert sent == {}


def test_an_attachment_is_reached_through_its_conversation_only(alice, hers, his):
    first = turn(alice, [user([picture(PNG)])], "a").conversation_id
    second = turn(alice, [user([picture(GIF)])], "a").conversation_id
    row = Conversation.objects.get(id=second).attachments.get()
    assert b"".join(hers.get(f"/c/{second}/a/{row.pk}")) == GIF
    assert hers.get(f"/c/{first}/a/{row.pk}").status_code == 404
    assert his.get(f"/c/{second}/a/{row.pk}").status_code == 404
    assert hers.get(f"/c/{second}/a/{10**19}").status_code == 404
    default_storage.delete(attachments.storage_name(bytes(row.sha256)))
    assert hers.get(f"/c/{second}/a/{row.pk}").status_code == 404
