"""Exports that the desk asks for, and what they hold."""

import io
import runpy
import subprocess
import sys
import zipfile
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from django.test import Client

from conversations.exports import job
from conversations.models import Export
from conversations.proof import sealing
from conversations.tests.calls import assistant, person, turn, user

NEW = "/admin/exports/new/"


def seal() -> None:
    while sealing.seal():
        pass


def ask_for(desk: Client, format: str = "turns", *, of: str = "calls", **query: str) -> Export:
    response = desk.post(
        f"{NEW}?{'&'.join(f'{name}={value}' for name, value in ({'of': of} | query).items())}",
        {"format": format, "purpose": "case 12"},
    )
    assert response.status_code == 302, response.content
    return Export.objects.newest_first()[0]


def made(export: Export) -> Export:
    job.run_export(export)
    export.refresh_from_db()
    assert (export.state, export.problem) == (Export.State.DONE, "")
    return export


def talk(count: int) -> None:
    said = []
    for i in range(count):
        said.append(user(f"question {i}"))
        turn(person("alice"), said, f"answer {i}")
        said.append(assistant(f"answer {i}"))


# Proof ----------------------------------------------------------------------------------------


def checked(folder: Path, *keys: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-I", str(folder / "verify.py"), *keys],
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
    )


def find_problem(folder: Path, *keys: str) -> str:
    """What the check finds wrong, asked in this process: "" if the export holds."""
    for name in [*sys.modules]:
        if name.partition(".")[0] in ("ledger", "listing", "base64_text", "speech"):
            del sys.modules[name]  # another folder's
    with redirect_stdout(io.StringIO()), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["verify.py", *keys])
        patch.setattr(sys, "path", [*sys.path])
        patch.setattr(sys, "dont_write_bytecode", True)
        try:
            runpy.run_path(str(folder / "verify.py"), run_name="__main__")
        except SystemExit as end:
            return str(end.code)
    return ""


def unpacked(desk: Client, export: Export, to: Path) -> Path:
    """As whoever downloads it has it."""
    archive = zipfile.ZipFile(
        io.BytesIO(desk.get(f"/admin/exports/{export.id}/all.zip").getvalue())
    )
    assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}
    archive.extractall(to)
    [folder] = to.iterdir()
    return folder
