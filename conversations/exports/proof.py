"""What makes a folder of files an export that proves itself: the range of the chain, a checkpoint, the manifest, its sums and signature, and the
programs that check them all.
"""

import json
import os
from collections.abc import Iterator
from datetime import UTC
from hashlib import file_digest
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from django.conf import settings
from django.template.loader import render_to_string

from .. import ledger
from ..ledger import Checkpoint
from ..models import Export, Seal
from ..proof import checkpoints, sealing
from . import files
from .format import Format
from .selection import Chosen

MANIFEST, SIGNATURE, SUMS, CHAIN, MARK = (
    "manifest.json",
    "manifest.sig",
    "SHA256SUMS",
    "range.jsonl",
    "checkpoint.jsonl",
)
PROGRAMS = (
    Path(ledger.__file__),
    Path(__file__).with_name("verify.py"),
)  # the second is for whoever has an export: it is not imported here
AT_ONCE = 200  # calls whose texts are read in one go


def add(export: Export, made: Format, chosen: Chosen) -> None:
    """Written anew as often as it takes: a worker that was killed here leaves half of it."""
    folder = export.folder
    listed = [*export.files]
    first = next(
        (seal for stretch in chosen.stretches(1) for seal in stretch.seals.values()), export.last
    )
    mark = covering(first, export.last)
    if export.last:
        end = max(export.last, mark.number if mark else 0)
        listed.append(keep(folder, CHAIN, chain(first, end, chosen if made.whole else None)))
    if mark:
        listed.append(keep(folder, MARK, [json.dumps(mark._asdict()).encode() + b"\n"]))
    listed += [keep(folder, program.name, [program.read_bytes()]) for program in PROGRAMS]
    pictures = (
        sorted(path for path in (folder / files.FOLDER).glob("*") if path.suffix != ".new")
        if (folder / files.FOLDER).exists()
        else []
    )
    sizes = [path.stat().st_size for path in pictures]
    said = manifest(export, made, first, mark, listed) | (
        {"attachments": {"files": len(pictures), "bytes": sum(sizes)}} if pictures else {}
    )
    listed.append(
        keep(
            folder,
            "README.txt",
            [
                render_to_string(
                    "exports/README.txt", {"export": said, "whole": made.whole}
                ).encode()
            ],
        )
    )
    said["files"] = [
        {name: file[name] for name in ("name", "bytes", "rows", "sha256") if name in file}
        for file in listed
    ]
    text = orjson.dumps(said, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    listed.append(keep(folder, MANIFEST, [text]))
    signature = {
        "key": checkpoints.public_key(),
        "signature": checkpoints.sign(ledger.message_of(text)),
    }
    listed.append(keep(folder, SIGNATURE, [json.dumps(signature).encode() + b"\n"]))
    named = [(file["sha256"], file["name"]) for file in listed] + [
        (path.stem, f"{files.FOLDER}/{path.name}") for path in pictures
    ]
    listed.append(keep(folder, SUMS, (f"{digest}  {name}\n".encode() for digest, name in named)))
    shown = (
        [{"name": files.FOLDER, "bytes": sum(sizes), "files": len(pictures)}] if pictures else []
    )
    export.keep(files=[*listed, *shown])


def manifest(
    export: Export, made: Format, first: int, mark: Checkpoint | None, listed: list[dict[str, Any]]
) -> dict[str, Any]:
    head = Seal.objects.filter(number=export.last).first()
    return {
        "what": "An export of LLM Gateway",
        "version": 1,
        "id": str(export.id),
        "by": export.owner.get_username(),
        "asked": export.asked.astimezone(UTC).isoformat(timespec="seconds"),
        "purpose": export.purpose,
        "format": made.name,
        "rows": sum(file.get("rows", 0) for file in listed),
        "row_is_a": "conversation" if made.conversations else "call",
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
        "key_of_the_gateway": checkpoints.public_key(),
        "aliases": bool(made.names.hidden),
        "whole_requests_and_replies": made.whole,
        "files": listed,
    }


def covering(first: int, last: int) -> Checkpoint | None:
    """The first mark at or after the seal at which the export is frozen; else the newest that is in its range."""
    newest = None
    for attempt in range(2):
        try:
            for mark in checkpoints.read():
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


def chain(first: int, last: int, chosen: Chosen | None) -> Iterator[bytes]:
    """The range; with the sealed texts of the chosen calls, and of the messages that they brought, where the export has all of that anyway."""
    lines = sealing.lines(first, last)
    if chosen is None:
        yield from lines
        return
    rows = (
        (number, id)
        for stretch in chosen.stretches(AT_ONCE)
        for id, number in stretch.seals.items()
    )
    following = next(rows, None)
    while batch := [orjson.loads(line) for line in islice(lines, AT_ONCE)]:
        calls = {}
        while following and following[0] <= batch[-1]["number"]:
            calls[following[0]] = following[1]
            following = next(rows, None)
        texts = sealing.texts((str(sealing.SNAPSHOT), id) for id in calls.values()) if calls else {}
        brought = sealing.brought(calls.values()) if calls else {}
        for line in batch:
            if (id := calls.get(line["number"])) in texts:
                line |= {"text": texts[id], "messages": brought.get(id, [])}
            yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def keep(folder: Path, name: str, pieces) -> dict[str, Any]:
    """A file of the folder, durable."""
    path = folder / name
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "w+b") as file:
        size = 0
        for piece in pieces:
            size += file.write(piece)
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        return {"name": name, "bytes": size, "sha256": file_digest(file, "sha256").hexdigest()}
