"""A secret that the gateway makes for itself is one, however many come for it at once."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier

import pytest
from django.conf import settings
from django.utils.functional import SimpleLazyObject

from llmgateway import secret
from proxy import redaction

AT_ONCE = 8


def test_threads_that_come_at_once_read_one_secret(tmp_path, monkeypatch):
    make, all_found_none = secret.make, Barrier(AT_ONCE)

    def make_late() -> str:
        all_found_none.wait(60)
        return make()

    monkeypatch.setattr(secret, "make", make_late)
    path = tmp_path / "var" / "key"
    with ThreadPoolExecutor(AT_ONCE) as threads:
        found = set(threads.map(secret.read_or_make, [path] * AT_ONCE))
    assert found == {path.read_text()}
    assert [*path.parent.iterdir()] == [path]
    assert path.stat().st_mode & 0o777 == 0o600


UNFIT = {
    "a folder": lambda path: path.mkdir(parents=True),
    "no text": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "empty": lambda path: path.write_text(""),
    "blank": lambda path: path.write_text(" \n"),
}


@pytest.mark.parametrize("spoil", UNFIT.values(), ids=UNFIT)
def test_a_file_that_holds_no_secret_is_told_and_not_replaced(tmp_path, spoil):
    path = tmp_path / "key"
    spoil(path)
    for read in (secret.read, secret.read_or_make):
        with pytest.raises(secret.NoSecret, match=str(path)):
            read(path)
    assert [*tmp_path.iterdir()] == [path]


def test_where_none_can_be_made(tmp_path):
    folder = tmp_path / "var"
    folder.write_text("no folder")
    with pytest.raises(secret.NoSecret):
        secret.read_or_make(folder / "key")
    with pytest.raises(secret.NoSecret, match="cannot be written"):
        secret.read_or_make(Path("/proc/none/key"))


def test_what_is_missing_is_made_at_the_start_and_hidden_from_then_on(tmp_path, settings):
    for name, file in secret.KEPT.items():
        path = tmp_path / file
        setattr(settings, name, SimpleLazyObject(partial(secret.read_or_make, path)))
        assert not path.exists()
    secret.make_missing(settings)
    for name, file in secret.KEPT.items():
        made = (tmp_path / file).read_text()
        assert getattr(settings, name) == made
        assert made not in redaction.hide(f"It was {made}.")


def test_one_that_cannot_be_made_names_its_fix(tmp_path, settings):
    for name in secret.KEPT:
        read = partial(secret.read_or_make, tmp_path)
        setattr(settings, name, SimpleLazyObject(read))
    with pytest.raises(secret.NoSecret, match=r"VAR_DIR to the gateway's account, or set \w+_KEY"):
        secret.make_missing(settings)


@pytest.mark.parametrize("command", [["serve"], ["worker", "--skip-checks"]], ids=" ".join)
def test_nothing_starts_with_a_key_that_is_none(tmp_path, command):
    files = ["secret_key", *secret.KEPT.values()]
    for file in files:
        (tmp_path / file).write_text("")
    environment = os.environ | {"VAR_DIR": str(tmp_path), "ENV_FILE": os.devnull, "SECRET_KEY": ""}
    done = subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=settings.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    for file in files:
        assert f"{file} is empty" in done.stderr
    assert "Give it to the gateway's account" in done.stderr
    assert "Traceback" not in done.stderr
