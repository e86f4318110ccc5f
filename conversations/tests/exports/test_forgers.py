"""A forger with an export in hand: what it signs, what it takes apart, and what is found."""

import json
import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.core.files.storage import default_storage
from django.db import transaction
from django.test import Client, override_settings

from conversations.models import Attachment, Snapshot, Unsealed, User
from conversations.record import attachments
from conversations.tests.calls import ask, assistant, person, turn, user
from conversations.tests.cast import client_of
from conversations.tests.exports.forger import (
    OWN,
    OWN_NAME,
    forge,
    list_anew,
    problem,
    sign,
    sum_anew,
)
from conversations.tests.exports.jobs import ask_for, checked, made, seal, unpacked
from conversations.tests.pictures import picture

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def genuine(django_db_setup, django_db_blocker, tmp_path_factory) -> Path:
    """An export as it was downloaded: no test needs its rows, and each has a copy."""
    folder = tmp_path_factory.mktemp("genuine")
    places = {"EXPORTS_DIR": folder / "exports", "CHECKPOINT_FILE": folder / "checkpoints.jsonl"}
    with django_db_blocker.unblock(), override_settings(**places), transaction.atomic():
        made_here = make_export(folder / "unpacked")
        transaction.set_rollback(True)
    return made_here


def make_export(to: Path) -> Path:
    alice, desk = person("alice"), client_of("rita", "Reviewer")
    User.objects.filter(pk=alice.pk).update(job_title="Analyst")
    said = [{"role": "system", "content": "Be brief."}, picture()]
    turn(alice, said, "yes", address="192.0.2.7", key="gw-12345678", use_case="Bear")
    turn(alice, [*said, assistant("yes"), user("and?")], "no", end_user="eve")
    title = ask(person("bob"), [user("hi")], upstream="OURS")
    Snapshot.objects.filter(id=title.id).update(
        status="failed",
        closed=title.opened,
        first_byte=title.opened,
        about_id=Snapshot.objects.filter(owner__username="alice").values("conversation")[:1],
        cost="0.5",
        cost_source="list",
        attempts='[{"upstream":"OURS","ms":1.5}]',
        classic='{"title":"x"}',
        finish_reason="stop",
    )
    Unsealed.objects.create(subject=title.id, closed=title.opened)
    seal()
    return unpacked(desk, made(ask_for(desk, "jsonl", since="")), to)


@pytest.fixture
def export(genuine, tmp_path) -> Path:
    return shutil.copytree(genuine, tmp_path / "unpacked" / genuine.name)


@pytest.fixture
def key(export) -> str:
    """The gateway's, as a recipient has it from elsewhere: by reading it off a genuine export."""
    return json.loads((export / "manifest.json").read_bytes())["key_of_the_gateway"]


# The signature ------------------------------------------------------------------------------------


def test_the_signature_is_over_the_manifest_that_is_here(export, key):
    signature = json.loads((export / "manifest.sig").read_bytes())
    digest = sha256((export / "manifest.json").read_bytes()).hexdigest()
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
    public.verify(bytes.fromhex(signature["signature"]), f"manifest {digest}".encode())
    assert signature["key"] == key
    for other in (b"", b"manifest ", b"manifest", digest.encode()):
        with pytest.raises(InvalidSignature):
            public.verify(bytes.fromhex(signature["signature"]), other)
    assert checked(export, key).returncode == 0


@pytest.mark.parametrize(
    ("before", "after"),
    [("base64,iVBOR", "base64,\\niVBOR"), ("base64,iVBOR", "base64,!iVBOR"), ('=="}', '"}')],
    ids=["in lines", "with a sign", "without padding"],
)
def test_a_file_in_another_spelling(export, key, before, after):
    calls = export / "calls-0001.jsonl"
    text = calls.read_text()
    assert before in text
    calls.write_text(text.replace(before, after))
    forge(export)
    assert "says another request or reply than what was sealed" in problem(export, OWN_NAME, key)


@pytest.mark.parametrize(
    "change",
    [{"purpose": "another"}, {"by": "nobody"}, {"rows": 0}, {"files": []}, {"ledger_head": None}],
)
def test_another_manifest_under_the_old_signature(export, key, change):
    list_anew(export, **change)
    sum_anew(export)
    assert "manifest.json is not signed by a key that is trusted here" in problem(export, key)
    assert "manifest.json is not signed by a key that is trusted here" in problem(export)


@pytest.mark.parametrize(
    "signature",
    ["", "00" * 64, "01" + "00" * 63, OWN.sign(b"").hex(), OWN.sign(b"manifest ").hex()],
)
@pytest.mark.parametrize("name", ["gateway", "own", "00" * 32, "01" + "00" * 31])
def test_a_signature_that_covers_nothing(export, key, signature, name):
    name = {"gateway": key, "own": OWN_NAME}.get(name, name)
    (export / "manifest.sig").write_text(json.dumps({"key": name, "signature": signature}))
    sum_anew(export)
    assert "is not signed by a key that is trusted here" in problem(export, key)
    if name == OWN_NAME:
        list_anew(export, key_of_the_gateway=OWN_NAME)
        sum_anew(export)
        assert "is not signed by a key that is trusted here" in problem(export)


def test_a_key_of_its_own_convinces_nobody_who_has_the_gateways(export, key):
    forge(export, purpose="another")
    assert "manifest.json is not signed by a key that is trusted here" in problem(export, key)
    sign(export, (export / "manifest.json").read_bytes(), name=key)
    sum_anew(export)
    assert "manifest.json is not signed by a key that is trusted here" in problem(export, key)


# What even a trusted signature does not carry -----------------------------------------------------
# From here on the forger's key is the one that is asked for: what fails, fails by what it says.


def test_a_head_outside_the_range(export):
    (export / "checkpoint.jsonl").unlink()
    manifest = json.loads((export / "manifest.json").read_bytes())
    head = manifest["ledger_head"]
    files = [file for file in manifest["files"] if file["name"] != "checkpoint.jsonl"]
    for wrong in (
        head | {"number": head["number"] + 1},
        head | {"number": 0},
        head | {"link": "00" * 32},
    ):
        forge(export, ledger_head=wrong, files=files)
        assert f"does not hold seal {wrong['number']}, at which" in problem(export, OWN_NAME)
    forge(export, ledger_head=head, files=files)
    assert checked(export, OWN_NAME).returncode == 0
    forge(export, ledger_head=None, files=files)
    assert "names no seal at which its rows were frozen" in problem(export, OWN_NAME)


def test_a_range_that_ends_before_the_head(export):
    (export / "checkpoint.jsonl").unlink()
    manifest = json.loads((export / "manifest.json").read_bytes())
    files = [file for file in manifest["files"] if file["name"] != "checkpoint.jsonl"]
    lines = (export / "range.jsonl").read_bytes().splitlines(keepends=True)
    for kept in (lines[:1], lines[1:], [], lines[:-1]):
        (export / "range.jsonl").write_bytes(b"".join(kept))
        forge(export, files=files)
        assert problem(export, OWN_NAME)


OUTSIDE: dict[str, Callable[[Path], str]] = {
    "absolute": lambda folder: str(folder.parent / "outside"),
    "above": lambda folder: "../outside",
    "in and out": lambda folder: f"x/../../{folder.name}/../outside",
    "through itself": lambda folder: f"./../{folder.parent.name}/outside",
    "out at the end": lambda folder: "x/../..",
}


@pytest.mark.parametrize("how", OUTSIDE)
@pytest.mark.parametrize("where", ["SHA256SUMS", "manifest.json"])
def test_names_that_lead_outside_the_folder(export, how, where):
    (export.parent / "outside").write_bytes(b"secret")
    (export / "x").mkdir()
    name = OUTSIDE[how](export)
    digest = sha256(b"secret").hexdigest()
    if where == "SHA256SUMS":
        with open(export / where, "a") as sums:
            sums.write(f"{digest}  {name}\n")
    else:
        listed = {"name": name, "bytes": 6, "sha256": digest}
        text = (export / where).read_bytes()
        manifest = json.loads(text)
        manifest |= {"key_of_the_gateway": OWN_NAME, "files": [*manifest["files"], listed]}
        text = json.dumps(manifest).encode()
        (export / where).write_bytes(text)
        sign(export, f"manifest {sha256(text).hexdigest()}".encode())
        sum_anew(export)
    assert f"{where} names {name}, which is outside" in problem(export, OWN_NAME)


def test_a_link_that_leads_outside_the_folder(export):
    outside = export.parent / "outside"
    shutil.move(export / "calls-0001.jsonl", outside)
    os.symlink(outside, export / "calls-0001.jsonl")
    assert "calls-0001.jsonl is a link, or no file: it was put in" in problem(export)


@pytest.mark.parametrize("name", ["calls-0002.jsonl", "attachments/x.png", "notes.txt"])
def test_a_file_that_was_put_in(export, key, name):
    (export / name).parent.mkdir(exist_ok=True)
    (export / name).write_bytes(b"x")
    assert f"{name} is here, but not in SHA256SUMS: it was put in" in problem(export, key)


def test_checking_leaves_the_folder_as_it_was(export, key):
    before = sorted(export.rglob("*"))
    for _ in range(2):
        assert checked(export, key).returncode == 0
    assert sorted(export.rglob("*")) == before


# A line of it ------------------------------------------------------------------------------------

# Not sealed: what people and conversations are called now; the salt, which goes with an erasure.
NOT_SEALED = {"salt", "owner.user_name", "owner.job_title", "owner.department"}
NOT_SEALED |= {"conversation.title", "conversation.shown"}


def paths(line: dict[str, Any]) -> list[str]:
    """Each field of a line, and of the objects for owner and conversation."""
    inner = {name: line[name] for name in ("owner", "conversation") if line[name]}
    return [*(set(line) - set(inner))] + [
        f"{name}.{field}" for name, fields in inner.items() for field in fields
    ]


def test_each_field_of_each_call_is_held_against_its_seal(export, key):
    """Another value in any of them, one after the other, by a forger whose signature is trusted."""
    path = export / "calls-0001.jsonl"
    genuine = path.read_bytes()
    lines, tried = genuine.splitlines(), 0
    forge(export)
    assert checked(export, OWN_NAME, key).returncode == 0  # so what fails below, fails by a field
    for number, raw in enumerate(lines):
        for field in sorted(set(paths(json.loads(raw))) - NOT_SEALED):
            line = json.loads(raw)
            name, _, inner = field.partition(".")
            holder = line[name] if inner else line
            holder[inner or name] = another(holder[inner or name])
            forged = [*lines[:number], json.dumps(line).encode(), *lines[number + 1 :]]
            path.write_bytes(b"\n".join(forged) + b"\n")
            forge(export)
            said = problem(export, OWN_NAME, key)
            is_told = "than what was sealed" in said or "is not what it should be" in said
            assert is_told or field == "seal", (field, said)
            tried += 1
    path.write_bytes(genuine)
    assert tried > 100


def another(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case list():
            return [*value, "x"]
        case dict():
            return value | {"x": 1}
        case str() if value[:1].isdigit() and "T" in value:
            return f"2001{value[4:]}"
        case str() if value.replace(".", "").isdigit():
            return f"{value}1"
    return f"{value or ''}x"


# A file in storage --------------------------------------------------------------------------------


@pytest.fixture
def replaced(desk):
    """A call's picture whose place in storage another of as many bytes has taken: its sha256."""
    turn(person("alice"), [picture()], "a picture")
    seal()
    digest = bytes(Attachment.objects.get().sha256)
    path = Path(default_storage.path(attachments.storage_name(digest)))
    genuine = path.read_bytes()
    path.write_bytes(genuine[:-8] + b"replaced")
    yield digest.hex()
    path.write_bytes(genuine)


@pytest.mark.parametrize("format", ["jsonl", "attachments", "classic", "turns"])
def test_a_file_that_was_replaced_in_storage_leaves_in_no_export(desk, tmp_path, replaced, format):
    folder = unpacked(desk, made(ask_for(desk, format)), tmp_path / format)
    whole = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert b"replaced" not in whole
    assert b"cmVwbGFjZW" not in whole  # in base64
    assert checked(folder).returncode == 0
    if format == "jsonl":
        line = json.loads((folder / "calls-0001.jsonl").read_bytes())
        assert line["lost"] == [replaced]
    if format == "attachments":
        assert '"lost"' in (folder / "attachments-0001.csv").read_text()


def test_a_file_that_was_replaced_in_storage_is_shown_to_nobody(desk, alice, replaced):
    row = Attachment.objects.get()
    hers = Client()
    hers.force_login(alice)
    root = row.conversation_id
    for client, path in (
        (hers, f"/c/{root}/a/{row.pk}"),
        (desk, f"/admin/conversations/conversation/{root}/a/{row.pk}"),
    ):
        assert client.get(path).status_code == 404


def test_a_copied_file_that_was_replaced_with_its_sum_and_its_name(desk, tmp_path):
    turn(person("alice"), [picture()], "a picture")
    seal()
    folder = unpacked(desk, made(ask_for(desk, "attachments")), tmp_path / "files")
    key = json.loads((folder / "manifest.json").read_bytes())["key_of_the_gateway"]
    [file] = (folder / "attachments").iterdir()
    genuine = file.read_bytes()
    data = genuine[:-7] + b"another"
    file.write_bytes(data)
    sum_anew(folder)
    assert f"attachments/{file.name} is not the file with sha256" in problem(folder, key)
    file.rename(file.with_name(f"{sha256(data).hexdigest()}.png"))
    sum_anew(folder)
    assert f"attachments/{file.name} is missing" in problem(folder, key)
    file.write_bytes(genuine)
    sum_anew(folder)
    assert "is here, but not in manifest.json: it was put in" in problem(folder, key)
    shutil.rmtree(folder / "attachments")
    sum_anew(folder)
    assert f"attachments/{file.name} is missing" in problem(folder, key)
