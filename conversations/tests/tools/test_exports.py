"""An export proves the tools of its calls as it proves their messages."""

import json
import shutil

import pytest

from conversations.exports import listing
from conversations.proof import checkpoints
from conversations.record import CallRequest
from conversations.tests.calls import user
from conversations.tests.exports.forger import OWN_NAME, forge
from conversations.tests.exports.jobs import ask_for, checked, find_problem, made, seal, unpacked
from conversations.tests.tools.agent import TOOLS, split_as_before, work

pytestmark = pytest.mark.django_db
LINES = "calls-0001.jsonl"


@pytest.fixture(autouse=True)
def places(settings, tmp_path):
    settings.EXPORTS_DIR = tmp_path / "exports"
    settings.CHECKPOINT_FILE = tmp_path / "checkpoints.jsonl"


def export(desk, tmp_path, **query):
    seal()
    return unpacked(desk, made(ask_for(desk, "jsonl", **query)), tmp_path / "unpacked")


def test_it_holds_and_has_them_in_each_request(desk, alice, tmp_path):
    work(alice, 3)
    folder = export(desk, tmp_path)
    requests = [json.loads(line)["request"] for line in (folder / LINES).read_text().splitlines()]
    assert [request["tools"] for request in requests] == [TOOLS] * 3
    assert [len(request["messages"]) for request in requests] == [2, 4, 6]
    found = checked(folder)
    assert found.returncode == 0, found.stderr
    assert "3 calls are, field for field, what was sealed." in found.stdout
    assert {path.name for path in (folder / "speech").iterdir()} >= {"dialects.py", "chat.py"}
    assert json.loads((folder / "manifest.json").read_text())["version"] == listing.FORM


def test_a_part_of_a_conversation_holds_too(desk, alice, tmp_path):
    """Its tools came with a call that is not in the export."""
    calls = work(alice, 3)
    found = checked(export(desk, tmp_path, q=f"id:{calls[1].id!s}"))
    assert found.returncode == 0, found.stderr
    assert "Of 1 more, messages came with earlier calls" in found.stdout


FORGERIES = {
    "another description": lambda request: request["tools"][0]["function"].update(name="Delete"),
    "a tool more": lambda request: request["tools"].append({}),
    "no tools": lambda request: request.pop("tools"),
    "a message more": lambda request: request["messages"].append(user("More")),
    "a message less": lambda request: request["messages"].pop(),
    "a field more": lambda request: request.update(seed=1),
}


def test_a_line_that_says_others_is_found(desk, alice, tmp_path):
    """By a forger whose signature is trusted."""
    work(alice, 2)
    folder = export(desk, tmp_path)
    trusted = (OWN_NAME, checkpoints.derive_public_key())
    genuine = (folder / LINES).read_text().splitlines()
    forge(folder)
    assert find_problem(folder, *trusted) == ""
    for what, change in FORGERIES.items():
        line = json.loads(genuine[-1])
        change(line["request"])
        (folder / LINES).write_text("\n".join([*genuine[:-1], json.dumps(line), ""]))
        forge(folder)
        assert "another request or reply" in find_problem(folder, *trusted), what


def test_a_program_that_was_changed_is_found(desk, alice, tmp_path):
    work(alice, 1)
    folder = export(desk, tmp_path)
    (folder / "speech" / "chat.py").write_text("")
    assert "speech/chat.py is not the file" in checked(folder).stderr


def test_an_export_of_an_older_gateway_holds(desk, alice, tmp_path, monkeypatch):
    """Form 2: the tools are in the fields of each call, and programs are in no folder."""
    monkeypatch.setattr(CallRequest, "split", split_as_before)
    work(alice, 2)
    folder = export(desk, tmp_path)
    trusted = shutil.copytree(folder, tmp_path / "trusted")
    shutil.rmtree(folder / "speech")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = [file for file in manifest["files"] if "/" not in file["name"]]
    (folder / "manifest.json").write_text(json.dumps(manifest | {"version": 2}))
    forge(folder)
    keys = (OWN_NAME, checkpoints.derive_public_key())
    found = checked(trusted, "--folder", str(folder), *keys)
    assert found.returncode == 0, found.stderr
    assert "2 calls are, field for field, what was sealed." in found.stdout
