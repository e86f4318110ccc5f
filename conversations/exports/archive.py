"""Files as one ZIP, made while it is sent.

They are stored, not compressed again, and memory holds one piece at a time.
"""

import zipfile
from collections.abc import Iterable, Iterator


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


def stream_archive(files: Iterable[tuple[str, Iterator[bytes]]]) -> Iterator[bytes]:
    """The archive of files, each a name and its pieces. It breaks off where one of them does."""
    sink = ArchivePieces()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for name, pieces in files:
            member = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            member.external_attr = 0o600 << 16
            with archive.open(member, "w", force_zip64=True) as into:
                for piece in pieces:
                    into.write(piece)
                    yield sink.take()
    yield sink.take()
