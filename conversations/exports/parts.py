"""The files of an export while they grow.

They are durable up to what was recorded, whatever happens to the process.
"""

import errno
import os
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from .durable import flush_to_disk, open_private
from .format import Format

READ = 1 << 20  # bytes


class Parts:
    """Goes on where `files` says that it was: what was written after that is cut off."""

    def __init__(self, folder: Path, layout: Format, files: list[dict[str, Any]]) -> None:
        self.folder, self.layout = folder, layout
        self.files = files
        self.file: IO[bytes] | None = None
        known = {file["name"] for file in files}
        for path in folder.glob(f"{layout.stem}-*.{layout.suffix}"):
            if path.name not in known:
                path.unlink()
        if files and "sha256" not in files[-1]:
            self._reopen(folder / files[-1]["name"])

    def write(self, row: bytes) -> None:
        if self.file is None or self.files[-1]["rows"] >= self.layout.part:
            self._begin()
        self._append(row)
        self.files[-1]["rows"] += 1

    def sync(self) -> list[dict[str, Any]]:
        """Make durable what was written; the files as they are now."""
        if self.file:
            flush_to_disk(self.file)
        return self.files

    def end(self) -> list[dict[str, Any]]:
        """Finish the files. An export of no rows is a file without rows."""
        if not self.files:
            self._begin()
        self._end()
        return self.files

    def close(self) -> None:
        if self.file:
            self.file.close()
            self.file = None

    def _reopen(self, path: Path) -> None:
        """Go on with a file that is not full. Raises OSError where it has lost what was durable."""
        if path.stat().st_size < self.files[-1]["bytes"]:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.truncate(path, self.files[-1]["bytes"])
        self.hash = sha256()
        with open(path, "rb") as written:
            while data := written.read(READ):
                self.hash.update(data)
        self.file = open(path, "ab")  # noqa: SIM115 (it grows until its part is full)

    def _begin(self) -> None:
        self._end()
        name = f"{self.layout.stem}-{len(self.files) + 1:04}.{self.layout.suffix}"
        self.file = open_private(self.folder / name)
        self.hash = sha256()
        self.files.append({"name": name, "bytes": 0, "rows": 0})
        self._append(self.layout.head)

    def _end(self) -> None:
        if self.file:
            self._append(self.layout.tail)
            self.sync()
            self.close()
            self.files[-1]["sha256"] = self.hash.hexdigest()

    def _append(self, data: bytes) -> None:
        assert self.file
        self.file.write(data)
        self.hash.update(data)
        self.files[-1]["bytes"] += len(data)
