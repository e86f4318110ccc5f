"""What only the checkpoints know, and a range that is checked without the database."""

import json
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from conversations import ledger
from conversations.models import (
    AuditEvent,
    Message,
    Seal,
    Unsealed,
)
from conversations.people import audit
from conversations.proof import checkpoints, sealing
from conversations.proof.verification import verify
from conversations.tests.calls import person
from conversations.tests.unguarded import unguarded
from conversations.tests.verify.findings import found

pytestmark = pytest.mark.django_db


# What only the checkpoints know -------------------------------------------------------------------


def sealed_anew() -> None:
    """What an owner of the database does who knows this code."""
    waiting = [
        Unsealed(kind=seal.kind, subject=seal.subject, closed=seal.sealed)
        for seal in Seal.objects.order_by("number")
    ]
    with unguarded():
        Seal.objects.all().delete()
    Unsealed.objects.bulk_create(waiting)
    sealing.seal()


def test_a_chain_written_anew_is_found(calls):
    with unguarded():
        Message.objects.filter(text="question 0").update(text="I never said that")
    sealed_anew()
    assert "At seal 6 the chain is not the one that the checkpoint of" in found()


def test_an_end_cut_off_is_found(calls):
    with unguarded():
        last = AuditEvent.objects.order_by("id").last()
        Seal.objects.filter(number=6).delete()
        AuditEvent.objects.filter(pk=last.pk).delete()
    assert found().startswith("The chain ends at seal 5, but the checkpoint of ")
    assert found().endswith("signed seal 6: its end was cut off.")


def test_everything_cut_off_is_found(calls):
    with unguarded():
        Seal.objects.all().delete()
        AuditEvent.objects.all().delete()
    assert "its end was cut off" in found()


def test_the_file_s_own_end_or_lines_are_found(calls, file, settings):
    line = file.read_bytes()
    file.write_bytes(line.replace(b'"number": 6', b'"number": 5'))
    assert (
        found()
        == "Line 1 of the checkpoint file, of seal 5, is not signed by a key that is trusted here."
    )
    file.write_bytes(b"garbage\n" + line)
    assert found() == "Line 1 of the checkpoint file is not a checkpoint."
    file.unlink()
    assert found().startswith(f"The checkpoint file {file} is gone: this machine signed seal 6")
    file.write_bytes(line)
    old, settings.CHECKPOINT_KEY = checkpoints.derive_public_key(), "another key"
    assert "is not signed by a key that is trusted here" in found()
    assert verify([old]).problem == ""


def test_when_a_checkpoint_is_due(calls, file, monkeypatch):
    assert not checkpoints.write_checkpoint()
    audit.record(person("rita"), AuditEvent.Action.LIST)
    sealing.seal()
    assert not checkpoints.write_checkpoint()
    monkeypatch.setattr(checkpoints, "EVERY", 1)
    assert checkpoints.write_checkpoint()
    with open(file, "ab") as tail:
        tail.write(b'{"number": 8, "li')  # the machine stopped here
    audit.record(person("rita"), AuditEvent.Action.LIST)
    sealing.seal()
    assert checkpoints.write_checkpoint()
    assert [json.loads(line)["number"] for line in file.read_text().splitlines()] == [6, 7, 8]
    assert found() == ""
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_written_is_said_and_holds_nothing_up(
    calls, settings, tmp_path, caplog
):
    settings.CHECKPOINT_FILE = tmp_path  # a folder
    assert not checkpoints.write_checkpoint()
    assert "no checkpoint could be written: IsADirectoryError" in caplog.text


# A range, without the database --------------------------------------------------------------------


def checked(*arguments: str) -> tuple[int, str]:
    """The program of an export, with nothing but Python's own library."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", ledger.__file__, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_range_is_checked_without_the_gateway(calls, file, tmp_path):
    part = tmp_path / "range.jsonl"
    part.write_bytes(b"".join(sealing.export_lines(3, 6, with_texts=True)))
    code, said = checked(str(part), str(file), checkpoints.derive_public_key())
    assert (code, said.startswith("The chain holds up to seal 6; the checkpoint of ")) == (0, True)
    assert checked(str(part))[1] == "The chain holds up to seal 6; no checkpoint confirms it.\n"
    part.write_bytes(b"".join(sealing.export_lines(1, 2)))
    assert (
        "no checkpoint confirms it"
        in checked(str(part), str(file), checkpoints.derive_public_key())[1]
    )
    assert checked(str(part), str(file), "00" * 32)[0] == 1


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("no_issue", "violation", "The text of decision"),
        ('"number":5', '"number":6', "Seal 5 is missing"),
        ('"kind":"decision"', '"kind":"snapshot"', "does not follow"),
        ('"before":"', '"behind":"', "Line 1 is not an entry"),
    ],
)
def test_a_range_that_was_changed_is_found(calls, was, becomes, said):
    lines = [
        line.decode().replace(was, becomes, 1).encode()
        for line in sealing.export_lines(3, 6, with_texts=True)
    ]
    with pytest.raises(ledger.BrokenChain, match=said):
        ledger.check_range(lines)


@given(st.binary(max_size=80), st.binary(min_size=32, max_size=32), st.integers(0, 511))
def test_signatures_are_checked_as_the_library_does(message, seed, bit):
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = key.public_key().public_bytes_raw(), key.sign(message)
    assert ledger.is_signature_valid(public, signature, message)
    flipped = bytearray(signature)
    flipped[bit // 8] ^= 1 << bit % 8
    for verified in (ledger.is_signature_valid, checkpoints.is_signature_valid):
        assert verified(public, bytes(flipped), message) is False
    assert not ledger.is_signature_valid(public, signature, message + b"x")
    assert not ledger.is_signature_valid(public[:-1], signature, message)
