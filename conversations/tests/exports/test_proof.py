"""Each export proves itself, offline, or says what is wrong."""

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import orjson
import pytest

from conversations import exact_json
from conversations.exports import job, selection
from conversations.models import Message, Snapshot
from conversations.proof import checkpoints, sealing
from conversations.tests.calls import answer, ask, assistant, person, turn, user
from conversations.tests.cells import FORMULAS
from conversations.tests.exports.jobs import ask_for, checked, made, seal, talk, unpacked
from conversations.tests.pictures import PICTURE, picture

pytestmark = pytest.mark.django_db
PICTURE_TEXT = base64.b64encode(PICTURE).decode()


def sums(folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["/usr/bin/sha256sum", "--quiet", "-c", "SHA256SUMS"],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )


@pytest.fixture
def faithful(desk, tmp_path) -> Path:
    """JSONL of every kind: tools, pictures, formulas, refusals, an image's prompt, echoes."""
    for formula in FORMULAS[:4]:
        turn(person("alice"), [user(formula)], formula)
    said = [{"role": "system", "content": "Be brief."}, picture()]
    turn(person("bob"), said, " spaced ", params={"temperature": 0.1, "seed": 12345678901234567890})
    said += [assistant("spaced"), user("and\0?")]
    turn(person("bob"), said, "yes", address="192.0.2.7", key="gw-12345678")
    record_refused = ask(person("carl"), [user("x")])
    answer(record_refused, None, status="failed")
    seal()
    return unpacked(desk, made(ask_for(desk, "jsonl", since="")), tmp_path / "unpacked")


def test_an_export_holds_offline(faithful):
    assert sums(faithful).returncode == 0
    found = checked(faithful, checkpoints.derive_public_key())
    assert found.returncode == 0, found.stderr
    assert "7 calls are, field for field, what was sealed." in found.stdout
    assert "confirms it up to seal" in found.stdout
    assert "which it names itself" in checked(faithful).stdout
    manifest = orjson.loads((faithful / "manifest.json").read_bytes())
    assert (manifest["by"], manifest["purpose"], manifest["rows"], manifest["frozen_at_seal"]) == (
        "rita",
        "case 12",
        7,
        selection.newest_seal(),
    )
    assert manifest["filter"]["words"] == "of all time"
    assert manifest["ledger_head"]["number"] == selection.newest_seal()
    assert "sha256sum -c SHA256SUMS" in (faithful / "README.txt").read_text()
    strange = checked(faithful, "00" * 32)
    assert strange.returncode == 1
    assert "not signed by a key that is trusted here" in strange.stderr


@pytest.mark.parametrize(
    "name",
    [
        "calls-0001.jsonl",
        "manifest.json",
        "range.jsonl",
        "checkpoint.jsonl",
        "manifest.sig",
        "README.txt",
    ],
)
def test_one_flipped_byte_fails(faithful, name):
    data = bytearray((faithful / name).read_bytes())
    data[len(data) // 2] ^= 1
    (faithful / name).write_bytes(data)
    assert sums(faithful).returncode == 1
    found = checked(faithful)
    assert found.returncode == 1
    assert (
        f"This export does not hold. {name} is not the file that SHA256SUMS means" in found.stderr
    )


def forged(folder: Path, name: str, old: bytes, new: bytes) -> str:
    """The chain's word on a change by a person who makes the sums anew and signs the manifest."""
    from hashlib import sha256

    from conversations import ledger

    data = (folder / name).read_bytes()
    assert old in data
    (folder / name).write_bytes(data.replace(old, new, 1))
    manifest = orjson.loads((folder / "manifest.json").read_bytes())
    for file in manifest["files"]:
        file |= {
            "bytes": (folder / file["name"]).stat().st_size,
            "sha256": sha256((folder / file["name"]).read_bytes()).hexdigest(),
        }
    text = orjson.dumps(manifest)
    (folder / "manifest.json").write_bytes(text)
    (folder / "manifest.sig").write_text(
        json.dumps(
            {
                "key": checkpoints.derive_public_key(),
                "signature": checkpoints.sign(ledger.encode_manifest_message(text)),
            }
        )
    )
    names = [line.partition("  ")[2] for line in (folder / "SHA256SUMS").read_text().splitlines()]
    (folder / "SHA256SUMS").write_text(
        "".join(f"{sha256((folder / each).read_bytes()).hexdigest()}  {each}\n" for each in names)
    )
    found = checked(folder)
    assert found.returncode == 1, found.stdout
    return found.stderr


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("calls-0001.jsonl", b"Be brief.", b"Be evil..", "another request or reply"),
        (
            "calls-0001.jsonl",
            b'"content":" spaced "',
            b'"content":" spaded "',
            "another request or reply",
        ),
        ("calls-0001.jsonl", b"192.0.2.7", b"192.0.2.8", "another address"),
        ("calls-0001.jsonl", b'"prompt_tokens":3', b'"prompt_tokens":4', "another prompt_tokens"),
        ("calls-0001.jsonl", b"iVBORw0KGgo", b"iVBORw0KGgp", "another request or reply"),
        ("range.jsonl", b"Be brief.", b"Be evil..", "is not what was sealed"),
        ("range.jsonl", b'"number":3', b'"number":4', "Seal 3 is missing"),
        ("range.jsonl", b'"digest":"', b'"digest":"00', "is not what was sealed"),
        (
            "checkpoint.jsonl",
            b'"link": "',
            b'"link": "00',
            "not signed by a key that is trusted here",
        ),
    ],
)
def test_what_was_forged_does_not_fit_the_chain(faithful, name, old, new, said):
    assert said in forged(faithful, name, old, new)


def test_a_call_left_out_is_missed(faithful):
    lines = (faithful / "calls-0001.jsonl").read_bytes().splitlines(keepends=True)
    assert "but 6 are in the export" in forged(faithful, "calls-0001.jsonl", lines[2], b"")


def test_a_filtered_export_says_what_it_does_not_prove(desk, tmp_path):
    talk(3)
    turn(person("bob"), [user("other")], "ok")
    seal()
    calls = list(Snapshot.objects.order_by("id"))
    folder = unpacked(desk, made(ask_for(desk, "jsonl", q=f"id:{calls[2].id!s}")), tmp_path / "one")
    found = checked(folder)
    assert found.returncode == 0, found.stderr
    assert "Of 1 more, messages came with earlier calls that are not in this export" in found.stdout
    assert "question 0" not in (folder / "range.jsonl").read_text()
    for format, of in (
        ("turns", "calls"),
        ("conversations", "conversations"),
        ("transcript", "conversations"),
    ):
        folder = unpacked(desk, made(ask_for(desk, format, of=of)), tmp_path / format)
        assert sums(folder).returncode == 0
        found = checked(folder)
        assert found.returncode == 0, found.stderr
        assert "held by the signature alone" in found.stdout


def test_attachments_are_files_of_their_own(desk, tmp_path):
    turn(person("alice"), [picture()], "a picture")
    seal()
    folder = unpacked(desk, made(ask_for(desk, "attachments")), tmp_path / "files")
    [file] = (folder / "attachments").iterdir()
    assert sums(folder).returncode == checked(folder).returncode == 0
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert sums(folder).returncode == 1
    assert "attachments/" in checked(folder).stderr


EVERY_SPELLING = [
    PICTURE_TEXT,
    PICTURE_TEXT.rstrip("="),
    base64.urlsafe_b64encode(PICTURE + b"?>").decode(),
    base64.encodebytes(PICTURE).decode(),
    "".join(base64.b64encode(PICTURE[at : at + 500]).decode() for at in range(0, 5000, 500)),
]


def test_numbers_and_files_hold_in_every_spelling(desk, tmp_path):
    numbers = exact_json.loads("[12345678901234567890123, 0.1000000000000000055, 1e400, -0.0]")
    parts = [{"type": "x", "x": {"data": text}, "at": numbers} for text in EVERY_SPELLING]
    turn(person("alice"), [user(parts)], "Fine.", params={"seed": numbers[0]})
    seal()
    folder = unpacked(desk, made(ask_for(desk, "jsonl", since="")), tmp_path / "spelled")
    found = checked(folder)
    assert found.returncode == 0, found.stderr
    text = (folder / "calls-0001.jsonl").read_text()
    assert '"seed":12345678901234567890123' in text
    assert text.count("0.1000000000000000055,1e400,-0.0]") == len(parts)
    for said in EVERY_SPELLING:
        assert json.dumps(said) in text


def test_an_export_of_nothing_holds_too(desk, tmp_path):
    export = made(ask_for(desk))
    folder = unpacked(desk, export, tmp_path / "none")
    assert sums(folder).returncode == checked(folder).returncode == 0
    shutil.rmtree(folder)


def constant(name: str) -> list[str]:
    """A list of names that verify.py has in itself: where it runs, there is no gateway."""
    source = Path(job.__file__).with_name("verify.py").read_text()
    return re.search(rf'{name} = (?:set\()?"+(.*?)"+\.split', source, re.DOTALL)[1].split()


def test_the_program_knows_the_columns_that_are_sealed():
    assert constant("CALL") == [
        *sealing.SEALED[Snapshot].split(),
        "messages",
        *sealing.LATER[Snapshot],
    ]
    assert constant("MESSAGE") == sealing.SEALED[Message].split()
