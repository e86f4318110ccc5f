"""A forger's own tools: nothing signs with the gateway's code.

What the gateway signs is written down in README.txt and in conversations.ledger; here it is made
once more, so that a mistake in the one does not hide in the other.
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from conversations.tests.exports.jobs import find_problem

OWN = Ed25519PrivateKey.from_private_bytes(b"a forger's own key, of 32 bytes.")
OWN_NAME = OWN.public_key().public_bytes_raw().hex()


def sum_anew(folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [
        f"{sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n"
        for path in files
        if path.name != "SHA256SUMS"
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))


def list_anew(folder: Path, **changes: Any) -> bytes:
    """The manifest over the files as they are now, with other words in it."""
    manifest = json.loads((folder / "manifest.json").read_bytes()) | changes
    for file in manifest["files"]:
        data = (folder / file["name"]).read_bytes()
        file |= {"bytes": len(data), "sha256": sha256(data).hexdigest()}
    text = json.dumps(manifest).encode()
    (folder / "manifest.json").write_bytes(text)
    return text


def sign(folder: Path, message: bytes, name: str = OWN_NAME) -> None:
    signature = {"key": name, "signature": OWN.sign(message).hex()}
    (folder / "manifest.sig").write_text(json.dumps(signature))


def forge(folder: Path, **changes: Any) -> None:
    """Everything that a person can do who has a key of their own, and names it as the gateway's."""
    text = list_anew(folder, key_of_the_gateway=OWN_NAME, **changes)
    sign(folder, f"manifest {sha256(text).hexdigest()}".encode())
    sum_anew(folder)


def problem(folder: Path, *keys: str) -> str:
    found = find_problem(folder, *keys)
    assert found.startswith("This export does not hold. ")
    return found
