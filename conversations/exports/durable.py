"""Files that are private to the gateway's account, and on disk before anything names them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path
from typing import IO


@contextmanager
def replace_file(path: Path) -> Iterator[IO[bytes]]:
    """A new file that takes the place of `path` once it is written, unless there is an error."""
    draft = path.with_suffix(".new")
    with open_private(draft) as file:
        yield file
        flush_to_disk(file)
    os.replace(draft, path)


def open_private(path: Path) -> BufferedRandom:
    """An empty file that its owner alone reads and writes."""
    return open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "w+b")


def flush_to_disk(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
