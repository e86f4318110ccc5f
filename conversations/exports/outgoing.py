"""An export's files as they leave: those that were signed, as they were signed, and no other.

The row of the export holds the sums of the manifest and its signature, the manifest those of all
other files. Names and sizes are held against them at once, what a file says while it leaves.
"""

from collections.abc import Iterator
from hashlib import sha256

import orjson
from django.utils.translation import gettext as _

from ..models import Export
from .listing import HOLDERS, MANIFEST, Altered, Listed, Missing, check_digest, check_folder

PIECE = 1 << 18  # bytes


def list_files(export: Export) -> dict[str, Listed]:
    """Return all files of a finished export. Raises Missing where one is not on this machine.

    Raises Altered where another file is in its place, or one more.
    """
    apart = {
        file["name"]: Listed(file["sha256"], file["bytes"])
        for file in export.files
        if file["name"] in HOLDERS
    }
    try:
        manifest = (export.folder / MANIFEST).read_bytes()
        if sha256(manifest).hexdigest() != apart[MANIFEST].sha256:
            raise Altered(f"{MANIFEST} is not the one that was signed.")
        return check_folder(export.folder, orjson.loads(manifest), apart)
    except OSError:
        raise Missing(_("A file is not here.")) from None


def stream_file(export: Export, name: str, listed: Listed) -> Iterator[bytes]:
    """A file in pieces; the last leaves only where the whole is what was signed.

    Raises Altered where it is not, and the export gives no file any more.
    """
    digest, held = sha256(), b""
    with open(export.folder / name, "rb") as file:
        while data := file.read(PIECE):
            digest.update(data)
            if held:
                yield held
            held = data
    try:
        check_digest(name, listed, digest.hexdigest())
    except Altered as problem:
        export.distrust(str(problem))
        raise
    yield held
