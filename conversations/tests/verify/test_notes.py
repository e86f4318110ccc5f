"""Checkpoints as C2SP signed notes, which tools that are not ours read."""

import json
from base64 import b64decode, b64encode
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from conversations import ledger
from conversations.ledger import BrokenChain, Checkpoint
from conversations.models import AuditEvent, Seal
from conversations.people import audit
from conversations.proof import checkpoints, sealing
from conversations.tests.calls import person
from conversations.tests.verify.findings import found

pytestmark = pytest.mark.django_db

# The example in the documentation of Go's golang.org/x/mod/sumdb/note, where the form comes from.
NAME = "PeterNeumann"
VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
SIGNATURE = (
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
)


def test_keys_and_signatures_are_named_as_other_tools_do():
    key = b64decode(VERIFIER.rpartition("+")[2])[1:]
    assert ledger.encode_verifier_key(NAME, key) == VERIFIER
    named = b64decode(SIGNATURE)
    assert named[:4] == ledger.hash_key(NAME, key)
    assert ledger.is_signature_valid(key, named[4:], TEXT.encode())


def newest(file) -> Checkpoint:
    return Checkpoint(**json.loads(file.read_text().splitlines()[-1]))


def check_as_another_tool(note: str, verifier: str) -> list[str]:
    """Return the lines of a note's text, its signature checked by the words of the standard."""
    text, _, signatures = note.rpartition("\n\n")
    name, named, key = verifier.split("+", 2)
    algorithm_and_key = b64decode(key)
    assert named == sha256(name.encode() + b"\n" + algorithm_and_key).hexdigest()[:8]
    assert signatures.startswith(f"— {name} ")
    assert signatures.endswith("\n")
    signature = b64decode(signatures.split()[2])
    assert signature[:4].hex() == named
    public = Ed25519PublicKey.from_public_bytes(algorithm_and_key[1:])
    public.verify(signature[4:], f"{text}\n".encode())
    return text.split("\n")


def test_a_line_of_the_file_is_a_note(calls, file):
    note = newest(file).note
    origin, size, root, at = check_as_another_tool(note, checkpoints.derive_verifier_key())
    assert (origin, size) == (checkpoints.derive_verifier_key().partition("+")[0], "6")
    assert b64decode(root) == bytes(Seal.objects.get(number=6).link)
    assert at == newest(file).at


def grow(calls) -> None:
    """Seal one more row, and sign it."""
    audit.record(person("rita"), AuditEvent.Action.LIST)
    sealing.seal()
    assert checkpoints.write_checkpoint(now=True)


def as_old(checkpoint: Checkpoint) -> bytes:
    """A line as the version before wrote it."""
    unsigned = checkpoint._replace(origin="")
    old = unsigned._replace(signature=checkpoints.sign(unsigned.message))._asdict()
    del old["origin"]
    return json.dumps(old).encode() + b"\n"


def test_old_lines_new_lines_and_notes_are_read_from_one_file(calls, file):
    first = newest(file)
    for _ in range(2):
        grow(calls)
    second, third = (Checkpoint(**json.loads(line)) for line in file.read_text().splitlines()[1:])
    line = json.dumps(second._asdict()).encode() + b"\n"
    file.write_bytes(as_old(first) + line + third.note.encode())
    assert found() == ""
    notes = first.note + second.note + "\n" + third.note
    file.write_text(notes + "— witness.example/w " + b64encode(bytes(76)).decode() + "\n")
    assert found() == ""
    assert [each.number for each in checkpoints.read_checkpoints()] == [6, 7, 8]
    file.write_bytes(as_old(first))
    grow(calls)
    assert found() == ""
    assert [bool(each.origin) for each in checkpoints.read_checkpoints()] == [False, True]


def change(note: str, place: int, line: str) -> str:
    lines = note.split("\n")
    lines[place] = line
    return "\n".join(lines)


FORGED = {
    "another size": lambda note: change(note, 1, "5"),
    "another hash": lambda note: change(note, 2, b64encode(bytes(32)).decode()),
    "another time": lambda note: change(note, 3, "2020-01-01T00:00:00+00:00"),
    "another origin": lambda note: note.replace("llm-gateway/", "llm-gateway.example/"),
    "one more line": lambda note: note.replace("\n\n", "\nmore\n\n"),
    "a size in another spelling": lambda note: change(note, 1, "+6"),
    "no signature": lambda note: note.partition("— ")[0],
    "cut": lambda note: note[:-10],
    "an empty one": lambda note: "\n— x y\n",
    "lines without end": lambda note: "a\n" * 100 + note,
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
def test_a_note_that_was_changed_is_none(calls, file, forge):
    file.write_text(forge(newest(file).note))
    assert " of the checkpoint file" in found(), found()


def test_a_note_of_a_key_that_nobody_trusts_is_named(calls, file):
    stranger = Ed25519PrivateKey.generate()
    key = stranger.public_key().public_bytes_raw().hex()
    unsigned = newest(file)._replace(key=key, origin=checkpoints.make_origin(key))
    signed = unsigned._replace(signature=stranger.sign(unsigned.message).hex())
    file.write_text(signed.note)
    assert found() == (
        "Line 1 of the checkpoint file, of seal 6, is not signed by a key that is trusted here."
    )
    verify = checkpoints.is_signature_valid
    assert [*ledger.read_checkpoints(file.read_bytes().splitlines(True), [key], verify)] == [signed]


def test_a_signature_of_an_old_line_is_none_of_a_note(calls, file):
    """One cannot be taken for the other, whatever the line calls itself."""
    old = Checkpoint(**json.loads(as_old(newest(file))))
    file.write_text(json.dumps(old._replace(origin=newest(file).origin)._asdict()))
    with pytest.raises(BrokenChain, match="is not signed"):
        list(checkpoints.read_checkpoints())


def test_the_newer_ones_are_read_from_the_end(calls, file, monkeypatch):
    for _ in range(9):
        grow(calls)
    whole = file.read_bytes()
    for longest in (1, 4, 9, 100):  # in steps of 64 of these
        monkeypatch.setattr(checkpoints, "LONGEST", longest)
        for number in (0, 6, 10, 14, 15):
            numbers = [each.number for each in checkpoints.read_newer(number)]
            assert numbers == list(range(max(6, number + 1), 16))
    file.write_bytes(whole + b'{"number": 99')  # is being written
    assert [each.number for each in checkpoints.read_newer(14)] == [15]
