"""The package needs the standard library alone: a program outside the gateway can carry it."""

import ast
import subprocess
import sys

import pytest

from llmgateway.tests.sources import ROOT

FOLDER = ROOT / "conversations" / "speech"
FILES = sorted(FOLDER.glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_imports_itself_and_the_standard_library(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= sys.stdlib_module_names
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 1 or (node.module or "").split(".")[0] in sys.stdlib_module_names
    assert len(path.read_text().splitlines()) <= 200


def test_it_runs_where_nothing_else_is(tmp_path):
    folder = tmp_path / "speech"
    folder.mkdir()
    for path in FILES:
        (folder / path.name).write_bytes(path.read_bytes())
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from speech import dialects, reading, seen\n"
        "body = {'messages': [{'role': 'user', 'content': 'Hi'}]}\n"
        "for name in dialects.DIALECTS:\n"
        "    assert dialects.join_request(dialects.split_request(body, name)) == body\n"
        "print(reading.read_message(body['messages'][0])[0].text)"
    )
    command = [sys.executable, "-I", "-S", "-B", "-c", program]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("Hi\n", "")
