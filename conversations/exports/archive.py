"""A folder's files as one ZIP, made while it is sent: stored, not pressed again, in memory one piece at a time."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

PIECE = 1 << 18  # bytes


class Sink:
    """What the archive is written into: it gives away what it has taken."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data) -> int:
        self.pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        pass

    def taken(self) -> bytes:
        data = b"".join(self.pieces)
        self.pieces.clear()
        return data


def stream_archive(folder: Path, name: str) -> Iterator[bytes]:
    """Everything in it, under one name. `folder` must not change meanwhile."""
    sink = Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            member = zipfile.ZipInfo(f"{name}/{path.relative_to(folder)}", (1980, 1, 1, 0, 0, 0))
            member.external_attr = 0o600 << 16
            with open(path, "rb") as file, archive.open(member, "w", force_zip64=True) as into:
                while data := file.read(PIECE):
                    into.write(data)
                    yield sink.taken()
    yield sink.taken()
