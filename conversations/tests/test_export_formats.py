"""What each format says: equal to the record, inert in a spreadsheet and in a page."""

import base64
import csv
import hashlib
import io
import re
from html.parser import HTMLParser

import orjson
import pytest
from django.core.files.storage import default_storage

from conversations import record
from conversations.exports import selection
from conversations.exports.formats import FORMATS
from conversations.exports.selection import Chosen, Selection
from conversations.exports.table import FORMULA, LONGEST
from conversations.models import Conversation, Decision, Snapshot, User
from conversations.people.identity import Names
from conversations.proof import sealing
from conversations.record import CallRequest, Outcome, attachments, rebuild
from conversations.tests.calls import answer, ask, assistant, person, turn, user
from conversations.tests.cells import FORMULAS
from conversations.tests.pictures import PICTURE, URL, picture

pytestmark = pytest.mark.django_db


@pytest.fixture
def export(tmp_path):
    """One file of a format, over everything that is sealed by now."""

    def export(name: str) -> bytes:
        while sealing.seal():
            pass
        made = FORMATS[name](Names(User(username="rita")), tmp_path)
        everything = Selection(Snapshot.objects.all(), 0, selection.newest_seal())
        chosen = Chosen(tmp_path / "chosen")
        chosen.write(everything, conversations=made.conversations)
        rows = [
            row
            for stretch in chosen.stretches(made.at_once)
            for row in made.rows(stretch, everything.last)
        ]
        return b"".join([made.head, *rows, made.tail])

    return export


def table(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))


# Formulas -------------------------------------------------------------------------------------


def test_formulas_are_inert_in_every_csv_and_untouched_in_jsonl(export):
    for i, formula in enumerate(FORMULAS):
        owner = User.objects.create(username=f"{i}", job_title=formula, department=formula)
        turn(
            owner,
            [user(formula)],
            formula,
            title=formula,
            model=formula.strip("\t\r\n") or "m",
            end_user=formula,
        )
    calls = list(Snapshot.objects.order_by("id"))
    for name in ("turns", "conversations", "classic", "figures", "attachments"):
        rows = table(export(name))
        assert len(rows) == (len(FORMULAS) if name != "attachments" else 0)
        assert [cell for row in rows for cell in row.values() if cell.startswith(FORMULA)] == []
    assert [row["asked"] for row in table(export("turns"))] == [
        f"'{formula}" for formula in FORMULAS
    ]
    raw = export("jsonl").splitlines()
    for call, formula, line in zip(calls, FORMULAS, raw, strict=True):
        assert orjson.dumps(rebuild.rebuild_request(call)) in line
        assert orjson.dumps(rebuild.rebuild_response(call)) in line
        assert orjson.loads(line)["request"]["messages"][0]["content"] == formula
        assert orjson.loads(line)["owner"]["job_title"] == formula


# CSV ------------------------------------------------------------------------------------------


def test_a_turn_is_what_was_newly_asked_and_what_was_answered(export):
    alice = User.objects.create(username="alice", job_title="Analyst", department="Finance")
    first = turn(
        alice,
        [{"role": "system", "content": "Be brief."}, user("hi"), user("and how are you?")],
        "Fine.",
        title="Greetings",
    )
    tools = [
        user("hi"),
        user("and how are you?"),
        assistant("Fine."),
        user("2+2?"),
        assistant(None, tool_calls=[{"id": "1", "type": "function"}]),
    ]
    second = turn(
        alice,
        [
            {"role": "system", "content": "Be brief."},
            *tools,
            {"role": "tool", "tool_call_id": "1", "content": "4"},
        ],
        "é" * 40_000,
    )
    record.refuse(
        CallRequest(owner=alice.pk, kind="chat", model="x", body={"model": "x"}, sent=b"{}"),
        "blocked",
        "No.",
    )
    one, two, refused = table(export("turns"))
    assert (one["asked"], one["answered"]) == ("hi\n\nand how are you?", "Fine.")
    assert (two["asked"], two["answered"], two["text_truncated"]) == (
        "4",
        "é" * LONGEST,
        "answered",
    )
    assert (
        refused["asked"],
        refused["conversation"],
        refused["status"],
        refused["error_code"],
    ) == ("", "", "refused", "blocked")
    assert (one["title"], one["user_name"], one["job_title"], one["department"]) == (
        "Greetings",
        "alice",
        "Analyst",
        "Finance",
    )
    assert (one["id"], two["id"], one["prompt_tokens"], one["estimated"]) == (
        str(first.id),
        str(second.id),
        "3",
        "false",
    )
    figures = table(export("figures"))
    assert [row["id"] for row in figures] == [row["id"] for row in (one, two, refused)]
    assert not {"asked", "answered", "title"} & figures[0].keys()


def test_a_conversation_once_with_its_sums_up_to_the_freeze(export):
    alice = person("alice")
    root = turn(alice, [user("one")], "1", model="a").conversation
    turn(person("bob"), [user("other")], "2")
    failed = ask(alice, [user("again")], root=root.id, model="b")
    record.close(failed, Outcome(status="failed"))
    Decision.objects.create(
        conversation=root, reviewer=person("rita"), disposition="violation", newest=failed.id
    )
    pending = ask(alice, [user("open")], root=root.id)
    one, other = table(export("conversations"))
    assert (
        one["conversation"],
        one["calls"],
        one["failures"],
        one["replies"],
        one["prompt_tokens"],
    ) == (str(root.id), "2", "1", "1", "3")
    assert (one["models"], one["disposition"], other["calls"]) == ("a; b", "violation", "1")
    answer(pending, "late")
    assert table(export("conversations"))[0]["calls"] == "3"


# Files ----------------------------------------------------------------------------------------


def test_files_once_by_their_sha256_and_a_lost_one_is_named(export, tmp_path):
    first = turn(person("alice"), [picture()], "a picture")
    turn(person("alice"), [picture(), assistant("a picture"), user("and?")], "still")
    odd = base64.b64encode(b"\xff\xd8\xff" + bytes(3000)).decode()
    turn(
        person("bob"),
        [user([{"type": "image_url", "image_url": {"url": f"data:text/html;base64,{odd}"}}])],
        "odd",
    )
    [attachment] = first.conversation.attachments.all()
    digest = bytes(attachment.sha256).hex()
    rows = table(export("attachments"))
    assert [(row["file"], row["state"]) for row in rows[:2]] == [
        (f"attachments/{digest}.png", "whole")
    ] * 2
    assert rows[2]["media_type_as_sent"] == "text/html"
    assert rows[2]["file"].endswith(".jpg")
    assert (tmp_path / rows[0]["file"]).read_bytes() == PICTURE
    assert len(list((tmp_path / "attachments").iterdir())) == 2
    [line, *_] = export("jsonl").splitlines()
    assert orjson.loads(line)["request"] == rebuild.rebuild_request(first)
    default_storage.delete(attachments.storage_name(bytes(attachment.sha256)))
    (tmp_path / rows[0]["file"]).unlink()
    assert [(row["file"], row["state"]) for row in table(export("attachments"))[:2]] == [
        ("", "lost")
    ] * 2
    for line in export("jsonl").splitlines()[:2]:
        assert orjson.loads(line)["lost"] == [digest]
        assert f"[file with sha256 {digest}]".encode() in line


# Print ----------------------------------------------------------------------------------------


class Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def test_a_transcript_has_every_message_once_and_nothing_that_runs(export):
    alice = person("alice")
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u202e"
    root = turn(
        alice,
        [{"role": "system", "content": "Be kind."}, picture(evil)],
        f"first {evil}",
        title=evil,
    ).conversation_id
    turn(
        alice,
        [{"role": "system", "content": "Be kind."}, picture(evil)],
        "second version",
        root=root,
    )
    said = [
        {"role": "system", "content": "Be strict."},
        picture(evil),
        assistant("second version"),
        user("go on"),
    ]
    turn(alice, said, "the end", root=root)
    turn(
        alice,
        [user("edited opener"), assistant("never relayed"), user("claimed?")],
        "yes",
        root=root,
    )
    Conversation.objects.filter(id=root).update(title=evil)
    html = export("transcript").decode()
    page = Page(html)
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "iframe", "object", "form", "a", "link"}
    assert [
        tag
        for tag, attributes in page.tags
        if any(name.startswith("on") or name == "style" for name in attributes)
    ] == []
    assert {attributes["src"] for tag, attributes in page.tags if tag == "img"} == {URL}
    assert "‹U+202E›" in html
    assert "\u202e" not in html
    for text, times in (
        ("second version", 1),
        ("the end", 1),
        ("edited opener", 1),
        ("never relayed", 1),
        ("Be strict.", 1),
        ("first &lt;script&gt;", 1),
    ):
        assert html.count(text) == times, text
    assert html.count("Another version, from message") == 2
    assert html.count("claimed by the caller") == 1
    [policy] = [
        attributes["content"] for tag, attributes in page.tags if attributes.get("http-equiv")
    ]
    style = re.search(r"<style>(.*)</style>", html, re.DOTALL)[1]
    assert (
        f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'" in policy
    )
    assert "default-src 'none'" in policy
    assert "@media print" in style
