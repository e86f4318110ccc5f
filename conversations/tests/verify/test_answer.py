"""What an auditor is told: what vouches for the record, and what does not."""

import io
import re
import sys
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from conversations.models import AuditEvent, SigningKey, Verification
from conversations.people import audit
from conversations.proof import checkpoints, marks, sealing
from conversations.proof.verification import verify
from conversations.tests.calls import person

pytestmark = pytest.mark.django_db


def tell(**options: object) -> str:
    said = StringIO()
    call_command("verify", stdout=said, **options)
    return said.getvalue()


def test_success_says_up_to_where_a_checkpoint_vouches(calls):
    for _ in range(2):
        audit.record(person("rita"), AuditEvent.Action.LIST)
    sealing.seal()
    said = tell()
    assert said.startswith("The record is whole: 8 seals hold (")
    assert re.search(
        r"\nConfirmed up to seal 6 by the checkpoint of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC; "
        r"2 after it by none\.\n",
        said,
    )
    assert "That key is this machine's own word." in said
    run = Verification.objects.latest()
    assert (run.confirmed, run.keys) == (6, checkpoints.derive_public_key())
    assert run.is_whole


def test_rows_that_wait_for_their_seal_are_counted_among_what_is_not_covered(calls):
    audit.record(person("rita"), AuditEvent.Action.LIST)
    assert tell().endswith("- 1 rows that wait for their seal now.\n")


def test_nothing_sealed_is_nothing_confirmed():
    assert tell().startswith("Nothing is sealed yet.\n")


def test_a_machine_that_never_signed_is_no_alarm_and_no_proof(calls, file, settings, tmp_path):
    """A node whose worker never ran has no file; where one was written is said."""
    settings.CHECKPOINT_FILE = tmp_path / "of another node.jsonl"
    said = tell()
    assert said.startswith("The record agrees with itself: 6 seals hold (")
    assert "whole" not in said.partition("It is not called whole")[0]
    assert "Confirmed by no checkpoint: none of the 6 seals is." in said
    assert f"There is no checkpoint file here ({settings.CHECKPOINT_FILE})" in said
    assert f"up to seal 6 were signed at {SigningKey.objects.get().place}" in said
    assert str(file) in said
    assert not Verification.objects.latest().is_whole
    SigningKey.objects.all().delete()
    settings.CHECKPOINT_FILE.touch()  # a worker opened it, and has signed nothing yet
    assert "The checkpoint file has no checkpoint of this chain." in tell()


def test_a_copy_that_was_shipped_away_vouches_without_this_machine(calls, file, monkeypatch):
    copy = file.read_bytes()
    shipped = file.with_name("shipped.jsonl")
    shipped.write_bytes(copy)
    file.unlink()
    key = checkpoints.derive_public_key()
    for name in (str(shipped), "-"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(copy)))
        said = tell(checkpoints=name, key=[key])
        assert "Confirmed up to seal 6 by the checkpoint of " in said
        assert f"Its checkpoints are signed by {key}.\n" in said
        assert "own word" not in said
    with pytest.raises(CommandError, match="The copy of the checkpoints cannot be read") as problem:
        tell(checkpoints=str(shipped.with_name("missing")))
    assert problem.value.returncode == 2


def test_only_the_key_that_was_handed_out_is_trusted(calls, settings):
    """The database names the keys that signed; a name is no reason to trust one."""
    settings.CHECKPOINT_KEY, old = "a later key", checkpoints.derive_public_key()
    audit.record(person("rita"), AuditEvent.Action.LIST)
    sealing.seal()
    assert checkpoints.write_checkpoint(now=True)
    new = checkpoints.derive_public_key()
    assert {row.key for row in SigningKey.objects.all()} == {old, new}
    problem = verify([new]).problem
    assert "Line 1 of the checkpoint file, of seal 6, is not signed by a key that is tr" in problem
    assert f"The database names {old} (from seal 6, " in problem
    assert "Line 2 of the checkpoint file, of seal 7, is not signed" in verify([old]).problem
    assert verify([old, new]).problem == ""


def test_a_checkpoint_that_is_old_is_noted(calls, monkeypatch):
    audit.record(person("rita"), AuditEvent.Action.LIST)
    sealing.seal()
    assert verify().notes == ""
    monkeypatch.setattr(marks, "BEHIND", timedelta(0))
    assert "older than the newest seal: no worker has signed" in verify().notes
