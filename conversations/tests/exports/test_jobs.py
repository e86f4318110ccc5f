"""Exports as jobs: frozen, resumed after a kill, cancelled, expired; their pages."""

import csv
import io
import json
import re
from datetime import timedelta

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
from conversations.tests.calls import answer, ask, person, turn, user
from conversations.tests.exports.jobs import NEW, ask_for, checked, made, seal, talk, unpacked
from conversations.tests.unguarded import unguarded

pytestmark = pytest.mark.django_db


def rows(export: Export) -> list[dict[str, str]]:
    found = []
    for path in sorted(export.folder.glob("*.csv")):
        found += csv.DictReader(
            io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""), strict=True
        )
    return found


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
    for path in [again.folder, *again.folder.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


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
