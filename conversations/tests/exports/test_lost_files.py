"""Files of an export that are not on this machine: said, never left out, never counted as gone."""

import os
import shutil

import pytest
from django.utils import timezone

from conversations import tasks
from conversations.exports import job
from conversations.models import AuditEvent, Export
from conversations.tests.calls import person, turn, user
from conversations.tests.exports.jobs import ask_for, made, seal, talk
from conversations.tests.pictures import picture

pytestmark = pytest.mark.django_db


def remove(export: Export, what: str) -> None:
    if what == "folder":
        shutil.rmtree(export.folder)
    elif what == "shortened":
        os.truncate(export.folder / "SHA256SUMS", 3)
    else:
        next(export.folder.glob(what)).unlink()


@pytest.mark.parametrize(
    "what", ["folder", "attachments-*.csv", "manifest.json", "attachments/*", "shortened"]
)
def test_files_that_are_not_here_are_said_and_do_not_leave(what, desk):
    turn(person(), [user(["text", picture()])], "ok")
    seal()
    export = made(ask_for(desk, "attachments"))
    page = f"/admin/exports/{export.id}/"
    names = ["all.zip", *(f"files/{file['name']}" for file in export.files if "sha256" in file)]
    assert b"".join(desk.get(page + names[-1]).streaming_content)
    left = AuditEvent.objects.filter(action="export").count()
    remove(export, what)
    for name in names:
        answer = desk.get(page + name)
        assert (answer.status_code, answer["Content-Type"][:9]) == (410, "text/html"), name
        assert "not on this machine" in answer.content.decode()
    shown = desk.get(page).content.decode()
    assert "not on this machine" in shown
    assert "all.zip" not in shown
    assert AuditEvent.objects.filter(action="export").count() == left


def test_a_zip_breaks_off_where_a_file_goes_meanwhile(desk):
    talk(1)
    seal()
    export = made(ask_for(desk))
    answer = desk.get(f"/admin/exports/{export.id}/all.zip")
    shutil.rmtree(export.folder)
    with pytest.raises(FileNotFoundError):
        list(answer.streaming_content)


@pytest.mark.parametrize("state", [Export.State.DONE, Export.State.FAILED, Export.State.CANCELLED])
def test_a_machine_clears_only_what_it_has(state, desk, settings, tmp_path):
    talk(1)
    seal()
    export = made(ask_for(desk))
    Export.objects.update(state=state, expires=timezone.now())
    here, settings.EXPORTS_DIR = settings.EXPORTS_DIR, tmp_path  # another machine
    tasks.tidy_exports(0)
    export.clear()  # each of the two looks by itself
    export.refresh_from_db()
    assert export.cleared is None
    assert export.state != Export.State.DONE
    assert "deleted" not in desk.get(f"/admin/exports/{export.id}/").content.decode()
    settings.EXPORTS_DIR = here
    tasks.tidy_exports(0)
    export.refresh_from_db()
    assert export.cleared
    assert not export.folder.exists()


def test_an_export_does_not_go_on_over_what_was_lost(desk):
    talk(4)
    seal()
    export = ask_for(desk)
    with pytest.raises(job.ExportStopped):
        job.run_export(export, lambda: True)
    export.refresh_from_db()
    os.truncate(export.folder / export.files[-1]["name"], 10)
    job.run_export(export)
    export.refresh_from_db()
    assert (export.state, export.folder.exists()) == (Export.State.FAILED, False)
    assert export.problem == "The files could not be written: Input/output error."
