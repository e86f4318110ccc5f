"""Secrets that the gateway makes for itself, under VAR_DIR, readable by its account only."""

import os
import secrets
from pathlib import Path


def make() -> str:
    return secrets.token_urlsafe(48)


def read_or_make(path: Path) -> str:
    """The secret in this file; a new random one, written first, where there is none."""
    try:
        return path.read_text()
    except FileNotFoundError:
        pass
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
    return path.read_text()
