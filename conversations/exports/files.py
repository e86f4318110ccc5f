"""The files of calls, each once and under its sha256, with a CSV of which call had which.

They are copied as they are kept, into a folder.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from ..models import Attachment
from ..record import attachments
from ..record.rebuild import rebuild_many
from .calls import CsvFormat
from .durable import replace_file
from .listing import COPIES
from .selection import Stretch
from .table import csv_line

SUFFIXES = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "image/webp": "webp",
    "application/pdf": "pdf",
}


class CallFiles(NamedTuple):
    conversation: UUID | None
    digests: list[str]  # of its files, in order


class FilesFormat(CsvFormat):
    name, label = "attachments", _("Attachments")
    description = _(
        "Every image and file of these calls, once, named by its sha256; and a CSV of which call"
        " had which."
    )
    columns = (
        "seal",
        "call",
        "conversation",
        "file",
        "sha256",
        "bytes",
        "media_type_as_sent",
        "state",
    )
    stem, at_once = "attachments", 100

    def rows(self, stretch: Stretch, last: int) -> Iterator[bytes]:
        sizes = stretch.measure_calls()
        files = {
            call.id: CallFiles(call.conversation_id, messages.files(call))
            for call, messages in rebuild_many(sizes, self.names)
        }
        media_types = _media_types({digest for each in files.values() for digest in each.digests})
        for call, (conversation, digests) in files.items():
            for digest in digests:
                name, size = self.copy(digest)
                yield csv_line(
                    (
                        str(stretch.seals[call]),
                        str(call),
                        str(conversation or ""),
                        name,
                        digest,
                        str(size),
                        media_types.get(digest, ""),
                        "whole" if name else "lost",
                    )
                )

    def copy(self, digest: str) -> tuple[str, int]:
        """Copy a file of the storage; its name and size here.

        There is no name where storage has lost the file, or has another in its place.
        """
        assert self.folder
        try:
            data = attachments.read_file(digest)
        except FileNotFoundError:
            return "", 0
        name = f"{COPIES}/{digest}.{SUFFIXES.get(attachments.detect_media_type(data), 'bin')}"
        _write_once(self.folder / name, data)
        return name, len(data)


def _media_types(digests: set[str]) -> dict[str, str]:
    """The media types under which files were sent, by their sha256."""
    if not digests:
        return {}
    sent = Attachment.objects.filter(sha256__in=[bytes.fromhex(digest) for digest in digests])
    return {bytes(digest).hex(): kind for digest, kind in sent.values_list("sha256", "media_type")}


def _write_once(path: Path, data: bytes) -> None:
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with replace_file(path) as file:
        file.write(data)
