"""The arithmetic of the chain, and the program that checks an exported range of it.

    python ledger.py RANGE.jsonl [CHECKPOINTS.jsonl KEY …]

It needs the standard library alone, so that a recipient of an export needs nothing of the gateway.
A line of a range, here broken in two:

    {"number": 12, "kind": "snapshot", "subject": "0199…", "digest": "…",
     "sealed": "2026-01-31T12:00:00.000000+00:00", "link": "…"}

`digest` is the sha256 of what was sealed, which is the `text` where the line has one. `link` is the
sha256 of the link before and of all that stands in the line before it; the first line of a range
also has the link `before` it. A checkpoint is a link that was signed (Ed25519) and kept elsewhere:
an intruder who rewrites the chain, or cuts its end off, cannot rewrite those. It is a JSON line, or
a note as other tools read it (C2SP signed-note and tlog-checkpoint); a file may hold both.
"""

import json
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256, sha512
from typing import Any, NamedTuple


class BrokenChain(Exception):
    """The chain does not hold. The text says why, and names the first row that does not fit."""


class SealEntry(NamedTuple):
    """A seal without its link."""

    number: int
    kind: str
    subject: str  # the id of the row
    digest: bytes
    sealed: str  # when: ISO 8601, UTC, microseconds

    def __str__(self) -> str:
        return f"{self.kind} {self.subject} (seal {self.number})"


class Checkpoint(NamedTuple):
    """A signed link of the chain.

    With an `origin`, the name that its signer goes by, what is signed is the text of a note; older
    ones have none.
    """

    number: int
    link: str  # hex, as are key and signature
    at: str
    key: str
    signature: str
    origin: str = ""

    @property
    def message(self) -> bytes:
        if not self.origin:
            return f"checkpoint {self.number} {self.link} {self.at}".encode()
        link = b64encode(bytes.fromhex(self.link)).decode()
        return f"{self.origin}\n{self.number}\n{link}\n{self.at}\n".encode()

    @property
    def note(self) -> str:
        """The same as a C2SP signed note: its size is the number, its root hash the link."""
        key = hash_key(self.origin, bytes.fromhex(self.key))
        signature = b64encode(key + bytes.fromhex(self.signature)).decode()
        return f"{self.message.decode()}\n{SIGNED}{self.origin} {signature}\n"


Verify = Callable[[bytes, bytes, bytes], bool]  # public key, signature, message
SIGNED = "\N{EM DASH} "  # begins each line of a note that is a signature
ED25519 = b"\x01"  # C2SP's number of the algorithm
MOST = 20  # lines of a note


def compute_digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


def compute_link(before: bytes, entry: SealEntry) -> bytes:
    return sha256(
        before
        + f"{entry.number} {entry.kind} {entry.subject} {entry.sealed} ".encode()
        + entry.digest
    ).digest()


def encode_manifest_message(manifest: bytes) -> bytes:
    """Return the bytes that are signed of an export's manifest."""
    return f"manifest {sha256(manifest).hexdigest()}".encode()


class Chain:
    """Takes entries in order; raises BrokenChain at the first that does not fit."""

    def __init__(
        self, checkpoints: Iterable[Checkpoint] = (), *, number: int = 0, link: bytes = b""
    ) -> None:
        self.number, self.link = number, link
        self.checkpoints = iter(checkpoints)
        self.passed: Checkpoint | None = None
        self.next = self._find_checkpoint(number + 1)

    def take(self, entry: SealEntry, claimed: bytes) -> None:
        if entry.number != self.number + 1:
            raise BrokenChain(
                f"Seal {self.number + 1} is missing: after {self.number} comes {entry.number}."
            )
        self.number, self.link = entry.number, compute_link(self.link, entry)
        if claimed != self.link:
            raise BrokenChain(
                f"The seal of {entry} does not follow from the one before: one of them was "
                "changed, moved or put in."
            )
        while self.next and self.next.number == self.number:
            if self.next.link != self.link.hex():
                raise BrokenChain(
                    f"At seal {self.number} the chain is not the one that the checkpoint of "
                    f"{self.next.at} signed: it was written anew."
                )
            self.passed, self.next = self.next, self._find_checkpoint(self.number)

    def end(self) -> None:
        if self.next:
            raise BrokenChain(
                f"The chain ends at seal {self.number}, but the checkpoint of {self.next.at} "
                f"signed seal {self.next.number}: its end was cut off."
            )

    def _find_checkpoint(self, number: int) -> Checkpoint | None:
        """Return the next checkpoint from this number on."""
        return next(
            (checkpoint for checkpoint in self.checkpoints if checkpoint.number >= number), None
        )


def read_checkpoints(
    lines: Iterable[bytes], keys: Iterable[str], verify: Verify
) -> Iterator[Checkpoint]:
    """Yield the checkpoints of a file, oldest first, each signed by one of these keys (hex).

    Raises BrokenChain.
    """
    trusted, number = set(keys), 0
    for place, block in _split_blocks(lines):
        try:
            checkpoint = _read_block(block, trusted)
            signed = checkpoint.key in trusted and verify(
                bytes.fromhex(checkpoint.key),
                bytes.fromhex(checkpoint.signature),
                checkpoint.message,
            )
        except (ValueError, TypeError):
            raise BrokenChain(f"Line {place} of the checkpoint file is not a checkpoint.") from None
        if not signed:
            raise BrokenChain(
                f"Line {place} of the checkpoint file, of seal {checkpoint.number}, is not signed "
                "by a key that is trusted here."
            )
        if checkpoint.number < number:
            raise BrokenChain(
                f"Line {place} of the checkpoint file is of seal {checkpoint.number}, after one of "
                f"seal {number}."
            )
        number = checkpoint.number
        yield checkpoint


# Notes (https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint) ---------------------------


def hash_key(name: str, key: bytes) -> bytes:
    """Return the four bytes by which a signature of a note names its key."""
    return sha256(name.encode() + b"\n" + ED25519 + key).digest()[:4]


def encode_verifier_key(name: str, key: bytes) -> str:
    """Write a public key as the tools take it that check notes."""
    return f"{name}+{hash_key(name, key).hex()}+{b64encode(ED25519 + key).decode()}"


def _split_blocks(lines: Iterable[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """Yield each JSON line, and the lines of each note, with the place of the first."""
    block: list[bytes] = []
    start, signed = 1, SIGNED.encode()
    for place, line in enumerate(lines, 1):
        is_whole = bool(block) and (block[0].startswith(b"{") or block[-1].startswith(signed))
        if len(block) > MOST or (is_whole and not line.startswith(signed)):
            yield start, block
            block = []
        if block or line.strip():
            start = start if block else place
            block.append(line)
    if block:
        yield start, block


def _read_block(block: list[bytes], keys: Iterable[str]) -> Checkpoint:
    """Read a checkpoint in either form. Raises ValueError, TypeError."""
    if block[0].startswith(b"{") and len(block) == 1:
        return Checkpoint(**json.loads(block[0]))
    checkpoint = _read_note(b"".join(block).decode().split("\n"), keys)
    if not b"".join(block).startswith(checkpoint.message + f"\n{SIGNED}".encode()):
        raise ValueError("no note in the one spelling that there is")
    return checkpoint


def _read_note(lines: list[str], keys: Iterable[str]) -> Checkpoint:
    """Read origin, number, link and time, an empty line, and the signatures: one is its origin's.

    Raises ValueError.
    """
    origin, signatures = lines[0], lines[5:]
    ours = [line for line in signatures if line.startswith(f"{SIGNED}{origin} ")]
    if len(ours) != 1:
        raise ValueError("not the one signature of its origin")
    named = b64decode(ours[0].rpartition(" ")[2], validate=True)
    by_hash = {hash_key(origin, bytes.fromhex(key)): key for key in keys}
    return Checkpoint(
        int(lines[1]),
        b64decode(lines[2], validate=True).hex(),
        lines[3],
        by_hash.get(named[:4], ""),
        named[4:].hex(),
        origin,
    )


# Ed25519 (RFC 8032), verifying only ---------------------------------------------------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int, int, int]  # X, Y, Z, T: x = X/Z, y = Y/Z, xy = T/Z


def _point(encoded: bytes) -> Point | None:
    y, odd = int.from_bytes(encoded, "little") & (2**255 - 1), encoded[31] >> 7
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if y >= P or (x * x - square) % P or (x == 0 and odd):
        return None
    x = P - x if x % 2 != odd else x
    return x, y, 1, x * y % P


def _sum(a: Point, b: Point) -> Point:
    minus, plus = (a[1] - a[0]) * (b[1] - b[0]), (a[1] + a[0]) * (b[1] + b[0])
    ts, zs = 2 * D * a[3] * b[3], 2 * a[2] * b[2]
    e, f = plus - minus, zs - ts
    g, h = zs + ts, plus + minus
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(count: int, point: Point) -> Point:
    total: Point = (0, 1, 1, 0)
    while count:
        if count & 1:
            total = _sum(total, point)
        point, count = _sum(point, point), count >> 1
    return total


def is_signature_valid(key: bytes, signature: bytes, message: bytes) -> bool:
    """Tell whether this Ed25519 key signed this message.

    Takes some milliseconds; where there are many signatures, use a library.
    """
    if len(key) != 32 or len(signature) != 64:
        return False
    public, r = _point(key), _point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    base = _point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    if public is None or r is None or base is None or s >= ORDER:
        return False
    hashed = int.from_bytes(sha512(signature[:32] + key + message).digest(), "little") % ORDER
    left, right = _times(s, base), _sum(r, _times(hashed, public))
    return (
        (left[0] * right[2] - right[0] * left[2]) % P
        == 0
        == (left[1] * right[2] - right[1] * left[2]) % P
    )


# A range ------------------------------------------------------------------------------------------


def read_entry(line: dict[str, Any]) -> SealEntry:
    return SealEntry(
        line["number"], line["kind"], line["subject"], bytes.fromhex(line["digest"]), line["sealed"]
    )


def check_range(lines: Iterable[bytes], marks: Iterable[Checkpoint] = ()) -> Chain:
    """Check a range from its first line to its last.

    Checkpoints before and after it are passed over. Raises BrokenChain.
    """
    chain = None
    for place, raw in enumerate(lines, 1):
        try:
            line = json.loads(raw)
            entry, claimed = read_entry(line), bytes.fromhex(line["link"])
            if chain is None:
                chain = Chain(marks, number=entry.number - 1, link=bytes.fromhex(line["before"]))
        except (ValueError, TypeError, KeyError):
            raise BrokenChain(f"Line {place} is not an entry of a chain.") from None
        if "text" in line and compute_digest(line["text"]) != entry.digest:
            raise BrokenChain(f"The text of {entry} is not what was sealed.")
        chain.take(entry, claimed)
    if chain is None:
        raise BrokenChain("The file has no lines.")
    return chain


def main(range_file: str, checkpoint_file: str = "", *keys: str) -> str:
    with open(range_file, "rb") as lines:
        if not checkpoint_file:
            chain, marks = check_range(lines), []
        else:
            with open(checkpoint_file, "rb") as file:
                marks = list(read_checkpoints(file, keys, is_signature_valid))
            chain = check_range(lines, marks)
    signed = (
        f"the checkpoint of {chain.passed.at} confirms it up to seal {chain.passed.number}"
        if chain.passed
        else "no checkpoint confirms it"
    )
    return f"The chain holds up to seal {chain.number}; {signed}."


if __name__ == "__main__":
    try:
        print(main(*sys.argv[1:]))  # noqa: T201
    except (BrokenChain, OSError) as problem:
        sys.exit(str(problem))
