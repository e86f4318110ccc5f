"""The checkpoints that a run of verify holds the chain against: which file, and whose signature.

It is the file that this machine appends to, or a copy that was shipped away. A file that is not
here is no fault where this machine never signed; one that lacks what it signed is.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import IO

from django.conf import settings

from .. import ledger
from ..ledger import BrokenChain, Chain, Checkpoint
from ..models import Seal
from . import checkpoints, signing_keys

BEHIND = timedelta(hours=1)  # that a checkpoint may be older than the newest seal, unremarked


class Marks:
    """Checkpoints of one file. `keys` (hex) are trusted alone; none: this machine's own is."""

    def __init__(self, keys: Iterable[str] = (), copy: IO[bytes] | None = None) -> None:
        self.keys = list(keys) or [checkpoints.derive_public_key()]
        self.copy = copy
        self.is_here = True
        # Before the file is read: what is signed meanwhile is in the file already.
        self.signed = None if copy else signing_keys.read_newest(signing_keys.find_place())

    def read(self) -> Iterator[Checkpoint]:
        """Yield them, oldest first. Raises BrokenChain."""
        with ExitStack() as stack:
            try:
                file = self.copy or stack.enter_context(open(settings.CHECKPOINT_FILE, "rb"))
            except FileNotFoundError:
                self.is_here = False
                return
            except OSError as problem:
                raise BrokenChain(
                    f"The checkpoint file {settings.CHECKPOINT_FILE} cannot be read: "
                    f"{problem.strerror}."
                ) from None
            try:
                yield from ledger.read_checkpoints(file, self.keys, checkpoints.is_signature_valid)
            except BrokenChain as broken:
                raise BrokenChain(f"{broken}{signing_keys.describe(self.keys)}") from None

    def check_end(self, chain: Chain) -> None:
        """Find lines cut off from the end of the file. Raises BrokenChain."""
        last = chain.passed.number if chain.passed else 0
        if self.signed is None or last >= self.signed.number:
            return
        signed = f"signed seal {self.signed.number:,} on {self.signed.at:%Y-%m-%d %H:%M} UTC"
        if not self.is_here:
            raise BrokenChain(
                f"The checkpoint file {settings.CHECKPOINT_FILE} is gone: this machine {signed} in "
                "it. Without it, no check can tell whether the chain was cut off or written anew."
            )
        raise BrokenChain(
            f"The checkpoint file was cut: it ends at seal {last:,}, but this machine {signed}."
        )

    def describe_gap(self, chain: Chain) -> Iterator[str]:
        """Say why no checkpoint, or an old one, vouches for the end of the chain."""
        if not chain.number:
            return
        elsewhere = signing_keys.read_newest()
        where = ""
        if elsewhere and elsewhere.number > (chain.passed.number if chain.passed else 0):
            where = (
                f" Checkpoints up to seal {elsewhere.number:,} were signed at {elsewhere.place}: "
                "give a copy of that file with --checkpoints."
            )
        if not self.is_here:
            yield (
                f"There is no checkpoint file here ({settings.CHECKPOINT_FILE}): this machine has "
                f"signed nothing.{where}"
            )
            return
        if chain.passed is None:
            yield f"The checkpoint file has no checkpoint of this chain.{where}"
            return
        newest = Seal.objects.get(number=chain.number).sealed
        behind = newest - Seal.objects.get(number=chain.passed.number).sealed
        if behind > BEHIND:
            yield (
                f"The newest checkpoint is {behind} older than the newest seal: no worker has "
                "signed into this file since, the copy is old, or lines were cut from its end."
                f"{where}"
            )
