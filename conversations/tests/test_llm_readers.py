"""Readers of the SQL views: what each role may read, and the panels of the sample report."""

import re
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import DatabaseError, ProgrammingError, connection, transaction

from conversations import record
from conversations.models import AuditEvent
from conversations.record import CallRequest, Outcome
from conversations.tests.calls import person, turn, user

pytestmark = pytest.mark.django_db


# Who may read them ----------------------------------------------------------------------------


SCHEMAS = [["public", "llm_logs"]]
MAY = {
    "llm_report": {"usage"},
    "llm_content": {"usage", "chatgpt_logs", "image_logs", "meta_summarizer_log", "messages"},
}


def readable(role):
    """Every table and view of the database that the role can select from, by trying."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm') AND"
            " relnamespace::regnamespace::text = ANY(%s)",
            [SCHEMAS],
        )
        names = [name for (name,) in cursor.fetchall()]
        assert {"conversations_message", "llm_logs.calls", "conversations_user"} <= set(names)
        found = set()
        for name in names:
            with suppress(ProgrammingError), transaction.atomic():
                cursor.execute(f"SET LOCAL ROLE {role}")
                cursor.execute(f"SELECT * FROM {name} LIMIT 1")
                found.add(name)
                cursor.execute("RESET ROLE")
    return found


def test_each_role_reads_its_views_and_no_table(monkeypatch, caplog):
    """One test: roles are the whole server's, and other tests run beside this one."""
    turn(person(), [user("hi")], "Hello!")
    monkeypatch.setenv("LLM_CONTENT_PASSWORD", "a password for tests")
    for name in ("llm_logs.usage", "llm_logs.chatgpt_logs"):
        with pytest.raises(DatabaseError, match="does not exist"), transaction.atomic():
            connection.cursor().execute(f"SET LOCAL ROLE llm_report; SELECT * FROM {name}")
    for _ in range(2):  # it may be run again
        call_command("report_roles", create=True, stdout=(said := StringIO()))
    assert "llm_report reads llm_logs.usage; it cannot sign in" in said.getvalue()
    assert "it signs in with its password" in said.getvalue()
    assert "report roles llm_report and llm_content were made" in caplog.text
    event = AuditEvent.objects.newest_first()[0]
    assert (event.actor_name, event.action, event.detail) == (
        "manage.py report_roles",
        "added",
        '{"roles": ["llm_content", "llm_report"]}',
    )
    assert "a password" not in said.getvalue() + caplog.text
    for role, views in MAY.items():
        assert readable(role) == {f"llm_logs.{view}" for view in views}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolname, rolcanlogin, rolpassword LIKE 'SCRAM-SHA-256$%%' FROM pg_authid"
            " WHERE rolname LIKE 'llm\\_%%' ORDER BY 1"
        )
        assert cursor.fetchall() == [("llm_content", True, True), ("llm_report", False, None)]
        for write in (
            "DELETE FROM conversations_message",
            "UPDATE llm_logs.usage SET title = ''",
            "CREATE TABLE llm_logs.mine (a int)",
        ):
            with (
                pytest.raises(DatabaseError, match=r"permission denied|cannot update"),
                transaction.atomic(),
            ):
                cursor.execute(f"SET LOCAL ROLE llm_content; {write}")
    call_command("report_roles", drop=True, stdout=StringIO())
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_roles WHERE rolname = ANY(%s)", [list(MAY)])
        assert cursor.fetchone() == (0,)
    call_command("report_roles", drop=True, stdout=(said := StringIO()))
    assert said.getvalue() == "There is no llm_report.\nThere is no llm_content.\n"


# The panels of the sample report --------------------------------------------------------------


GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "power-bi.md").read_text()


def panels():
    """What each query of the guide gives, in its order."""
    with connection.cursor() as cursor:
        found = []
        for query in re.findall(r"```sql\n(.*?)```", GUIDE, re.DOTALL):
            cursor.execute(query)
            found.append(cursor.fetchall())
    return found


def test_the_panels_figures_are_those_computed_by_hand():
    def call(name, day, conversation, prompt, completion, status="ok"):
        at = datetime(2026, 3, day, 23, 59, 59, tzinfo=UTC)
        body = {"model": "m", "messages": [user("hi")]}
        asked = CallRequest(
            owner=person(name).pk,
            kind="chat",
            model="m",
            body=body,
            messages=body["messages"],
            session_key=conversation,
            title=conversation,
            opened=at,
        )
        record.close(
            record.open(asked),
            Outcome(
                status=status,
                prompt_tokens=prompt,
                completion_tokens=completion,
                closed=at,
                cost=Decimal("0.5"),
            ),
        )

    call("ann", 1, "Horror", 16, 17)
    call("ann", 1, "Horror", 49, 22)
    call("ann", 2, "Cooking", 100, None)
    call("bob", 2, "Horror", 7, 1)
    call("bob", 2, "Failed", 1000, 1000, status="failed")
    call("bob", 3, "Uncounted", None, None)
    history, overall, by_user, by_title, without_content = panels()
    assert history == [
        (date(2026, 3, 1), "ann", 2),
        (date(2026, 3, 2), "ann", 1),
        (date(2026, 3, 2), "bob", 1),
        (date(2026, 3, 3), "bob", 1),
    ]
    assert overall == [(172, 40)]
    assert by_user == [("ann", 165, 39), ("bob", 7, 1)]
    assert by_title == [("Cooking", 100, 0), ("Horror", 72, 40), ("Uncounted", None, None)]
    assert without_content[:2] == [
        (date(2026, 3, 1), "ann", 2, 65, 39, Decimal(1)),
        (date(2026, 3, 2), "ann", 1, 100, None, Decimal("0.5")),
    ]


def test_the_guide_names_every_view_and_no_column_that_is_none():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, array_agg(column_name::text) FROM information_schema.columns"
            " WHERE table_schema = 'llm_logs' GROUP BY 1"
        )
        columns = dict(cursor.fetchall())
    for view in columns.keys() - {"calls"}:
        assert f"| `{view}` |" in GUIDE
    [wanted] = re.findall(r"SelectColumns\(Logs, \{(.*?)\}", GUIDE)
    assert set(wanted.replace('"', "").split(", ")) <= set(columns["chatgpt_logs"])
