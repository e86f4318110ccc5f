"""What verify says of each attack on a sealed record; and of those that nothing can see."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from uuid import uuid4

import pytest
from django.core.files.storage import default_storage
from django.core.management import call_command

from conversations import record
from conversations.models import Attachment, Message, Snapshot, Unsealed
from conversations.proof import checkpoints, sealing, views
from conversations.proof.verification import verify
from conversations.tests.calls import answer, ask, person, turn, user
from conversations.tests.unguarded import unguarded
from conversations.tests.verify.attack_table import ATTACKS
from conversations.tests.verify.attacks import PDF, forge_call, stored

pytestmark = pytest.mark.django_db


def file_part(data: bytes, declared: str = "application/pdf") -> dict:
    url = f"data:{declared};base64,{base64.b64encode(data).decode()}"
    return {"type": "file", "file": {"file_data": url}}


@pytest.fixture
def call(calls, settings, tmp_path) -> Snapshot:
    """The first of seven sealed rows; the last is a call with a file, of another person."""
    settings.MEDIA_ROOT = tmp_path / "files"
    turn(person("bob"), [user([file_part(PDF)])], "Nice.")
    assert default_storage.path(stored()).startswith(str(tmp_path))
    assert sealing.seal() == 1
    assert checkpoints.write_checkpoint(now=True)
    return calls[0]


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_named(call, name):
    attack, says = ATTACKS[name]
    handed_out = checkpoints.derive_public_key()
    assert verify([handed_out]).problem == ""
    attack(call)
    problem = verify([handed_out]).problem
    assert says.format(call=call.id, conversation=call.conversation_id) in problem


def delete_pending(call: Snapshot) -> None:
    pending = ask(person("bob"), [user("I should not have asked")])
    with unguarded():
        Snapshot.objects.filter(id=pending.id).delete()
        Message.objects.filter(snapshot=pending.id).delete()


def change_before_seal(call: Snapshot) -> None:
    made = turn(person("bob"), [user("Hi")], "Hello!")
    with unguarded():
        Snapshot.objects.filter(id=made.id).update(user_agent="another")
    assert sealing.seal() == 1


@pytest.mark.parametrize("attack", [delete_pending, change_before_seal])
def test_what_cannot_be_seen_is_said(call, attack: Callable[[Snapshot], None]):
    attack(call)
    said = StringIO()
    call_command("verify", stdout=said)
    assert (
        "A call that was deleted while it was open, and a row that was changed before its seal"
        in said.getvalue().partition("What this check does not cover:")[2]
    )


def test_what_could_not_be_checked_is_said(call, monkeypatch):
    monkeypatch.setattr(views, "MAY_MAKE", "SELECT false")
    run = verify()
    assert (run.problem, run.is_whole) == ("", True)
    assert "The views of llm_logs were not compared" in run.notes


# Files --------------------------------------------------------------------------------------------


def test_contents_are_left_unread_only_where_that_was_asked_for(call):
    with open(default_storage.path(stored()), "r+b") as file:
        file.write(b"%PDF-y")
    run = verify(with_files=False)
    assert (run.problem, run.with_files) == ("", False)
    said = StringIO()
    call_command("verify", files=False, stdout=said)
    assert "their contents were not read" in said.getvalue()
    assert verify().problem.endswith("names, was changed.")
    with open(default_storage.path(stored()), "ab") as file:
        file.write(b"y")
    assert verify(with_files=False).problem.endswith("names, was changed.")


def test_one_file_under_two_types_and_a_text_that_looks_like_a_file(call):
    """The row has the type of whoever sent the file first; a client's own words name nothing."""
    alice = person("alice")
    first = turn(alice, [user([file_part(PDF, "text/plain")])], "Nice.")
    turn(alice, [user([file_part(PDF, "image/png")])], "Nice.", root=first.conversation_id)
    for kind in ("text/x-one", "text/x-two"):
        part = file_part(PDF, kind)
        refused = record.CallRequest(owner=alice.pk, kind="chat", model="m", body={"x": [part]})
        record.refuse(refused, "model_not_found", "No such model.")
    turn(alice, [user([{"$attachment": ["0" * 64, ""]}, '{"$attachment":["1"]}'])], "Odd.")
    assert sealing.seal() == 5
    assert Attachment.objects.filter(conversation=None).count() == 1
    assert verify().problem == ""


# Times --------------------------------------------------------------------------------------------


def test_a_worker_that_was_away_is_noted_and_no_attack():
    """All rows wait for their seals in the order in which they closed."""
    for hours in (50, 30, 20):
        at = datetime.now(UTC) - timedelta(hours=hours)
        call = ask(person("alice"), [user(f"{hours} hours ago")], opened=at)
        record.close(call, record.Outcome(status="ok", closed=at))
    assert sealing.seal() == 3
    run = verify()
    assert run.problem == ""
    assert "3 rows were sealed much later than they closed" in run.notes


def test_an_import_is_told_with_its_day(call):
    at = datetime.now(UTC) - timedelta(days=400)
    forge_call(at, classic_id=uuid4(), classic={})
    run = verify()
    assert run.problem == ""
    assert "1 calls came from a classic gateway's log" in run.notes
    assert f"1 on {datetime.now(UTC).date()}" in run.notes


def test_calls_that_overlap_are_in_order(call):
    """Calls are sealed as they close, however long before that they were opened."""
    slow = ask(person("alice"), [user("slow")], opened=datetime.now(UTC) - timedelta(hours=3))
    turn(person("alice"), [user("quick")], "Done.")
    answer(slow, "Done at last.")
    assert sealing.seal() == 2
    assert not Unsealed.objects.exists()
    run = verify()
    assert (run.problem, run.notes) == ("", "")
