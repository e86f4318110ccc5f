"""The files of an export while they grow: durable up to what was recorded, whatever happens to the process."""

import os
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from .format import Format

READ = 1 << 20  # bytes


class Parts:
    """Takes up where `files` says that it was: what was written after that is cut off, and written again."""

    def __init__(self, folder: Path, made: Format, files: list[dict[str, Any]], stem: str) -> None:
        self.folder, self.made, self.files, self.stem = folder, made, files, stem
        self.file: IO[bytes] | None = None
        known = {file["name"] for file in files}
        for path in folder.glob(f"{stem}-*.{made.suffix}"):
            if path.name not in known:
                path.unlink()
        if files and "sha256" not in files[-1]:
            path = folder / files[-1]["name"]
            os.truncate(path, files[-1]["bytes"])
            self.hash = sha256()
            with open(path, "rb") as written:
                while data := written.read(READ):
                    self.hash.update(data)
            self.file = open(path, "ab")  # noqa: SIM115 (it grows until its part is full)

    def write(self, row: bytes) -> None:
        if self.file is None or self.files[-1]["rows"] >= self.made.part:
            self._begin()
        self._append(row)
        self.files[-1]["rows"] += 1

    def sync(self) -> list[dict[str, Any]]:
        """What is durable."""
        if self.file:
            self.file.flush()
            os.fsync(self.file.fileno())
        return self.files

    def end(self) -> list[dict[str, Any]]:
        """All rows were written. An export of none is a file without rows."""
        if not self.files:
            self._begin()
        self._end()
        return self.files

    def close(self) -> None:
        if self.file:
            self.file.close()
            self.file = None

    def _begin(self) -> None:
        self._end()
        name = f"{self.stem}-{len(self.files) + 1:04}.{self.made.suffix}"
        descriptor = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self.file = open(descriptor, "wb")  # noqa: SIM115
        self.hash = sha256()
        self.files.append({"name": name, "bytes": 0, "rows": 0})
        self._append(self.made.head)

    def _end(self) -> None:
        if self.file:
            self._append(self.made.tail)
            self.sync()
            self.close()
            self.files[-1]["sha256"] = self.hash.hexdigest()

    def _append(self, data: bytes) -> None:
        assert self.file
        self.file.write(data)
        self.hash.update(data)
        self.files[-1]["bytes"] += len(data)
