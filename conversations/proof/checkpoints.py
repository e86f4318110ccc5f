"""Signed marks of how far the chain had come, appended to a file that can be shipped away: what the database can no longer rewrite.

The key is made from CHECKPOINT_KEY; the file is CHECKPOINT_FILE, a JSON line a mark (conversations.ledger).
"""

import fcntl
import json
import logging
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import IO

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings

from .. import ledger
from ..ledger import Checkpoint
from ..models import Seal

EVERY, PERIOD = (
    1000,
    timedelta(minutes=10),
)  # a mark after so many seals, or so long after the last one
LONGEST = 1000  # bytes of a line

log = logging.getLogger(__name__)


def write_checkpoint(*, now: bool = False) -> bool:
    """Append one, if it is due, or `now`. A file that cannot be written holds no seal up; it stands in the log."""
    try:
        settings.CHECKPOINT_FILE.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(
            os.open(settings.CHECKPOINT_FILE, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b"
        ) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            newest, seal = _newest(file), Seal.objects.order_by("-number").first()
            if seal is None or (
                newest and not (_due(newest, seal.number) or (now and newest.number < seal.number))
            ):
                return False
            file.write(_signed(seal))
            file.flush()
            os.fsync(file.fileno())
    except OSError as problem:
        log.error("no checkpoint could be written: %s", type(problem).__name__)
        return False
    return True


def sign(message: bytes) -> str:
    """By the key of the checkpoints. What is signed begins with a word of its own, so that none is taken for another."""
    return _key().sign(message).hex()


def read(keys: Iterable[str] = ()) -> Iterator[Checkpoint]:
    """All of the file, signed by this gateway's key or by one of these. Raises ledger.Broken."""
    try:
        with open(settings.CHECKPOINT_FILE, "rb") as file:
            yield from ledger.checkpoints(file, [public_key(), *keys], verified)
    except FileNotFoundError:
        if Seal.objects.exists():
            raise ledger.BrokenChain(
                "The file of checkpoints is gone: without it nobody can tell whether the chain was cut off or written anew."
            ) from None


def public_key() -> str:
    return _key().public_key().public_bytes_raw().hex()


def verified(key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(
        sha256(str(settings.CHECKPOINT_KEY).encode()).digest()
    )


def _signed(seal: Seal) -> bytes:
    made = Checkpoint(
        seal.number,
        bytes(seal.link).hex(),
        datetime.now(UTC).isoformat(timespec="seconds"),
        public_key(),
        "",
    )
    return (
        json.dumps(made._replace(signature=_key().sign(made.message).hex())._asdict()).encode()
        + b"\n"
    )


def _newest(file: IO[bytes]) -> Checkpoint | None:
    """The last whole line. Half a line, where a write was cut off, is taken away: it was never a mark."""
    end = file.seek(0, os.SEEK_END)
    start = file.seek(max(0, end - 2 * LONGEST))
    tail = file.read()
    if whole := tail.rpartition(b"\n")[0]:
        file.truncate(start + len(whole) + 1)
        return Checkpoint(**json.loads(whole.rpartition(b"\n")[2]))
    file.truncate(start)
    return None


def _due(newest: Checkpoint, number: int) -> bool:
    return number != newest.number and (
        abs(number - newest.number) >= EVERY
        or datetime.now(UTC) - datetime.fromisoformat(newest.at) >= PERIOD
    )
