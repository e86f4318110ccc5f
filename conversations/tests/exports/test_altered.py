"""What was done to an export's folder is named: by verify.py, and by the gateway.

The table of attacks is in attacks.py.
"""

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from conversations.exports import job, proof
from conversations.models import Export
from conversations.tests.calls import person, turn, user
from conversations.tests.exports.attacks import (
    ATTACKS,
    gateway_says,
    key_of,
    replace_picture,
    verify_says,
)
from conversations.tests.exports.forger import OWN_NAME, forge, sum_anew
from conversations.tests.exports.jobs import ask_for, checked, find_problem, made, seal
from conversations.tests.pictures import PICTURE, picture

pytestmark = pytest.mark.django_db


@pytest.fixture
def export(desk) -> Export:
    """Two pictures of one size."""
    turn(person("alice"), [picture()], "a picture")
    other = base64.b64encode(PICTURE[:-1] + b"x").decode()
    turn(person("alice"), [user([f"data:image/png;base64,{other}"])], "another one")
    seal()
    return made(ask_for(desk, "attachments"))


def test_each_attack_is_named_by_both_checks(desk, export, tmp_path):
    genuine = shutil.copytree(export.folder, tmp_path / "genuine")
    assert checked(genuine, key_of(genuine)).returncode == 0
    assert gateway_says(desk, export) == ""
    for number, (name, attack) in enumerate(ATTACKS.items()):
        said = verify_says(genuine, attack, tmp_path / str(number))
        assert said.startswith("This export does not hold. "), name
        assert attack.verify_says in said, name
        attack.act(export.folder)
        assert attack.gateway_says in gateway_says(desk, export) != "", name
        shutil.rmtree(export.folder)
        shutil.copytree(genuine, export.folder)
        Export.objects.update(problem="")
    assert gateway_says(desk, export) == ""


def test_a_copy_of_the_program_checks_another_folder(export, tmp_path):
    """Of a folder whose own programs were replaced, nothing is run."""
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    for program in ("verify.py", "ledger.py", "listing.py", "base64_text.py"):
        shutil.copy(export.folder / program, trusted)
        (export.folder / program).write_text("print('This export holds.')")
    sum_anew(export.folder)
    key = key_of(export.folder)
    assert checked(export.folder, key).stdout == "This export holds.\n"  # it says what it likes
    found = checked(trusted, "--folder", str(export.folder), key)
    assert found.returncode == 1
    assert "ledger.py is not the file" in found.stderr or "ledger.py has" in found.stderr


# Exports of an older gateway ------------------------------------------------------------------


def make_old(folder: Path) -> None:
    """Form 1: the manifest names no copied files, only how many; and programs are in no folder."""
    shutil.rmtree(folder / "speech")
    path = folder / "manifest.json"
    manifest = json.loads(path.read_bytes())
    manifest["files"] = [file for file in manifest["files"] if "/" not in file["name"]]
    path.write_text(json.dumps(manifest | {"version": 1}))
    forge(folder)


OF_OLD = {
    name: attack.verify_says
    for name, attack in ATTACKS.items()
    if attack.summed and not attack.signed
} | {"a CSV is cut": "was made", "a CSV is longer": "was made"}


def test_an_old_export_is_held_against_its_csv_and_said_to_be_old(desk, export, tmp_path):
    make_old(export.folder)
    genuine = shutil.copytree(export.folder, tmp_path / "genuine")
    keys = [OWN_NAME, export_key(desk)]
    found = checked(genuine, *keys)
    assert found.returncode == 0, found.stderr
    assert (
        "It is of form 1, an older gateway's: the 2 files in attachments are held" in found.stdout
    )
    for number, (name, says) in enumerate(OF_OLD.items()):
        folder = shutil.copytree(genuine, tmp_path / str(number))
        ATTACKS[name].act(folder)
        sum_anew(folder)
        assert says in find_problem(folder, *keys), name


def test_an_old_export_leaves_as_it_was_made_or_not_at_all(desk, export, tmp_path):
    make_old(export.folder)
    for file in export.files:
        if "sha256" in file:
            data = (export.folder / file["name"]).read_bytes()
            file |= {"sha256": sha256(data).hexdigest(), "bytes": len(data)}
    Export.objects.update(files=export.files)
    genuine = shutil.copytree(export.folder, tmp_path / "genuine")
    assert gateway_says(desk, export) == ""
    for name in OF_OLD:
        ATTACKS[name].act(export.folder)
        assert gateway_says(desk, export), name
        shutil.rmtree(export.folder)
        shutil.copytree(genuine, export.folder)
        Export.objects.update(problem="")


def export_key(desk: Client) -> str:
    """The gateway's own, from an export that nobody touched."""
    return key_of(made(ask_for(desk, "figures")).folder)


# While it is made -----------------------------------------------------------------------------


def test_what_is_in_a_pictures_place_is_not_signed(desk, monkeypatch):
    turn(person("alice"), [picture()], "a picture")
    seal()
    export, genuine = ask_for(desk, "attachments"), proof.add_proof

    def after_an_attack(export: Export, *arguments: Any) -> None:
        replace_picture(export.folder)
        genuine(export, *arguments)

    monkeypatch.setattr(proof, "add_proof", after_an_attack)
    job.run_export(export)
    export.refresh_from_db()
    assert export.state == Export.State.FAILED
    assert "is not the file with sha256" in export.problem


@pytest.mark.parametrize("where", ["finish", "keep"])
def test_a_worker_that_dies_at_the_end_leaves_a_folder_that_holds(desk, monkeypatch, where):
    """Killed before the last word is written, once behind the proof and once before it."""
    turn(person("alice"), [user(["x", picture()])], "ok")
    seal()
    export = ask_for(desk, "attachments")
    with monkeypatch.context() as patch:
        patch.setattr(Export, where, killed(getattr(Export, where), where == "keep"))
        with pytest.raises(KeyboardInterrupt):
            job.run_export(export)
    made(export)
    found = checked(export.folder, key_of(export.folder))
    assert found.returncode == 0, found.stderr
    assert list(names_in(export.folder)) == sorted(set(names_in(export.folder)))


def killed(method: Callable, is_keep: bool) -> Callable:
    def act(export: Export, **changed: Any) -> Any:
        is_proof = any(file["name"] == "manifest.json" for file in changed.get("files", ()))
        if is_proof or not is_keep:
            raise KeyboardInterrupt
        return method(export, **changed)

    return act


def names_in(folder: Path) -> Iterator[str]:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    yield from sorted(file["name"] for file in manifest["files"])
