"""With a wrong setting nothing starts, whatever starts it; what tells of it tells all, in words."""

import os
import subprocess
import sys

import pytest

from llmgateway.tests.plugin import ROOT

SECRET = "sk-canary-secret-9f3a"
ENV = f"""PORT=80a0
PSEUDONYMS=ture
LLM_API_AUTHORIZATION=Bearer {SECRET}…
LLM_API_AUTHORISATION=Bearer {SECRET}
"""
SERVER = ["-m", "gunicorn", "-c", "llmgateway/server/gunicorn.conf.py", "llmgateway.wsgi"]


def run(command, **settings):
    """What a command says that fails, without a traceback."""
    own = ("PORT", "LLM_API_AUTHORIZATION", "SECRET_KEY")
    environment = {name: value for name, value in os.environ.items() if name not in own}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment | settings,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("command", ["check", "doctor", "settings", "serve"])
def test_a_folder_that_cannot_be_made_is_told(command):
    told = run(["manage.py", command], VAR_DIR="/proc/none", DATABASE_URL="")
    assert "VAR_DIR cannot keep the gateway's key: " in told


@pytest.mark.parametrize(
    "command",
    [
        ["manage.py", "serve"],
        ["manage.py", "serve", "web"],
        ["manage.py", "worker", "--skip-checks"],
        ["manage.py", "migrate", "--skip-checks"],
        ["manage.py", "shell", "-c", "pass"],
        ["manage.py", "check"],
        ["manage.py", "doctor"],
        SERVER,
        ["-c", "import llmgateway.wsgi"],
    ],
    ids=" ".join,
)
def test_nothing_starts_and_all_is_told(tmp_path, command):
    (tmp_path / ".env").write_text(ENV)
    var = tmp_path / "var"
    told = run(command, ENV_FILE=f"{tmp_path}/.env", VAR_DIR=str(var), DATABASE_URL="")
    for number, name in enumerate(("PORT", "PSEUDONYMS", "LLM_API_AUTHORIZATION"), 1):
        assert f"{name} ({tmp_path}/.env:{number})" in told
    assert "Did you mean LLM_API_AUTHORIZATION?" in told
    assert SECRET not in told
    assert not var.exists() or not (var / "pg").exists()
