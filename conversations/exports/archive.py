"""A folder's files as one ZIP, made while it is sent.

They are stored, not compressed again, and memory holds one piece at a time.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path

PIECE = 1 << 18  # bytes


class ArchivePieces:
    """The file that an archive is written into: it keeps pieces until they are taken."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        data = b"".join(self.pieces)
        self.pieces.clear()
        return data


def stream_archive(folder: Path, name: str) -> Iterator[bytes]:
    """The archive of everything that is in `folder` now, under one name.

    A file that goes meanwhile breaks it off: raises FileNotFoundError.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return _stream(folder, paths, name)


def _stream(folder: Path, paths: list[Path], name: str) -> Iterator[bytes]:
    sink = ArchivePieces()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for path in paths:
            member = zipfile.ZipInfo(f"{name}/{path.relative_to(folder)}", (1980, 1, 1, 0, 0, 0))
            member.external_attr = 0o600 << 16
            with open(path, "rb") as file, archive.open(member, "w", force_zip64=True) as into:
                while data := file.read(PIECE):
                    into.write(data)
                    yield sink.take()
    yield sink.take()
