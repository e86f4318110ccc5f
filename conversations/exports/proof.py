"""What makes a folder of files an export that proves itself.

These are the range of the chain, a checkpoint, the manifest, its sums and signature, and the
programs that check them all.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC
from hashlib import file_digest
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from django.conf import settings
from django.template.loader import render_to_string

from .. import base64_text, ledger, speech
from ..ledger import Checkpoint
from ..models import Export, Seal
from ..proof import checkpoints, sealing
from . import listing
from .durable import flush_to_disk, open_private
from .format import Format
from .listing import COPIES, MANIFEST, SIGNATURE, SUMS, Listed
from .selection import Chosen

CHAIN, MARK = "range.jsonl", "checkpoint.jsonl"
PROGRAMS = (
    Path(ledger.__file__),
    Path(listing.__file__),
    Path(base64_text.__file__),
    Path(__file__).with_name("verify.py"),  # for the holder of an export: not imported here
)
SPEECH = "speech"  # a folder of programs, which those above need
AT_ONCE = 200  # calls whose texts are read in one go


def add_proof(export: Export, layout: Format, chosen: Chosen) -> None:
    """Write the proof, again after a worker that was killed here and left half of it.

    Raises Altered where a copied file is not the one that its name says.
    """
    folder, copies = export.folder, list(_list_copies(export.folder))
    first = next(
        (seal for stretch in chosen.stretches(1) for seal in stretch.seals.values()), export.last
    )
    mark = find_checkpoint(first, export.last)
    listed = [*export.files, *_write_chain(export, layout, chosen, first, mark)]
    listed += [write_file(folder, program.name, [program.read_bytes()]) for program in PROGRAMS]
    programs = list(_write_speech(folder))
    manifest = manifest_of(export, layout, first, mark, listed)
    if copies:
        of_copies = _sum_up(COPIES, copies)
        manifest["attachments"] = {"files": of_copies["files"], "bytes": of_copies["bytes"]}
    readme = render_to_string("exports/README.txt", {"export": manifest, "whole": layout.whole})
    listed.append(write_file(folder, "README.txt", [readme.encode()]))
    inner = [*programs, *copies]
    signed = list(_write_signed(folder, manifest, [*listed, *inner]))
    sums = (f"{file['sha256']}  {file['name']}\n" for file in (*listed, *inner, *signed))
    listed += [*signed, write_file(folder, SUMS, map(str.encode, sums))]
    listed.append(_sum_up(SPEECH, programs))
    if copies:
        listed.append(_sum_up(COPIES, copies))
    export.keep(files=listed)


def _write_speech(folder: Path) -> Iterator[dict[str, Any]]:
    """Write the programs that make a request again from its rows, in a folder of their own."""
    (folder / SPEECH).mkdir(mode=0o700, exist_ok=True)
    for program in sorted(Path(speech.__file__).parent.glob("*.py")):
        yield write_file(folder, f"{SPEECH}/{program.name}", [program.read_bytes()])


def _sum_up(name: str, files: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what an export's page lists of a folder in it."""
    return {"name": name, "bytes": sum(file["bytes"] for file in files), "files": len(files)}


def _list_copies(folder: Path) -> Iterator[dict[str, Any]]:
    """List the attachments in the export, as they are, without a half-written one."""
    for path in sorted((folder / COPIES).glob("*")):
        if path.suffix == ".new":
            path.unlink()
            continue
        name, digest = f"{COPIES}/{path.name}", path.stem
        listing.check_digest(name, Listed(digest, None), listing.read_digest(folder, name))
        yield {"name": name, "bytes": path.stat().st_size, "sha256": digest}


def _write_chain(
    export: Export, layout: Format, chosen: Chosen, first: int, mark: Checkpoint | None
) -> Iterator[dict[str, Any]]:
    if export.last:
        end = max(export.last, mark.number if mark else 0)
        lines = chain_lines(first, end, chosen if layout.whole else None)
        yield write_file(export.folder, CHAIN, lines)
    if mark:
        yield write_file(export.folder, MARK, [_as_line(mark._asdict())])


def _write_signed(
    folder: Path, manifest: dict[str, Any], listed: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """The manifest with all files but those that hold it, and its signature."""
    manifest["files"] = [
        {name: file[name] for name in ("name", "bytes", "rows", "sha256") if name in file}
        for file in listed
    ]
    text = orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    signature = {
        "key": checkpoints.derive_public_key(),
        "signature": checkpoints.sign(ledger.encode_manifest_message(text)),
    }
    yield write_file(folder, MANIFEST, [text])
    yield write_file(folder, SIGNATURE, [_as_line(signature)])


def _as_line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


def manifest_of(
    export: Export,
    layout: Format,
    first: int,
    mark: Checkpoint | None,
    listed: list[dict[str, Any]],
) -> dict[str, Any]:
    head = Seal.objects.filter(number=export.last).first()
    return {
        "what": "An export of LLM Gateway",
        "version": listing.FORM,
        "id": str(export.id),
        "by": export.owner.get_username(),
        "asked": export.asked.astimezone(UTC).isoformat(timespec="seconds"),
        "purpose": export.purpose,
        "format": layout.name,
        "rows": sum(file.get("rows", 0) for file in listed),
        "row_is_a": "conversation" if layout.conversations else "call",
        "filter": {
            "words": export.words,
            "of": export.of,
            "fields": orjson.loads(export.query),
            "time_zone": export.zone,
        },
        "frozen_at_seal": export.last,
        "first_seal": first if export.total else None,
        "ledger_head": {"number": head.number, "link": bytes(head.link).hex()} if head else None,
        "checkpoint": mark._asdict() if mark else None,
        "key_of_the_gateway": checkpoints.derive_public_key(),
        "aliases": bool(layout.names.hidden),
        "whole_requests_and_replies": layout.whole,
    }


def find_checkpoint(first: int, last: int) -> Checkpoint | None:
    """The first mark at or after the seal at which the export is frozen, of a former key maybe.

    Without one, the newest that is in the export's range.
    """
    newest = None
    for attempt in range(2):
        try:
            for mark in checkpoints.read_checkpoints():
                newest = mark if mark.number >= first else newest
                if mark.number >= last:
                    return mark
        except ledger.BrokenChain:
            if not settings.CHECKPOINT_FILE.exists() and attempt == 0:
                checkpoints.write_checkpoint(now=True)
                continue
            raise
        if attempt == 0:
            checkpoints.write_checkpoint(now=True)
    return newest


def chain_lines(first: int, last: int, chosen: Chosen | None) -> Iterator[bytes]:
    """The range of the chain, a line a seal.

    With chosen calls, also their sealed texts, and those of the messages that they brought: for
    formats that hold all of that anyway.
    """
    lines = sealing.export_lines(first, last)
    if chosen is None:
        yield from lines
        return
    rows = (
        (number, call)
        for stretch in chosen.stretches(AT_ONCE)
        for call, number in stretch.seals.items()
    )
    following = next(rows, None)
    while batch := [orjson.loads(line) for line in islice(lines, AT_ONCE)]:
        calls = {}
        while following and following[0] <= batch[-1]["number"]:
            calls[following[0]] = following[1]
            following = next(rows, None)
        subjects = ((str(sealing.SNAPSHOT), call) for call in calls.values())
        texts = sealing.read_texts(subjects) if calls else {}
        brought = sealing.read_message_texts(calls.values()) if calls else {}
        for line in batch:
            if (call := calls.get(line["number"])) in texts:
                line |= {"text": texts[call], "messages": brought.get(call, [])}
            yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def write_file(folder: Path, name: str, pieces: Iterable[bytes]) -> dict[str, Any]:
    """Write a durable file into the folder; as the manifest lists it."""
    with open_private(folder / name) as file:
        size = 0
        for piece in pieces:
            size += file.write(piece)
        flush_to_disk(file)
        file.seek(0)
        return {"name": name, "bytes": size, "sha256": file_digest(file, "sha256").hexdigest()}
