"""Signed marks of how far the chain had come: what the database alone can no longer rewrite.

They are appended to CHECKPOINT_FILE, a JSON line each (conversations.ledger), which can be shipped
away; proxy.jobs.checkpoints sends each to CHECKPOINT_URL. The key that signs them is made from
CHECKPOINT_KEY.
"""

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import IO

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings

from .. import ledger
from ..ledger import Checkpoint
from ..models import Seal
from . import signing_keys

EVERY = 1000  # seals from one mark to the next …
PERIOD = timedelta(minutes=10)  # … or so long, whichever comes first
LONGEST = 1000  # bytes of a line

log = logging.getLogger(__name__)


def write_checkpoint(*, now: bool = False) -> bool:
    """Append a checkpoint where one is due, or `now`; tell whether it did.

    A file that cannot be written holds no seal up: that is logged.
    """
    try:
        settings.CHECKPOINT_FILE.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        with open(os.open(settings.CHECKPOINT_FILE, flags, 0o600), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            newest, seal = _read_newest(file), Seal.objects.order_by("-number").first()
            if seal is None or not _is_wanted(newest, seal.number, now=now):
                return False
            file.write(_sign_seal(seal))
            file.flush()
            os.fsync(file.fileno())
        signing_keys.note(derive_public_key(), seal.number)
    except OSError as problem:
        log.error("no checkpoint could be written: %s", type(problem).__name__)
        return False
    return True


def sign(message: bytes) -> str:
    """Sign with the key of the checkpoints.

    Every message begins with a word of its own kind, so that none is taken for another.
    """
    return _read_key().sign(message).hex()


def read_checkpoints() -> Iterator[Checkpoint]:
    """Yield all checkpoints of the file: each is signed by a key that this gateway has or had.

    Which of them to trust is for its reader to say, who was handed a key. Raises
    ledger.BrokenChain.
    """
    keys = [derive_public_key(), *settings.VERIFY_KEYS, *signing_keys.list_keys()]
    try:
        with open(settings.CHECKPOINT_FILE, "rb") as file:
            yield from ledger.read_checkpoints(file, keys, is_signature_valid)
    except FileNotFoundError:
        if Seal.objects.exists():
            raise ledger.BrokenChain(
                "The checkpoint file is gone: without it, no check can tell whether the chain was "
                "cut off or written anew."
            ) from None
    except ledger.BrokenChain as broken:
        raise ledger.BrokenChain(
            f"{broken} Former keys of this gateway are named in VERIFY_KEYS."
        ) from None


def read_newer(number: int) -> list[Checkpoint]:
    """Read those of later seals than this, oldest first, from the end of the file.

    Their signatures are not checked: it is their receiver who does. Raises OSError.
    """
    with open(settings.CHECKPOINT_FILE, "rb") as file:
        end, size = file.seek(0, os.SEEK_END), 64 * LONGEST
        while True:
            file.seek(max(0, end - size))
            *lines, _ = file.read().split(b"\n")
            if size >= end:
                break
            lines = lines[1:]  # the first may be half a line
            if lines and _read_line(lines[0]).number <= number:
                break
            size *= 2
    found = map(_read_line, lines)
    return [checkpoint for checkpoint in found if checkpoint.number > number]


def derive_public_key() -> str:
    """Return the key (hex) that checks what `sign` signed."""
    return _read_key().public_key().public_bytes_raw().hex()


def make_origin(public_key: str) -> str:
    """Return the name that this key's signatures go by in notes."""
    return f"llm-gateway/{public_key[:16]}"


def derive_verifier_key() -> str:
    """Return the public key as the tools take it that check notes."""
    key = derive_public_key()
    return ledger.encode_verifier_key(make_origin(key), bytes.fromhex(key))


def is_signature_valid(key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _read_key() -> Ed25519PrivateKey:
    secret = sha256(str(settings.CHECKPOINT_KEY).encode()).digest()
    return Ed25519PrivateKey.from_private_bytes(secret)


def _sign_seal(seal: Seal) -> bytes:
    """Return the line of a checkpoint at this seal."""
    key = derive_public_key()
    unsigned = Checkpoint(
        seal.number,
        bytes(seal.link).hex(),
        datetime.now(UTC).isoformat(timespec="seconds"),
        key,
        "",
        make_origin(key),
    )
    checkpoint = unsigned._replace(signature=sign(unsigned.message))
    return json.dumps(checkpoint._asdict()).encode() + b"\n"


def _read_newest(file: IO[bytes]) -> Checkpoint | None:
    """Read the last complete line. Half a line, left by a broken write, is cut away."""
    end = file.seek(0, os.SEEK_END)
    start = file.seek(max(0, end - 2 * LONGEST))
    complete = file.read().rpartition(b"\n")[0]
    if not complete:
        file.truncate(start)
        return None
    file.truncate(start + len(complete) + 1)
    return _read_line(complete.rpartition(b"\n")[2])


def _read_line(line: bytes) -> Checkpoint:
    return Checkpoint(**json.loads(line))


def _is_wanted(newest: Checkpoint | None, number: int, *, now: bool) -> bool:
    """Tell whether this seal gets a checkpoint."""
    if newest is None or (now and newest.number < number):
        return True
    return number != newest.number and (
        abs(number - newest.number) >= EVERY
        or datetime.now(UTC) - datetime.fromisoformat(newest.at) >= PERIOD
    )
