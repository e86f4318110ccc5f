"""The database refuses the end of one call for good: all others are closed, and it is kept."""

from contextlib import contextmanager

import pytest
from django.db import OperationalError, connection

from conversations import record
from conversations.models import Process, Snapshot
from conversations.record import Outcome, orphans, processes
from conversations.tests.calls import ask, person, user
from proxy.relay import watcher
from proxy.relay.exchange import Unclosed, process
from proxy.tests.gateway import eventually, marked

REFUSALS = {
    "too large for a row": "54000",
    "a full disk": "53100",
    "a statement that is cut off": "57014",
    "a value that is none": "22P02",
    "a broken rule": "23514",
    "no right to": "42501",
    "a bug of PostgreSQL's": "XX000",
    "another transaction": "40001",
}
REFUSE = """
    CREATE FUNCTION refuse_it() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{state}'; END $$;
    CREATE TRIGGER refuse_it BEFORE UPDATE ON conversations_snapshot FOR EACH ROW
        WHEN (OLD.id = '{id}') EXECUTE FUNCTION refuse_it()"""


@contextmanager
def refused(call, state):
    with connection.cursor() as cursor:
        cursor.execute(REFUSE.format(id=call.id, state=state))
        try:
            yield
        finally:
            cursor.execute("DROP FUNCTION refuse_it CASCADE")


def ended(calls):
    """They ended while the database was away."""
    for call in calls:
        process.unclosed[call.id] = Unclosed(call, Outcome(status="ok"))


def orphaned(calls):
    """Their process died."""
    Process.objects.filter(id=processes.CURRENT.id).delete()


def unheard(calls):
    """Their opening was committed unheard."""
    for call in calls:
        record.let_go(call)


WAYS = {
    "late": (ended, watcher.close_late),
    "orphans": (orphaned, orphans.close_orphans),
    "unheard": (unheard, orphans.close_unheard),
}


@pytest.fixture
def calls(database):
    processes.beat()
    return [ask(person(name), [user(marked())]) for name in ("alice", "alice", "bob")]


@pytest.mark.parametrize("state", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize(("begin", "close"), WAYS.values(), ids=WAYS)
def test_one_refused_end_holds_up_no_other(calls, caplog, begin, close, state):
    def list_pending():
        pending = Snapshot.objects.filter(id__in=[call.id for call in calls], status="pending")
        return list(pending.values_list("id", flat=True))

    def has_closed_all():
        close()
        return not list_pending()

    begin(calls)
    with refused(calls[0], state):
        close()
        assert list_pending() == [calls[0].id]
        close()
        assert list_pending() == [calls[0].id]
    assert f"snapshot {calls[0].id} cannot be closed" in caplog.text
    eventually(has_closed_all)
    assert not process.unclosed


def test_a_refused_end_is_tried_less_and_less_often():
    late = Unclosed(None, Outcome(status="ok"))
    waits = [late.put_off() for _ in range(20)]
    assert waits[:4] == [1, 2, 4, 8]
    assert max(waits) == waits[-1] == 600


@pytest.mark.parametrize(("begin", "close"), WAYS.values(), ids=WAYS)
def test_a_database_that_is_away_is_no_rows_fault(calls, monkeypatch, caplog, begin, close):
    begin(calls)

    def gone(*statement, **how):
        raise OperationalError("gone")

    with monkeypatch.context() as patched:
        patched.setattr("conversations.record.writes.execute", gone)
        patched.setattr("conversations.database.execute", gone)
        with pytest.raises(OperationalError):
            close()
    assert "cannot be closed" not in caplog.text
    close()
    assert not process.unclosed
    assert not Snapshot.objects.filter(id__in=[each.id for each in calls], status="pending")
