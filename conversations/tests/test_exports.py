"""Exports as jobs: frozen, resumed after a kill, cancelled, expired.

Each proves itself, offline, or says what is wrong.
"""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
import zipfile
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from django.contrib.auth.models import Group
from django.db import transaction
from django.test import Client
from django.utils import timezone

from conversations import tasks
from conversations.exports import calls as tables
from conversations.exports import job, selection
from conversations.exports.formats import FORMATS
from conversations.models import AuditEvent, Conversation, Export, Message, Snapshot, User
from conversations.proof import checkpoints, sealing
from conversations.tests.calls import answer, ask, assistant, person, turn, user
from conversations.tests.cells import FORMULAS
from conversations.tests.pictures import picture
from conversations.tests.unguarded import unguarded

pytestmark = pytest.mark.django_db
NEW = "/admin/exports/new/"


@pytest.fixture(autouse=True)
def places(settings, tmp_path):
    settings.EXPORTS_DIR, settings.CHECKPOINT_FILE = (
        tmp_path / "exports",
        tmp_path / "checkpoints.jsonl",
    )


def seal() -> None:
    while sealing.seal():
        pass


def ask_for(desk: Client, format: str = "turns", *, of: str = "calls", **query: str) -> Export:
    response = desk.post(
        f"{NEW}?{'&'.join(f'{name}={value}' for name, value in ({'of': of} | query).items())}",
        {"format": format, "purpose": "case 12"},
    )
    assert response.status_code == 302, response.content
    return Export.objects.newest_first()[0]


def made(export: Export) -> Export:
    job.run_export(export)
    export.refresh_from_db()
    assert (export.state, export.problem) == (Export.State.DONE, "")
    return export


def rows(export: Export) -> list[dict[str, str]]:
    found = []
    for path in sorted(export.folder.glob("*.csv")):
        found += csv.DictReader(
            io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""), strict=True
        )
    return found


def talk(count: int) -> None:
    said = []
    for i in range(count):
        said.append(user(f"question {i}"))
        turn(person("alice"), said, f"answer {i}")
        said.append(assistant(f"answer {i}"))


# Frozen ---------------------------------------------------------------------------------------


def test_what_is_frozen_is_exported_whatever_happens_then(desk):
    talk(3)
    open_one = ask(person("bob"), [user("slow")])
    seal()
    export = ask_for(desk, user="alice")
    event = AuditEvent.objects.doing("export").get()
    assert json.loads(event.detail) | {"filter": None} == {
        "format": "turns",
        "purpose": "case 12",
        "of": "calls",
        "filter": None,
        "after": 0,
        "last": selection.newest_seal(),
    }
    answer(open_one, "at last")
    turn(person("alice"), [user("later")], "ok")
    seal()
    assert [row["asked"] for row in rows(made(export))] == [
        "question 0",
        "question 1",
        "question 2",
    ]
    again = made(ask_for(desk, since=""))
    assert len({row["id"] for row in rows(again)}) == 5
    assert [(path.stat().st_mode & 0o777) for path in [again.folder, *again.folder.iterdir()]] == [
        0o700
    ] + [0o600] * len(list(again.folder.iterdir()))


def test_conversations_of_a_filter_come_whole(desk):
    talk(2)
    turn(person("bob"), [user("needle")], "ok")
    seal()
    [row] = rows(made(ask_for(desk, "conversations", of="conversations", q="needle")))
    assert (row["user_name"], row["calls"]) == ("bob", "1")
    export = made(ask_for(desk, "transcript", of="conversations", user="alice"))
    [page] = export.folder.glob("*.html")
    assert "question 1" in page.read_text()
    assert "needle" not in page.read_text()
    done = desk.get(f"/admin/exports/{export.id}/").content.decode()
    assert "transcripts-0001.html" in done
    assert "<h1>HTML transcripts, for print</h1>" in done
    assert next(file["sha256"] for file in export.files if file["name"] == "manifest.json") in done


# Killed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["turns", "jsonl", "transcript"])
def test_a_worker_killed_anywhere_loses_nothing_and_doubles_nothing(desk, monkeypatch, format):
    for i in range(12):
        turn(person("alice"), [user(f"question {i}")], f"answer {i}")
    seal()
    monkeypatch.setattr(FORMATS[format], "at_once", 2)
    monkeypatch.setattr(FORMATS[format], "part", 5)
    monkeypatch.setattr(job, "SECONDS_BETWEEN_SAVES", -1)
    whole = made(ask_for(desk, format, of="calls"))
    expected = {
        file["name"]: (whole.folder / file["name"]).read_bytes()
        for file in whole.files
        if "rows" in file
    }
    assert len(expected) == 3

    class Killed(BaseException):
        pass

    kept, killed = Export.keep, []

    def dying(export, **changed):
        """After every second record of what is durable, with more written behind it."""
        answer = kept(export, **changed)
        if "taken" in changed and len(killed) < 5 and changed["taken"] not in killed:
            killed.append(changed["taken"])
            for file in changed["files"][-1:]:
                with open(export.folder / file["name"], "ab") as tail:
                    tail.write(b"half of a row that nobody record")
            (export.folder / f"{FORMATS[format].stem}-0009.{FORMATS[format].suffix}").write_bytes(
                b"a part that nobody knows"
            )
            raise Killed
        return answer

    export = ask_for(desk, format, of="calls")
    export.last = whole.last
    export.save()
    monkeypatch.setattr(Export, "keep", dying)
    for _ in range(5):
        with pytest.raises(Killed):
            job.run_export(Export.objects.get(pk=export.pk))
    made(Export.objects.get(pk=export.pk))
    assert len(killed) == 5
    export.refresh_from_db()
    assert {
        file["name"]: (export.folder / file["name"]).read_bytes()
        for file in export.files
        if "rows" in file
    } == expected
    assert [file["sha256"] for file in export.files if "rows" in file] == [
        file["sha256"] for file in whole.files if "rows" in file
    ]


def test_a_worker_that_leaves_hands_over(desk, monkeypatch):
    talk(5)
    seal()
    monkeypatch.setattr(tables.TurnsFormat, "at_once", 2)
    export = ask_for(desk)
    with pytest.raises(job.ExportStopped):
        job.run_export(export, lambda: True)
    export.refresh_from_db()
    assert (export.state, export.taken, export.percent) == (Export.State.RUNNING, 2, 40)
    with job.lock_export(export) as mine:
        assert mine
        job.run_export(export)  # another has it
        export.refresh_from_db()
        assert export.taken == 2
    assert [row["asked"] for row in rows(made(export))] == [f"question {i}" for i in range(5)]


def test_what_was_erased_meanwhile_is_left_out(desk, tmp_path):
    talk(2)
    gone = turn(person("bob"), [user("erased")], "ok")
    seal()
    for format, of in (
        ("jsonl", "calls"),
        ("turns", "calls"),
        ("conversations", "conversations"),
        ("transcript", "conversations"),
    ):
        export = ask_for(desk, format, of=of)
        kept = Export.keep

        def erase(export, kept=kept, **changed):
            answer = kept(export, **changed)
            if "total" in changed:
                with unguarded():
                    Message.objects.filter(snapshot=gone).delete()
                    Snapshot.objects.filter(pk=gone.pk).delete()
                    Conversation.objects.filter(pk=gone.conversation_id).delete()
            return answer

        with pytest.MonkeyPatch.context() as patch, transaction.atomic():
            patch.setattr(Export, "keep", erase)
            folder = unpacked(desk, made(export), tmp_path / format)
            transaction.set_rollback(True)
        manifest = orjson.loads((folder / "manifest.json").read_bytes())
        assert manifest["rows"] == (1 if of == "conversations" else 2)
        assert checked(folder).returncode == 0, checked(folder).stderr


# Ended ----------------------------------------------------------------------------------------


def test_cancelled_expired_and_failed_ones_leave_no_file(desk, rita, monkeypatch):
    talk(4)
    seal()
    export = ask_for(desk)
    assert desk.post(f"/admin/exports/{export.id}/cancel/").status_code == 302
    job.run_export(export)
    export.refresh_from_db()
    assert (export.state, export.folder.exists()) == (Export.State.CANCELLED, False)

    done = made(ask_for(desk))
    assert desk.get(f"/admin/exports/{done.id}/all.zip").status_code == 200
    Export.objects.filter(pk=done.pk).update(expires=timezone.now())
    assert desk.get(f"/admin/exports/{done.id}/all.zip").status_code == 404
    tasks.tidy_exports(0)
    done.refresh_from_db()
    assert (done.state, done.folder.exists(), done.total) == (Export.State.EXPIRED, False, 4)
    assert "has expired" in desk.get(f"/admin/exports/{done.id}/").content.decode()

    late = ask_for(desk)
    rita.groups.clear()
    job.run_export(late)
    late.refresh_from_db()
    assert (late.state, late.problem) == (
        Export.State.FAILED,
        "The rights of its owner have changed since it was requested.",
    )


def test_an_export_that_nobody_is_at_is_taken_up(desk):
    talk(1)
    seal()
    export = ask_for(desk)
    from procrastinate.contrib.django.models import ProcrastinateJob

    jobs = ProcrastinateJob.objects.filter(task_name="conversations.tasks.export")
    tasks.tidy_exports(0)
    assert jobs.count() == 1
    Export.objects.update(seen=timezone.now() - timedelta(minutes=6))
    tasks.tidy_exports(0)
    assert [each.args for each in jobs] == [{"id": str(export.id)}] * 2


# Pages ----------------------------------------------------------------------------------------


def test_exports_are_their_askers_alone(desk):
    talk(1)
    seal()
    export = made(ask_for(desk))
    other = User.objects.create_user("lena", is_staff=True)
    other.groups.set(Group.objects.filter(name__in=["Lead", "Auditor"]))
    auditor = User.objects.create_user("otto", is_staff=True)
    auditor.groups.set(Group.objects.filter(name="Auditor"))
    paths = ["", "progress/", "all.zip", "files/manifest.json"]
    for someone, status in ((other, 404), (auditor, 403)):
        client = Client()
        client.force_login(someone)
        assert {client.get(f"/admin/exports/{export.id}/{path}").status_code for path in paths} == {
            status
        }
        assert client.post(f"/admin/exports/{export.id}/cancel/").status_code == status
    assert str(export.id) in desk.get("/admin/exports/").content.decode()
    assert desk.get(f"/admin/exports/{export.id}/files/..%2Fmanifest.json").status_code == 404
    assert desk.get(f"/admin/exports/{export.id}/files/selection").status_code == 404
    before = AuditEvent.objects.count()
    assert (
        desk.get(f"/admin/exports/{export.id}/files/manifest.json").getvalue()
        == (export.folder / "manifest.json").read_bytes()
    )
    assert json.loads(AuditEvent.objects.order_by("-id")[0].detail) == {"file": "manifest.json"}
    assert AuditEvent.objects.count() == before + 1
    User.objects.filter(username="rita").update(reviews_departments=["Legal"])
    assert desk.get(f"/admin/exports/{export.id}/all.zip").status_code == 403


def test_the_form_wants_a_purpose_and_keeps_the_filter(desk):
    talk(2)
    seal()
    page = desk.get("/admin/conversations/snapshot/?user=alice").content.decode()
    [link] = re.findall(r'href="(/admin/exports/new/[^"]*)"', page)
    link = link.replace("&amp;", "&")
    assert "of=calls" in link
    assert "user=alice" in link
    form = desk.get(link).content.decode()
    assert "<strong>2 calls</strong>" in form
    for wrong in ({"format": "turns"}, {"format": "xlsx", "purpose": "x"}):
        assert desk.post(link, wrong).status_code == 400
    assert not Export.objects.exists()
    assert desk.get(f"{NEW}?of=everything").status_code == 404
    assert desk.get(f"{NEW}?of=calls&since=yesterday").status_code == 302
    running = ask_for(desk, user="alice")
    page = desk.get(f"/admin/exports/{running.id}/").content.decode()
    assert "<progress" in page
    assert '<noscript><meta http-equiv="refresh"' in page
    assert desk.get(f"/admin/exports/{running.id}/progress/").json() == {
        "state": "waiting",
        "percent": 0,
        "taken": 0,
        "total": None,
        "bytes": 0,
    }


# Proof ----------------------------------------------------------------------------------------


def checked(folder: Path, *keys: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-I", str(folder / "verify.py"), *keys],
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
    )


def sums(folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["/usr/bin/sha256sum", "--quiet", "-c", "SHA256SUMS"],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )


def unpacked(desk: Client, export: Export, to: Path) -> Path:
    """As whoever downloads it has it."""
    archive = zipfile.ZipFile(
        io.BytesIO(desk.get(f"/admin/exports/{export.id}/all.zip").getvalue())
    )
    assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}
    archive.extractall(to)
    [folder] = to.iterdir()
    return folder


@pytest.fixture
def faithful(desk, tmp_path) -> Path:
    """JSONL of every kind: tools, pictures, formulas, refusals, an image's prompt, echoes."""
    for formula in FORMULAS[:4]:
        turn(person("alice"), [user(formula)], formula)
    said = [{"role": "system", "content": "Be brief."}, picture()]
    turn(person("bob"), said, " spaced ", params={"temperature": 0.1, "seed": 12345678901234567890})
    said += [assistant("spaced"), user("and\0?")]
    turn(person("bob"), said, "yes", address="192.0.2.7", key="gw-12345678")
    record_refused = ask(person("carl"), [user("x")])
    answer(record_refused, None, status="failed")
    seal()
    return unpacked(desk, made(ask_for(desk, "jsonl", since="")), tmp_path / "unpacked")


def test_an_export_holds_offline(faithful):
    assert sums(faithful).returncode == 0
    found = checked(faithful, checkpoints.derive_public_key())
    assert found.returncode == 0, found.stderr
    assert "7 calls are, field for field, what was sealed." in found.stdout
    assert "confirms it up to seal" in found.stdout
    assert "which it names itself" in checked(faithful).stdout
    manifest = orjson.loads((faithful / "manifest.json").read_bytes())
    assert (manifest["by"], manifest["purpose"], manifest["rows"], manifest["frozen_at_seal"]) == (
        "rita",
        "case 12",
        7,
        selection.newest_seal(),
    )
    assert manifest["filter"]["words"] == "of all time"
    assert manifest["ledger_head"]["number"] == selection.newest_seal()
    assert "sha256sum -c SHA256SUMS" in (faithful / "README.txt").read_text()
    strange = checked(faithful, "00" * 32)
    assert strange.returncode == 1
    assert "not signed by a key that is trusted here" in strange.stderr


@pytest.mark.parametrize(
    "name",
    [
        "calls-0001.jsonl",
        "manifest.json",
        "range.jsonl",
        "checkpoint.jsonl",
        "manifest.sig",
        "README.txt",
    ],
)
def test_one_flipped_byte_fails(faithful, name):
    data = bytearray((faithful / name).read_bytes())
    data[len(data) // 2] ^= 1
    (faithful / name).write_bytes(data)
    assert sums(faithful).returncode == 1
    found = checked(faithful)
    assert found.returncode == 1
    assert (
        f"This export does not hold. {name} is not the file that SHA256SUMS means" in found.stderr
    )


def forged(folder: Path, name: str, old: bytes, new: bytes) -> str:
    """The chain's word on a change by a person who makes the sums anew and signs the manifest."""
    from hashlib import sha256

    from conversations import ledger

    data = (folder / name).read_bytes()
    assert old in data
    (folder / name).write_bytes(data.replace(old, new, 1))
    manifest = orjson.loads((folder / "manifest.json").read_bytes())
    for file in manifest["files"]:
        file |= {
            "bytes": (folder / file["name"]).stat().st_size,
            "sha256": sha256((folder / file["name"]).read_bytes()).hexdigest(),
        }
    text = orjson.dumps(manifest)
    (folder / "manifest.json").write_bytes(text)
    (folder / "manifest.sig").write_text(
        json.dumps(
            {
                "key": checkpoints.derive_public_key(),
                "signature": checkpoints.sign(ledger.encode_manifest_message(text)),
            }
        )
    )
    names = [line.partition("  ")[2] for line in (folder / "SHA256SUMS").read_text().splitlines()]
    (folder / "SHA256SUMS").write_text(
        "".join(f"{sha256((folder / each).read_bytes()).hexdigest()}  {each}\n" for each in names)
    )
    found = checked(folder)
    assert found.returncode == 1, found.stdout
    return found.stderr


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("calls-0001.jsonl", b"Be brief.", b"Be evil..", "another request or reply"),
        (
            "calls-0001.jsonl",
            b'"content":" spaced "',
            b'"content":" spaded "',
            "another request or reply",
        ),
        ("calls-0001.jsonl", b"192.0.2.7", b"192.0.2.8", "another address"),
        ("calls-0001.jsonl", b'"prompt_tokens":3', b'"prompt_tokens":4', "another prompt_tokens"),
        ("calls-0001.jsonl", b"iVBORw0KGgo", b"iVBORw0KGgp", "another request or reply"),
        ("range.jsonl", b"Be brief.", b"Be evil..", "is not what was sealed"),
        ("range.jsonl", b'"number":3', b'"number":4', "Seal 3 is missing"),
        ("range.jsonl", b'"digest":"', b'"digest":"00', "is not what was sealed"),
        (
            "checkpoint.jsonl",
            b'"link": "',
            b'"link": "00',
            "not signed by a key that is trusted here",
        ),
    ],
)
def test_what_was_forged_does_not_fit_the_chain(faithful, name, old, new, said):
    assert said in forged(faithful, name, old, new)


def test_a_call_left_out_is_missed(faithful):
    lines = (faithful / "calls-0001.jsonl").read_bytes().splitlines(keepends=True)
    assert "but 6 are in the export" in forged(faithful, "calls-0001.jsonl", lines[2], b"")


def test_a_filtered_export_says_what_it_does_not_prove(desk, tmp_path):
    talk(3)
    turn(person("bob"), [user("other")], "ok")
    seal()
    calls = list(Snapshot.objects.order_by("id"))
    folder = unpacked(desk, made(ask_for(desk, "jsonl", q=f"id:{calls[2].id!s}")), tmp_path / "one")
    found = checked(folder)
    assert found.returncode == 0, found.stderr
    assert "Of 1 more, messages came with earlier calls that are not in this export" in found.stdout
    assert "question 0" not in (folder / "range.jsonl").read_text()
    for format, of in (
        ("turns", "calls"),
        ("conversations", "conversations"),
        ("transcript", "conversations"),
    ):
        folder = unpacked(desk, made(ask_for(desk, format, of=of)), tmp_path / format)
        assert sums(folder).returncode == 0
        found = checked(folder)
        assert found.returncode == 0, found.stderr
        assert "held by the signature alone" in found.stdout


def test_attachments_are_files_of_their_own(desk, tmp_path):
    turn(person("alice"), [picture()], "a picture")
    seal()
    folder = unpacked(desk, made(ask_for(desk, "attachments")), tmp_path / "files")
    [file] = (folder / "attachments").iterdir()
    assert sums(folder).returncode == checked(folder).returncode == 0
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert sums(folder).returncode == 1
    assert "attachments/" in checked(folder).stderr


def test_an_export_of_nothing_holds_too(desk, tmp_path):
    export = made(ask_for(desk))
    folder = unpacked(desk, export, tmp_path / "none")
    assert sums(folder).returncode == checked(folder).returncode == 0
    shutil.rmtree(folder)


def test_the_program_knows_the_columns_that_are_sealed():
    source = (Path(job.__file__).with_name("verify.py")).read_text()
    names = re.search(r'CALL = """(.*?)"""', source, re.DOTALL)[1].split()
    sealed = [each.split('"')[1] for each in sealing.CALL.split(", ") if '"' in each]
    fields = [
        Snapshot._meta.get_field(name).column for name in names if name not in ("messages", "about")
    ]
    assert fields == sealed
