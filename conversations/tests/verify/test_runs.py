"""The check of the record as a habit: when it runs, against what, and who hears how it ended."""

import json
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob
from procrastinate.exceptions import JobAborted

from conversations import tasks
from conversations.models import AuditEvent, Decision, Seal, Verification
from conversations.proof import checkpoints, runs
from conversations.tests.cast import client_of
from conversations.tests.unguarded import unguarded
from llmgateway.ops import doctor, metrics

pytestmark = pytest.mark.django_db
PAGE = "/admin/checks/"
WORKING = SimpleNamespace(should_abort=lambda: False)
STOPPING = SimpleNamespace(should_abort=lambda: True)


def aged(days: float = 0, **fields) -> Verification:
    """A run that ended so many days ago."""
    values = {"seals": 6, "confirmed": 6, "confirmed_at": timezone.now()} | fields
    run = Verification.objects.create(began=timezone.now() - timedelta(days=days), **values)
    Verification.objects.filter(pk=run.pk).update(ended=timezone.now() - timedelta(days=days))
    return run


def standing() -> tuple[bool, str, str]:
    """Whether the home page is alarmed, and what it and the doctor say."""
    page = client_of(f"a{Verification.objects.count()}", "Auditor").get("/admin/")
    [tile] = [tile for tile in page.context["tiles"] if tile.name == "Integrity"]
    [finding] = [finding for finding in doctor.proofs() if finding.about == "record"]
    return tile.alarming, tile.figure, finding.level


STATES = [
    (None, {}, (True, "never checked", "warn")),
    (0, {}, (False, "intact", "ok")),
    (1.9, {}, (False, "intact", "ok")),
    (2.1, {}, (True, "not checked lately", "warn")),
    (400, {}, (True, "not checked lately", "warn")),
    (0, {"problem": "The row is gone."}, (True, "problem found", "FAIL")),
    (400, {"problem": "The row is gone."}, (True, "problem found", "FAIL")),
    (0, {"confirmed": None}, (True, "not confirmed", "warn")),
    (0, {"confirmed": None, "seals": 0}, (False, "nothing sealed yet", "ok")),
]


@pytest.mark.parametrize(("days", "fields", "says"), STATES)
def test_old_failed_and_no_runs_are_alarming(days, fields, says):
    if days is not None:
        aged(days, **fields)
    assert standing() == says
    figures = {family.name: family for family in metrics.Record().collect()}
    if days is None:
        assert "llmgateway_verified_age_seconds" not in figures
        return
    [age] = figures["llmgateway_verified_age_seconds"].samples
    [whole] = figures["llmgateway_verified_whole"].samples
    assert days * 86400 <= age.value < days * 86400 + 600
    assert whole.value == (says[1] in ("intact", "not checked lately", "nothing sealed yet"))


def test_the_newest_run_counts_and_not_the_last_good_one():
    aged(1)
    aged(0, problem="The row is gone.")
    assert standing() == (True, "problem found", "FAIL")
    aged(0)
    assert standing() == (False, "intact", "ok")


# What the worker does -----------------------------------------------------------------------------


def jobs() -> list[dict]:
    waiting = ProcrastinateJob.objects.filter(task_name=tasks.verify.name, status="todo")
    return list(waiting.values_list("args", flat=True))


@pytest.mark.parametrize(("hours", "days", "is_due"), [
    (24, None, True), (24, 1, True), (24, 0.99, True), (24, 0.9, False), (24, 400, True),
    (1, 0.05, True), (1, 0.01, False), (0, None, False), (0, 400, False),
])  # fmt: skip
def test_the_worker_begins_the_run_of_the_day(settings, hours, days, is_due):
    settings.VERIFY_HOURS = hours
    if days is not None:
        aged(days)
    for _ in range(2):
        tasks.verify_when_due(timezone.now().timestamp())
    assert len(jobs()) == is_due


def test_a_run_before_anything_was_sealed_is_none_of_a_day():
    aged(0, seals=0)
    assert runs.is_due(timezone.now())
    aged(0, seals=0, problem="The copy cannot be read.")
    assert not runs.is_due(timezone.now())


def test_the_first_run_of_a_week_reads_every_attachment():
    tasks.verify_when_due(timezone.now().timestamp())
    assert jobs() == [{"by": "the worker", "with_files": True}]
    ProcrastinateJob.objects.filter(task_name=tasks.verify.name)._raw_delete("default")
    aged(6.9, with_files=True)
    aged(1.5)
    assert not runs.reads_files(timezone.now())
    Verification.objects.update(began=timezone.now() - timedelta(days=7.1))
    assert runs.reads_files(timezone.now())


def test_a_run_says_what_it_covered(calls, file, settings, tmp_path):
    tasks.verify(WORKING, by="the worker", with_files=False)
    run = Verification.objects.get()
    assert (run.by, run.seals, run.confirmed, run.problem) == ("the worker", 6, 6, "")
    assert (run.checkpoints, run.with_files, run.is_whole) == (str(file), False, True)
    settings.VERIFY_CHECKPOINTS = tmp_path / "shipped"
    settings.VERIFY_CHECKPOINTS.write_bytes(file.read_bytes())
    file.write_bytes(b"")  # what is here is not what counts then
    tasks.verify(WORKING, by="lea", with_files=True)
    run = Verification.objects.newest()
    assert (run.by, run.problem, run.with_files) == ("lea", "", True)
    assert run.checkpoints == str(tmp_path / "shipped")


def test_an_intruder_with_the_key_is_found_by_the_shipped_copy(calls, file, settings, tmp_path):
    """The whole machine is theirs: database, file and key."""
    settings.VERIFY_CHECKPOINTS = tmp_path / "shipped"
    settings.VERIFY_CHECKPOINTS.write_bytes(file.read_bytes())
    with unguarded():
        Seal.objects.filter(number=6).delete()
        AuditEvent.objects.filter(pk=AuditEvent.objects.latest("id").pk).delete()
    file.unlink()
    checkpoints.write_checkpoint()
    tasks.verify(WORKING, by="the worker", with_files=False)
    assert "its end was cut off" in Verification.objects.newest().problem


def test_a_shipped_copy_that_cannot_be_read_is_a_problem(calls, settings, tmp_path, caplog):
    settings.VERIFY_CHECKPOINTS = tmp_path / "none"
    tasks.verify(WORKING, by="the worker", with_files=False)
    run = Verification.objects.get()
    assert "cannot be read: No such file or directory" in run.problem
    assert "could not be checked" in caplog.text
    assert standing()[:2] == (True, "problem found")


def test_only_the_keys_that_were_handed_out_are_trusted(calls, settings):
    settings.VERIFY_KEYS = ["00" * 32]
    tasks.verify(WORKING, by="the worker", with_files=False)
    assert "not signed by a key that is trusted here" in Verification.objects.get().problem
    settings.VERIFY_KEYS = [checkpoints.derive_public_key()]
    tasks.verify(WORKING, by="the worker", with_files=False)
    assert Verification.objects.newest().problem == ""


def test_a_worker_that_stops_leaves_the_run_to_the_next(calls):
    with pytest.raises(JobAborted):
        tasks.verify(STOPPING, by="the worker", with_files=False)
    assert not Verification.objects.exists()


# What an Auditor sees -----------------------------------------------------------------------------


def test_an_auditor_sees_each_run_and_begins_one(calls):
    tasks.verify(WORKING, by="the worker", with_files=False)
    with unguarded():
        Decision.objects.update(reason="another")
    tasks.verify(WORKING, by="root", with_files=True)
    auditor = client_of("audrey", "Auditor")
    page = auditor.get(PAGE).content.decode()
    assert "Seals 1 to 6" in page
    assert "confirmed up to 6 by the checkpoint of" in page
    assert "problem found" in page
    assert "it was changed" in page
    for words in ("the worker", "root", "attachments measured", "attachments read to their end"):
        assert words in page, words
    assert checkpoints.derive_verifier_key() in page
    assert AuditEvent.objects.doing("list").filter(kind="verification").count() == 1
    assert auditor.post(PAGE, {"files": "on"}).status_code == 302
    assert jobs() == [{"by": "audrey", "with_files": True}]
    event = AuditEvent.objects.doing("verification").get()
    assert (event.actor_name, json.loads(event.detail)) == ("audrey", {"with_files": True})
    assert "A check is waiting" in auditor.get(PAGE).content.decode()
    auditor.post(PAGE)
    assert len(jobs()) == 1
    assert AuditEvent.objects.doing("verification").count() == 1


@pytest.mark.parametrize("group", ["Reviewer", "Records manager", "Gateway admin", ""])
def test_others_neither_see_nor_begin_one(group):
    client = client_of("other", *filter(None, [group]), is_superuser=not group)
    assert client.get(PAGE).status_code == 403
    assert client.post(PAGE).status_code == 403
    assert jobs() == []


def test_the_page_costs_few_queries(calls, django_assert_max_num_queries):
    for _ in range(30):
        aged(1)
    auditor = client_of("audrey", "Auditor")
    auditor.get(PAGE)
    with django_assert_max_num_queries(8):
        auditor.get(PAGE)
