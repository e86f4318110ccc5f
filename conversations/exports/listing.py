"""What lies in an export's folder, held against its list: nothing more and nothing less.

The gateway asks it before files leave, and verify.py afterwards, so it needs Python alone. That the
list is signed, and by which key, is asked elsewhere.
"""

import csv
import os
import re
from collections.abc import Iterator
from hashlib import file_digest
from pathlib import Path
from typing import Any, NamedTuple

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
SUMS = "SHA256SUMS"
HOLDERS = (MANIFEST, SIGNATURE, SUMS)  # which hold the list, and so are not in it
COPIES = "attachments"  # a folder of copied files, each named by its sha256
# Of the manifests that are written. One of form 1 does not name copied files, and before form 3 no
# folder of programs is here, nor are a conversation's tools said once.
FORM = 3
# Of the files that an export has: the same on every file system, and never outside.
NAME = re.compile(r"(?:[A-Za-z0-9_-]+/)?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
DIGEST = re.compile(r"[0-9a-f]{64}")


class Altered(Exception):
    """The folder is not what was listed. The text names the first file, and says how."""


class Missing(Altered):
    """A file is not here, or not all of it."""


class Listed(NamedTuple):
    """A file as the list has it."""

    sha256: str
    size: int | None  # bytes; None where the list does not say


def check_folder(
    folder: Path, manifest: dict[str, Any], apart: dict[str, Listed]
) -> dict[str, Listed]:
    """Hold the names and sizes in a folder against its manifest; every file as it is listed.

    `apart` are the files of HOLDERS, which the manifest cannot name. Raises Altered, Missing.
    """
    here = set(find_files(folder))
    listed = apart | read_manifest(manifest)
    if manifest["version"] == 1 and "attachments" in manifest:
        listed |= read_copies(folder, listed)
    if gone := listed.keys() - here:
        raise Missing(f"{min(gone)} is missing.")
    if more := here - listed.keys():
        raise Altered(f"{min(more)} is here, but not in {MANIFEST}: it was put in.")
    for name, file in listed.items():
        size = measure(folder, name)
        if file.size is not None and size != file.size:
            kind = Missing if size < file.size else Altered
            raise kind(f"{name} has {size} bytes, not {file.size}.")
    check_copies(folder, manifest, listed)
    return listed


def read_manifest(manifest: dict[str, Any]) -> dict[str, Listed]:
    """Return the files that the manifest names. Raises Altered."""
    if manifest["version"] not in (1, 2, FORM):
        raise Altered(f"{MANIFEST} is of form {manifest['version']}, which is not known here.")
    listed: dict[str, Listed] = {}
    taken = {name.lower() for name in HOLDERS}
    for file in manifest["files"]:
        name = check_name(file["name"], MANIFEST)
        if name.lower() in taken:  # as file systems of some machines see it
            raise Altered(f"{MANIFEST} names {name} twice.")
        taken.add(name.lower())
        listed[name] = Listed(file["sha256"], file["bytes"])
    rows = [file["rows"] for file in manifest["files"] if "rows" in file]
    if not rows or sum(rows) != manifest["rows"]:
        raise Altered(f"{MANIFEST} does not name the files of its {manifest['rows']} rows.")
    return listed


def read_copies(folder: Path, listed: dict[str, Listed]) -> dict[str, Listed]:
    """Return the copied files that the listed CSVs name. Raises Altered, Missing."""
    copies: dict[str, Listed] = {}
    for name, file in listed.items():
        if name.endswith(".csv"):
            check_digest(name, file, read_digest(folder, name))
            with open(folder / name, encoding="utf-8-sig", newline="") as lines:
                for row in csv.DictReader(lines):
                    if row["file"]:  # not lost
                        copies[check_name(row["file"], name)] = Listed(row["sha256"], None)
    return copies


def check_copies(folder: Path, manifest: dict[str, Any], listed: dict[str, Listed]) -> None:
    """Hold the copied files against how many the manifest says there are. Raises Altered."""
    sizes = [measure(folder, name) for name in listed if name.startswith(f"{COPIES}/")]
    said = manifest.get("attachments", {"files": 0, "bytes": 0})
    if (len(sizes), sum(sizes)) != (said["files"], said["bytes"]):
        raise Altered(f"The files in {COPIES} are not the {said['files']} of {MANIFEST}.")


def check_name(name: str, where: str) -> str:
    """Return the name. Raises Altered where no export gives a file such a name."""
    if not NAME.fullmatch(name):
        raise Altered(f"{where} names {name}, which is outside of what an export may hold.")
    return name


def check_digest(name: str, file: Listed, digest: str) -> None:
    """Hold the sha256 of a file against the list, and against its name. Raises Altered."""
    named = Path(name).stem
    if DIGEST.fullmatch(named) and digest != named:
        raise Altered(f"{name} is not the file with sha256 {named}.")
    if digest != file.sha256:
        raise Altered(f"{name} is not the file that was made.")


def find_files(folder: Path, inner: str = "") -> Iterator[str]:
    """Yield the names of all files in a folder, hidden ones too; of an empty folder, `name/`.

    Raises Altered for what is neither a file nor a folder.
    """
    with os.scandir(folder / inner) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    if inner and not found:
        yield f"{inner}/"
    for entry in found:
        name = f"{inner}/{entry.name}" if inner else entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from find_files(folder, name)
        elif entry.is_file(follow_symlinks=False):
            yield name
        else:
            raise Altered(f"{name} is a link, or no file: it was put in.")


def read_digest(folder: Path, name: str) -> str:
    """Return the sha256 of a file. Raises Missing."""
    try:
        with open(folder / name, "rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        raise Missing(f"{name} is missing.") from None


def measure(folder: Path, name: str) -> int:
    return (folder / name).lstat().st_size
