"""A conversation exported by its owner, and by nobody else."""

import base64

import orjson
import pytest
from django.test import Client

from conversations.models import Conversation
from conversations.reading.download import make_file_name
from conversations.tests.calls import answer, ask, assistant, person, turn, user
from conversations.tests.html import Html

pytestmark = pytest.mark.django_db
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 12


def test_the_branch_that_is_shown_is_the_markdown(hers, alice):
    first = turn(
        alice,
        [{"role": "system", "content": "Be terse."}, user("What is a mutex?")],
        "A lock.",
        title="Locks",
    )
    root = first.conversation_id
    turn(
        alice,
        [{"role": "system", "content": "Be terse."}, user("What is a mutex?")],
        "Another answer.",
        root=root,
    )
    page = Html(hers.get(f"/c/{root}/?at={first.reply_id}"))
    [link] = [link["href"] for link in page.all("a") if "export.md" in str(link.get("href"))]
    response = hers.get(link)
    text = response.getvalue().decode()
    assert response["Content-Type"] == "text/markdown; charset=utf-8"
    assert response["Content-Disposition"] == 'attachment; filename="Locks.md"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in response["Cache-Control"]
    assert text.startswith("# Locks\n\nExported ")
    order = [
        text.index(words)
        for words in (
            "## System prompt\n\nBe terse.",
            "## You\n\nWhat is a mutex?",
            "## m · ",
            "A lock.",
        )
    ]
    assert order == sorted(order)
    assert "Another answer." not in text
    assert "Another answer." in hers.get(f"/c/{root}/export.md").getvalue().decode()
    assert hers.get(f"/c/{root}/export.md?at=nonsense").status_code == 200


def test_the_json_holds_every_branch(hers, alice):
    first = turn(alice, [user("q")], "one")
    second = turn(alice, [user("q")], "two", root=first.conversation_id)
    response = hers.get(f"/c/{first.conversation_id}/export.json")
    found = orjson.loads(response.getvalue())
    assert response["Content-Type"] == "application/json"
    assert response["Content-Disposition"].startswith("attachment; ")
    assert found["id"] == str(first.conversation_id)
    said = {message["id"]: message for message in found["messages"]}
    assert said[str(first.reply_id)]["message"]["content"] == "one"
    assert said[str(second.reply_id)]["message"]["content"] == "two"
    assert said[str(first.reply_id)]["parent"] in said
    assert [call["reply"] for call in found["calls"]] == [str(first.reply_id), str(second.reply_id)]
    assert [call["status"] for call in found["calls"]] == ["ok", "ok"]


def test_pictures_are_named_and_tool_calls_are_there(hers, alice):
    picture = {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64," + base64.b64encode(PNG).decode()},
    }
    call = ask(alice, [user([{"type": "text", "text": "Look:"}, picture])])
    answer(
        call,
        None,
        tool_calls=[
            {
                "id": "c",
                "type": "function",
                "function": {"name": "see", "arguments": '{"x": "```"}'},
            }
        ],
    )
    markdown = hers.get(f"/c/{call.conversation}/export.md").getvalue().decode()
    assert "Look:" in markdown
    assert "[file with sha256 " in markdown
    assert '````json\n[\n  {\n    "id": "c"' in markdown
    assert base64.b64encode(PNG).decode() not in markdown
    found = orjson.loads(hers.get(f"/c/{call.conversation}/export.json").getvalue())
    assert found["messages"][-1]["message"]["tool_calls"][0]["function"]["name"] == "see"


def test_what_waits_or_failed_can_be_exported_too(hers, alice):
    for status in (None, "failed"):
        call = ask(alice, [user("Is somebody there?")])
        if status:
            answer(call, "half", status=status)
        assert (
            "Is somebody there?"
            in hers.get(f"/c/{call.conversation}/export.md").getvalue().decode()
        )
        assert orjson.loads(hers.get(f"/c/{call.conversation}/export.json").getvalue())["calls"][0][
            "status"
        ] == (status or "pending")


@pytest.mark.parametrize("suffix", ["md", "json"])
def test_for_a_stranger_and_once_it_is_removed_it_is_not_there(hers, suffix):
    theirs = turn(person("bob"), [user("q"), assistant("a"), user("r")], "b").conversation_id
    foreign, none = (
        hers.get(f"/c/{theirs}/export.{suffix}"),
        hers.get(f"/c/00000000-0000-7000-8000-000000000000/export.{suffix}"),
    )
    assert foreign.status_code == none.status_code == 404
    assert Client().get(f"/c/{theirs}/export.{suffix}").status_code == 302
    mine = turn(person("alice"), [user("q")], "a").conversation_id
    assert hers.get(f"/c/{mine}/export.{suffix}").status_code == 200
    Conversation.objects.get(id=mine).hide()
    assert hers.get(f"/c/{mine}/export.{suffix}").status_code == 404
    assert hers.get(f"/c/{mine}/export.exe").status_code == 404


@pytest.mark.parametrize(
    ("title", "file"),
    [
        ("Locks", "Locks.md"),
        ("", "conversation.md"),
        ("../../etc/passwd", "etc passwd.md"),
        ("a\r\nSet-Cookie: x=1", "a Set-Cookie x 1.md"),
        ('x"; filename="evil.exe', "x filename evil exe.md"),
        ("invoice\u202egpj.exe", "invoicegpj exe.md"),
        ("\0\ud800 \u200b\u3164", "conversation.md"),
        ("Größe 数え方", "Größe 数え方.md"),
        ("x" * 300, "x" * 80 + ".md"),
        ("...", "conversation.md"),
        ("-rf", "rf.md"),
    ],
)
def test_a_title_makes_a_harmless_name(title, file):
    assert make_file_name(title, "md") == file


@pytest.mark.parametrize(
    "title", ['"; filename="evil.exe', "Größe 数え方 \u202e", "a\nb <script>alert(1)</script>"]
)
def test_a_hostile_title_stays_on_its_line(hers, alice, title):
    root = turn(alice, [user("q")], "a", title=title).conversation_id
    response = hers.get(f"/c/{root}/export.md")
    assert "evil.exe" not in response["Content-Disposition"]
    assert "\n" not in response["Content-Disposition"]
    assert response.getvalue().decode().split("\n")[1] == ""
    assert hers.get(f"/c/{root}/export.json").status_code == 200
