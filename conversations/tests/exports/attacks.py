"""What is done to an export's folder, a row an attack: what verify.py says, and the gateway.

verify.py is asked in the hands of a recipient, after a forger made the sums anew; where `signed`,
also the manifest, under a key that the recipient trusts. The gateway is asked for its own copy.
"""

import json
import os
import re
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from django.test import Client

from conversations.exports.listing import FORM, Altered
from conversations.models import Export
from conversations.tests.exports.forger import OWN_NAME, list_anew, sign, sum_anew
from conversations.tests.exports.jobs import find_problem

OTHER = b"\x89PNG\r\n\x1a\nanother picture"


class Attack(NamedTuple):
    act: Callable[[Path], None]
    verify_says: str
    gateway_says: str
    signed: bool = False  # the manifest, anew
    summed: bool = True


def one_picture(folder: Path) -> Path:
    return sorted((folder / "attachments").iterdir())[0]


def replace_picture(folder: Path) -> None:
    """By one of the same length."""
    path = one_picture(folder)
    path.write_bytes(path.read_bytes()[:-8] + b"replaced")


def replace_listed_picture(folder: Path) -> None:
    replace_picture(folder)
    list_anew(folder)


def rename_picture(folder: Path) -> None:
    """Replace it, and name the other one by its own sha256."""
    path = one_picture(folder)
    path.unlink()
    path.with_name(f"{sha256(OTHER).hexdigest()}.png").write_bytes(OTHER)


def swap_pictures(folder: Path) -> None:
    one, other = sorted((folder / "attachments").iterdir())
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data)


def put_in(name: str, data: bytes = b"x") -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)

    return act


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def rename(before: str, after: str) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        (folder / before).rename(folder / after)

    return act


def link(name: str, target: str) -> Callable[[Path], None]:
    """Put a link, where there may be a file or a folder, which goes elsewhere."""

    def act(folder: Path) -> None:
        if (folder / name).exists():
            shutil.move(folder / name, elsewhere := folder.parent / f"{folder.name} {name}")
            os.symlink(elsewhere, folder / name)
        else:
            os.symlink(target, folder / name)

    return act


def relist(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Callable:
    def act(folder: Path) -> None:
        path = folder / "manifest.json"
        manifest = json.loads(path.read_bytes())
        path.write_text(json.dumps(manifest | {"files": change(manifest["files"])}))

    return act


def rewrite(**changes: Any) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        path = folder / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_bytes()) | changes))

    return act


def sign_another(folder: Path) -> None:
    """By the forger's key, and as long as the genuine one."""
    sign(folder, b"x")
    with open(folder / "manifest.sig", "a") as file:
        file.write("\n")


def listed(name: str) -> dict[str, Any]:
    return {"name": name, "bytes": 1, "sha256": sha256(b"x").hexdigest()}


CSV = "attachments-0001.csv"
PUT_IN = "is here, but not in manifest.json: it was put in"
NOT_HERE = "not on this machine"
ANOTHER = "manifest.json is not the one that was signed"
SIGNED = {"signed": True}
ATTACKS = {
    "a picture is replaced": Attack(
        replace_picture, "is not the file with sha256", "is not the file with sha256"
    ),
    "a picture is replaced, and listed": Attack(
        replace_listed_picture, "is not the file with sha256", ANOTHER, **SIGNED
    ),
    "a picture is replaced, and renamed": Attack(rename_picture, "is missing", NOT_HERE),
    "two pictures change places": Attack(
        swap_pictures, "is not the file with sha256", "is not the file with sha256"
    ),
    "a picture is missing": Attack(
        lambda folder: one_picture(folder).unlink(), "is missing", NOT_HERE
    ),
    "all pictures are missing": Attack(
        lambda folder: shutil.rmtree(folder / "attachments"), "is missing", NOT_HERE
    ),
    "calls-0002.jsonl is put in": Attack(put_in("calls-0002.jsonl"), PUT_IN, PUT_IN),
    "a second CSV is put in": Attack(put_in("attachments-0002.csv"), PUT_IN, PUT_IN),
    "a picture is put in": Attack(
        put_in(f"attachments/{sha256(OTHER).hexdigest()}.png", OTHER), PUT_IN, PUT_IN
    ),
    "a file in another folder": Attack(put_in("more/notes.txt"), PUT_IN, PUT_IN),
    "a file in a folder of a folder": Attack(
        put_in("attachments/a/b.png"), "which is outside", PUT_IN
    ),
    "a hidden file": Attack(put_in(".calls-0002.jsonl"), "which is outside", PUT_IN),
    "a hidden folder": Attack(put_in(".git/config"), "which is outside", PUT_IN),
    "an empty folder": Attack(lambda folder: (folder / "empty").mkdir(), PUT_IN, PUT_IN),
    "a CSV is missing": Attack(remove(CSV), "is missing", NOT_HERE),
    "a text is missing": Attack(remove("README.txt"), "is missing", NOT_HERE),
    "a CSV is cut": Attack(lambda folder: os.truncate(folder / CSV, 9), "has 9 bytes", NOT_HERE),
    "a CSV is longer": Attack(
        lambda folder: put_in(CSV, (folder / CSV).read_bytes() + b"x")(folder), "bytes", "bytes"
    ),
    "a name in capitals": Attack(rename(CSV, CSV.upper()), "is missing", NOT_HERE),
    "a name in capitals besides": Attack(put_in(CSV.upper()), PUT_IN, PUT_IN),
    "a link in a file's place": Attack(link(CSV, ""), "is a link", "is a link"),
    "a link in a folder's place": Attack(link("attachments", ""), "is a link", "is a link"),
    "a link to a file of it": Attack(link("more.csv", CSV), "is a link", "is a link"),
    "a link to nothing": Attack(link("more.csv", "nothing"), "is a link", "is a link"),
    "a pipe": Attack(lambda folder: os.mkfifo(folder / "pipe"), "or no file", "or no file"),
    "an empty list": Attack(relist(lambda _: []), "does not name the files", ANOTHER, **SIGNED),
    "a list without pictures": Attack(
        relist(lambda files: [file for file in files if "/" not in file["name"]]),
        PUT_IN,
        ANOTHER,
        **SIGNED,
    ),
    "a list without rows": Attack(
        relist(lambda files: [file for file in files if "rows" not in file]),
        "does not name the files of its",
        ANOTHER,
        **SIGNED,
    ),
    "a list with more": Attack(
        relist(lambda files: [*files, listed("more.csv")]),
        "more.csv is missing",
        ANOTHER,
        **SIGNED,
    ),
    "a list with a file twice": Attack(
        relist(lambda files: [*files, files[-1]]), "twice", ANOTHER, **SIGNED
    ),
    "a list with a file twice, once in capitals": Attack(
        relist(lambda files: [*files, listed(CSV.upper())]), "twice", ANOTHER, **SIGNED
    ),
    "a list with itself": Attack(
        relist(lambda files: [*files, listed("Manifest.json")]), "twice", ANOTHER, **SIGNED
    ),
    "a list that leads outside": Attack(
        relist(lambda files: [*files, listed("../outside")]),
        "names ../outside, which is outside",
        ANOTHER,
        **SIGNED,
    ),
    "a list of another size": Attack(
        relist(lambda files: [files[0] | {"bytes": 1}, *files[1:]]),
        "bytes, not 1",
        ANOTHER,
        **SIGNED,
    ),
    "another number of pictures": Attack(
        rewrite(attachments={"files": 1, "bytes": 1}), "are not the 1 of", ANOTHER, **SIGNED
    ),
    "an unknown form": Attack(
        rewrite(version=FORM + 1), "which is not known here", ANOTHER, **SIGNED
    ),
    "another purpose": Attack(rewrite(purpose="another"), "not signed by a key", ANOTHER),
    "no signature": Attack(remove("manifest.sig"), "manifest.sig is missing", NOT_HERE),
    "the signature of another key": Attack(
        sign_another, "not signed by a key", "manifest.sig is not the file that was made"
    ),
    "no manifest": Attack(remove("manifest.json"), "manifest.json", NOT_HERE),
    "no sums": Attack(remove("SHA256SUMS"), "SHA256SUMS", NOT_HERE, summed=False),
}


def key_of(folder: Path) -> str:
    return json.loads((folder / "manifest.json").read_bytes())["key_of_the_gateway"]


def sign_anew(folder: Path) -> None:
    """With the forger's own key, the manifest as it is, which then names that key."""
    rewrite(key_of_the_gateway=OWN_NAME)(folder)
    text = (folder / "manifest.json").read_bytes()
    sign(folder, f"manifest {sha256(text).hexdigest()}".encode())


def verify_says(genuine: Path, attack: Attack, to: Path) -> str:
    folder = shutil.copytree(genuine, to)
    keys = [key_of(folder)]
    attack.act(folder)
    if attack.signed:
        sign_anew(folder)
        keys.append(OWN_NAME)
    if attack.summed:
        sum_anew(folder)
    return find_problem(folder, *keys)


def gateway_says(desk: Client, export: Export) -> str:
    """What the reader of a ZIP is told, and that the page tells it too."""
    page = f"/admin/exports/{export.id}/"
    answer = desk.get(f"{page}all.zip")
    if answer.status_code == 200:
        try:
            sent = list(answer.streaming_content)
        except Altered as problem:
            said = str(problem)
        else:
            said = ""
            assert sent
        if said:
            assert desk.get(f"{page}all.zip").status_code == 404  # from now on
            assert said in desk.get(page).content.decode()
        return said
    assert answer.status_code == 410
    [says] = re.findall(r'role="alert">([^<]*)<', answer.content.decode())
    assert says in desk.get(page).content.decode()
    assert desk.get(f"{page}files/README.txt").status_code == 410
    return says
