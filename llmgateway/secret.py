"""Secrets that the gateway makes for itself, under VAR_DIR, readable by its account only.

One that is there is read with the settings, so that what is wrong with it is said before anything
starts, and the log hides it from its first line on. One that is missing is made when something
starts: an image that is built from here holds none.
"""

import os
import secrets
from pathlib import Path
from typing import Any

KEPT = {"CHECKPOINT_KEY": "checkpoint_key", "PSEUDONYM_KEY": "pseudonym_key"}  # files of VAR_DIR


class NoSecret(Exception):
    """A secret that can be neither read nor made; the text says why."""


def make() -> str:
    return secrets.token_urlsafe(48)


def read(path: Path) -> str:
    """The secret in this file; empty where there is no file. Raises NoSecret."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as problem:
        why = getattr(problem, "strerror", None) or "it is no text"
        raise NoSecret(f"{path} cannot be read: {why}") from None
    if not text.strip():  # what anybody could sign with
        raise NoSecret(f"{path} is empty: bring it back from a backup, or remove it for a new one")
    return text


def read_or_make(path: Path) -> str:
    """The secret in this file; a new random one, written first, where there is none.

    Raises NoSecret.
    """
    try:
        return read(path) or _keep(path)
    except OSError as problem:
        raise NoSecret(f"{path} cannot be written: {problem.strerror}") from None


def make_missing(settings: Any) -> None:
    """Make the keys that nothing needed yet. Raises NoSecret, with the fix."""
    for name in KEPT:
        try:
            setattr(settings, name, str(getattr(settings, name)))
        except NoSecret as problem:
            fix = f"Give VAR_DIR to the gateway's account, or set {name}."
            raise NoSecret(f"{problem}. {fix}") from None


def _keep(path: Path) -> str:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = make()
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")  # threads come at once, too
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(made)
    try:
        os.link(draft, path)  # whoever comes second reads what the first wrote
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return read(path)
