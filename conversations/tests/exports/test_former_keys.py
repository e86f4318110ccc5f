"""An export after a change of keys, whose range a checkpoint of the former key confirms."""

import json
from pathlib import Path

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from conversations.exports import job
from conversations.ledger import Checkpoint
from conversations.models import Export, Seal, SigningKey
from conversations.proof import checkpoints
from conversations.tests.calls import person, turn, user
from conversations.tests.exports.jobs import ask_for, checked, find_problem, made, seal, unpacked

pytestmark = pytest.mark.django_db


def change_key(settings) -> tuple[str, str]:
    """Return the former and the present one."""
    former = checkpoints.derive_public_key()
    settings.CHECKPOINT_KEY = "a later key"
    return former, checkpoints.derive_public_key()


def talk_and_sign() -> None:
    turn(person("alice"), [user("question")], "answer")
    seal()
    assert checkpoints.write_checkpoint(now=True)


@pytest.fixture
def exported(desk, settings, tmp_path) -> tuple[Path, str, str]:
    """Asked for before the change and made after it, the file going on with the new key."""
    talk_and_sign()
    export = ask_for(desk, "jsonl", since="")
    seal()
    assert checkpoints.write_checkpoint(now=True)
    former, present = change_key(settings)
    talk_and_sign()
    return unpacked(desk, made(export), tmp_path / "unpacked"), former, present


def test_the_former_key_is_named_and_not_trusted(exported):
    folder, former, present = exported
    manifest = orjson.loads((folder / "manifest.json").read_bytes())
    assert (manifest["checkpoint"]["key"], manifest["key_of_the_gateway"]) == (former, present)
    for keys in ([present], []):
        found = checked(folder, *keys)
        assert found.returncode == 0, found.stderr
        assert "no checkpoint of a key that is trusted here confirms it. " in found.stdout
        assert f"(seal {manifest['checkpoint']['number']}) is signed by {former}: " in found.stdout
    assert f"{former} signed it" in (folder / "README.txt").read_text()


def test_it_confirms_where_both_keys_were_handed_out(exported):
    folder, former, present = exported
    found = checked(folder, former, present)
    assert found.returncode == 0, found.stderr
    assert "confirms it up to seal" in found.stdout
    assert "trusted" not in found.stdout
    assert "is not signed by a key that is trusted here" in find_problem(folder, former)


@pytest.mark.parametrize("range_from", ["before", "after"])
def test_a_range_that_goes_on_has_a_checkpoint_of_the_present_key(
    desk, settings, tmp_path, range_from
):
    talk_and_sign()
    _, present = change_key(settings)
    talk_and_sign()
    found = {} if range_from == "before" else {"q": f"id:{Seal.objects.latest('number').subject}"}
    folder = unpacked(desk, made(ask_for(desk, "jsonl", since="", **found)), tmp_path / "unpacked")
    said = checked(folder, present)
    assert said.returncode == 0, said.stderr
    assert "confirms it up to seal" in said.stdout
    assert "signed it" not in (folder / "README.txt").read_text()


def test_a_former_key_is_known_from_the_settings_too(desk, settings):
    """Versions before noted no keys in the database."""
    talk_and_sign()
    former, present = change_key(settings)
    SigningKey.objects.all().delete()
    export = ask_for(desk, "jsonl", since="")
    seal()
    job.run_export(export)
    export.refresh_from_db()
    assert export.state == Export.State.FAILED
    assert "Line 1 of the checkpoint file, of seal " in export.problem
    assert export.problem.endswith("Former keys of this gateway are named in VERIFY_KEYS.")
    settings.VERIFY_KEYS = [former, present]
    assert made(ask_for(desk, "jsonl", since="")).state == Export.State.DONE


def test_a_stranger_s_key_that_the_database_names_opens_nothing(desk, settings, tmp_path):
    """An owner of the database and of the file has a recipient told the key, and no more."""
    present = checkpoints.derive_public_key()
    turn(person("alice"), [user("question")], "answer")
    seal()
    stranger, head = Ed25519PrivateKey.generate(), Seal.objects.latest("number")
    key = stranger.public_key().public_bytes_raw().hex()
    unsigned = Checkpoint(
        head.number, bytes(head.link).hex(), "2026-01-31T12:00:00+00:00", key, "", "x"
    )
    forged = unsigned._replace(signature=stranger.sign(unsigned.message).hex())
    export = ask_for(desk, "jsonl", since="")
    settings.CHECKPOINT_FILE.write_text(json.dumps(forged._asdict()) + "\n")
    at = {"since": head.sealed, "at": head.sealed}
    SigningKey.objects.create(key=key, place="here", first=1, number=head.number, **at)
    folder = unpacked(desk, made(export), tmp_path / "unpacked")
    found = checked(folder, present)
    assert found.returncode == 0, found.stderr
    assert "confirms it up to" not in found.stdout
    assert f"is signed by {key}: give that key, too, if it was handed out to you" in found.stdout
