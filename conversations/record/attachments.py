"""Files inside JSON: taken out before a row is written, put back when a request is rebuilt.

Base64 that is all of a string lies in no row. `lighten` replaces a long base64 string, or a data:
URL of one, by {"$attachment": [sha256, prefix]}: a string that begins like a known kind of file, or
any under a name that holds files. Base64 that is not spelled as we would (in lines, without
padding) has its spelling behind those two, so that `restore` gives back the same text, always. An
object that a client itself keyed so is wrapped, and therefore never mistaken for ours.

What stays in rows, as it was sent: base64 inside a longer text (a data: URL in Markdown or HTML,
JSON in a string such as a tool's arguments), for that text is what was said, is searched and
quoted; strings of fewer than LONG characters; and base64 that begins like no known kind of file,
under a name that holds none.
"""

import re
from collections.abc import Callable
from hashlib import sha256
from typing import Any, NamedTuple

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from .. import base64_text
from ..base64_text import Spelling

MARK = "$attachment"
LONG = 2048  # characters; a shorter string stays where it is
# Its media type, then parameters: names, with a value that may be quoted.
DATA_URL = re.compile(
    r"""\s*data:\s*([\w.+-]+/[\w.+-]+)?(?:\s*;(?:[^;,"]|"[^"]*")*)*?\s*;\s*base64\s*,\s*""",
    re.IGNORECASE,
)
LONGEST_PREFIX = 1000  # characters of a data: URL before its base64
# Fields whose base64 is a file, also where its first bytes tell nothing, as of raw audio.
FILE_FIELDS = (
    "data",
    "file_data",
    "b64_json",
    "audio",
    "blob",  # of MCP's resources
    "bytes",  # Bedrock's
    "base64",
    "b64",
)
MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
)


# More kinds, whose base64 is a file under any name. Their type is not told by these: it is in old
# rows as it was told then, and `proof` holds it against what is told today.
BEGINNINGS = (
    b"PK\x03\x04",  # ZIP, and what office programs write
    b"\x1aE\xdf\xa3",  # WebM, Matroska
    b"\xff\xf3",  # MP3 without a head, at other rates
    b"\xff\xf2",
    b"\xff\xfa",
    b"\xff\xf1",  # AAC
    b"\xff\xf9",
    b"#!AMR",
    b"II*\x00",  # TIFF
    b"MM\x00*",
    b"\x1f\x8b\x08",  # gzip
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",  # office programs of before 2007
)
RIFFS = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}


class Blob(NamedTuple):
    """A file that was taken out of a message."""

    sha256: bytes
    data: bytes
    media_type: str


def lighten(value: Any, blobs: list[Blob], name: str = "") -> Any:
    """Return the value without its files, which are added to `blobs`; `name` is its field's."""
    if type(value) is str:
        return _take_out(value, blobs, name) if len(value) >= LONG else value
    if type(value) is list:
        return [lighten(item, blobs, name) for item in value]
    if type(value) is dict:
        light = {key: lighten(item, blobs, key) for key, item in value.items()}
        return {MARK: light} if MARK in light else light
    return value


def read_file(digest: str) -> bytes:
    """Read a file of the storage by its sha256 (hex).

    Raises FileNotFoundError where it is lost, or another is in its place: that one was never sent.
    """
    with default_storage.open(storage_name(bytes.fromhex(digest))) as file:
        data: bytes = file.read()
    if sha256(data).hexdigest() != digest:
        raise FileNotFoundError(f"another file is in the place of {digest}")
    return data


def encode_file(digest: str, prefix: str, spelling: Spelling | None = None) -> str:
    """Make the string again that a file was taken from."""
    return prefix + base64_text.write(read_file(digest), spelling or {})


def describe_file(digest: str, prefix: str, spelling: Spelling | None = None) -> str:
    """Name a file in its place, for a reader."""
    return f"{prefix}[file with sha256 {digest}]"


def restore(value: Any, file: Callable[..., str] = encode_file) -> Any:
    """Return the value with what `file` makes of each file's sha256 (hex), prefix and spelling."""
    if type(value) is list:
        return [restore(item, file) for item in value]
    if type(value) is not dict:
        return value
    inner = value.get(MARK)
    if type(inner) is list:
        return file(*inner)
    if type(inner) is dict:
        value = inner
    return {key: restore(item, file) for key, item in value.items()}


class Reference(NamedTuple):
    """A file as a lightened value names it."""

    sha256: str  # hex
    prefix: str  # of its data: URL; empty where it was none

    @property
    def media_type(self) -> str:
        """What the sender declared; empty where that is told by the file's first bytes."""
        url = DATA_URL.match(self.prefix)
        return (url and url[1]) or ""


def list_references(value: Any) -> list[str]:
    """List the sha256 (hex) of each file that a lightened value refers to, in order."""
    return [file.sha256 for file in list_files(value)]


def list_files(value: Any) -> list[Reference]:
    """List the files that a lightened value refers to, in order."""
    if type(value) is dict:
        inner = value.get(MARK)
        if type(inner) is list:
            return [Reference(*inner[:2])]
        value = list((inner if type(inner) is dict else value).values())
    if type(value) is not list:
        return []
    return [file for item in value for file in list_files(item)]


def store(blobs: list[Blob]) -> None:
    """Put files into storage, before any row names them; one file of equal bytes is kept."""
    for blob in blobs:
        path = storage_name(blob.sha256)
        if default_storage.exists(path):
            if default_storage.size(path) == len(blob.data):
                continue
            default_storage.delete(path)  # half of it: a process was killed while it wrote
        default_storage.save(path, ContentFile(blob.data))


def storage_name(digest: bytes) -> str:
    return f"{digest.hex()[:2]}/{digest.hex()}"


def detect_media_type(data: bytes) -> str:
    """Tell a file's type by its first bytes, whatever the sender claims."""
    if data[:4] == b"RIFF" and data[8:12] in RIFFS:
        return RIFFS[data[8:12]]
    return next(
        (kind for magic, kind in MAGIC if data.startswith(magic)), "application/octet-stream"
    )


def is_file(data: bytes) -> bool:
    """Tell whether bytes begin like a known kind of file."""
    is_told = detect_media_type(data) != "application/octet-stream"
    # MP4, M4A, HEIC, AVIF have a length ahead; AIFF has one behind its first word.
    boxed = data[4:8] == b"ftyp" or (data[:4] == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"))
    return is_told or boxed or data.startswith(BEGINNINGS)


def _take_out(text: str, blobs: list[Blob], name: str) -> Any:
    """Return a reference to the file that a string holds; the string itself where it holds none."""
    url = DATA_URL.match(text, 0, LONGEST_PREFIX)
    prefix = url[0] if url else ""
    read = base64_text.read(text[len(prefix) :])
    if read is None:
        return text
    data, spelling = read
    if not url and not is_file(data) and name not in FILE_FIELDS:
        return text  # a long word is not a file
    digest = sha256(data).digest()
    blobs.append(Blob(digest, data, (url and url[1]) or detect_media_type(data)))
    return {MARK: [digest.hex(), prefix, spelling] if spelling else [digest.hex(), prefix]}
