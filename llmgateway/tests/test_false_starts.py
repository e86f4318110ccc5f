"""`serve` waits for its children's first answer: one that ends meanwhile is started again."""

import os
import sys

import pytest
from django.core.management import CommandError

from llmgateway.management.commands import serve
from llmgateway.ops.processes import Processes

WEB = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1"]


@pytest.fixture
def command(tmp_path, settings):
    """With a folder that a web server of ours serves; children's ends are in `said`."""
    settings.PORT = serve.free_port()
    (tmp_path / "ping").write_text("pong\n")
    command, said = serve.Command(), []
    command.processes = Processes(tmp_path / "serve.json", said.append)
    command.said = said
    yield command
    command.processes.stop(5)
    command.processes.file.close()


def start(command, script, *arguments):
    environment = dict(os.environ)
    command.processes.start("web", ["/bin/sh", "-c", script, "sh", *arguments], environment)


def test_a_child_that_dies_while_it_starts_is_started_again(command, tmp_path, settings):
    once = f'cd {tmp_path}; [ -e once ] || {{ touch once; exit 3; }}; exec "$@"'
    start(command, once, *WEB, str(settings.PORT))
    command.wait()
    assert command.said == ["The web process ended (exit code 3). It starts again in 1 s."]


def test_a_child_that_cannot_start_ends_it_in_words(command, monkeypatch):
    monkeypatch.setattr(serve, "SLOWEST_START", 30)
    start(command, "exit 3")
    with pytest.raises(CommandError, match="ended 4 times while it started"):
        command.wait()
    assert len(command.said) == 4
