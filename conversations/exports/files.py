"""The files of calls, each once and under its sha256, with a CSV that says which call named which. They go as they are kept, into a folder."""

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from django.core.files.storage import default_storage

from ..models import Attachment, Snapshot
from ..record import attachments
from ..record.rebuild import Messages
from .calls import Table
from .selection import Stretch
from .table import csv_line

FOLDER = "attachments"
SUFFIXES = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "image/webp": "webp",
    "application/pdf": "pdf",
}


class FilesFormat(Table):
    name, label = "attachments", "Attachments"
    says = "Every picture and file of these calls, once, named by its sha256; and a CSV that says which call named which."
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
        calls = Snapshot.objects.in_bulk(list(stretch.seals))
        messages = Messages(
            (call.conversation_id for call in calls.values() if call.conversation_id), self.names
        )
        named = {id: messages.files(calls[id]) for id in stretch.seals}
        digests = [bytes.fromhex(digest) for found in named.values() for digest in found]
        sent = (
            dict(Attachment.objects.filter(sha256__in=digests).values_list("sha256", "media_type"))
            if digests
            else {}
        )
        sent_as = {bytes(digest).hex(): media_type for digest, media_type in sent.items()}
        for id, number in stretch.seals.items():
            for digest in named[id]:
                file, size = self.kept(digest)
                said = (
                    file,
                    digest,
                    str(size),
                    sent_as.get(digest, ""),
                    "whole" if file else "lost",
                )
                yield csv_line((str(number), str(id), str(calls[id].conversation_id or ""), *said))

    def kept(self, digest: str) -> tuple[str, int]:
        """The name and size of the copy; no name where storage has lost the file, or has another in its place."""
        assert self.folder
        try:
            with default_storage.open(attachments.storage_name(bytes.fromhex(digest))) as stored:
                data = stored.read()
        except FileNotFoundError:
            return "", 0
        if sha256(data).hexdigest() != digest:
            return "", 0
        name = f"{FOLDER}/{digest}.{SUFFIXES.get(attachments.detect_media_type(data), 'bin')}"
        keep(self.folder / name, data)
        return name, len(data)


def keep(path: Path, data: bytes) -> None:
    """Whole or not at all, and once."""
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, exist_ok=True)
    new = path.with_suffix(".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
