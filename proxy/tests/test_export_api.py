"""GET /api/export.csv and .jsonl: rights, rows, each once, and the audit event before them."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from django.db import connection
from django.test import Client

from conversations import record
from conversations.exports import selection
from conversations.models import AuditEvent, Snapshot, User
from conversations.people import audit
from conversations.proof import sealing
from conversations.record import Outcome, rebuild
from conversations.tests.calls import answer, ask, assistant, person, turn, user
from proxy.api import authentication
from proxy.models import ApiKey
from proxy.tests.keys import working_key

pytestmark = pytest.mark.django_db
CSV, LINES = "/api/export.csv", "/api/export.jsonl"


@pytest.fixture(autouse=True)
def fresh():
    authentication.callers.forget()


@pytest.fixture
def bearer(rita) -> dict[str, str]:
    _, secret = working_key(rita, "siem", scopes=["export"], addresses=["127.0.0.0/8"])
    return {"Authorization": f"Bearer {secret}"}


def pull(headers, path=CSV, **query):
    return Client().get(path, {"purpose": "monthly review", **query}, headers=headers)


def rows(response) -> list[dict[str, str]]:
    assert response.status_code == 200, response.content
    return list(
        csv.DictReader(
            io.StringIO(response.getvalue().decode("utf-8-sig"), newline=""), strict=True
        )
    )


def lines(response) -> list[dict]:
    assert response.status_code == 200, response.content
    return [json.loads(line) for line in response.getvalue().splitlines()]


def seal() -> None:
    while sealing.seal():
        pass


# Who ----------------------------------------------------------------------------------------------


def refused(response) -> tuple[int, str]:
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    return response.status_code, response.json()["error"]["code"]


@pytest.mark.parametrize("path", [CSV, LINES])
def test_who_may_not(rita, bearer, path):
    turn(person("alice"), [user("secret")], "plan")
    seal()
    assert refused(pull({}, path)) == (401, "invalid_api_key")
    _, secret = working_key(rita, "chat", scopes=["chat", "usage"])
    assert refused(pull({"Authorization": f"Bearer {secret}"}, path)) == (403, "scope_missing")
    _, secret = working_key(person("alice"), "hers", scopes=["export"])
    assert refused(pull({"Authorization": f"Bearer {secret}"}, path)) == (403, "not_permitted")
    _, secret = working_key(
        rita, "elsewhere", scopes=["export"], addresses=["192.0.2.0/24", "2001:db8::/32"]
    )
    assert refused(pull({"Authorization": f"Bearer {secret}"}, path)) == (403, "not_allowed")
    alice = Client()
    alice.force_login(person("alice"))
    assert refused(alice.get(path, {"purpose": "curious"})) == (403, "not_permitted")
    assert not AuditEvent.objects.doing("export").exists()
    rita.groups.clear()
    assert refused(pull(bearer, path)) == (403, "not_permitted")


def test_a_reviewers_session_will_do(rita):
    turn(person("alice"), [user("hi")], "hello")
    seal()
    client = Client()
    client.force_login(rita)
    [row] = rows(client.get(CSV, {"purpose": "a look"}))
    assert (row["asked"], row["answered"]) == ("hi", "hello")


def test_departments_hold(rita, bearer):
    rita.reviews_departments = ["Legal"]
    rita.save()
    User.objects.create(username="lea", department="Legal")
    turn(person("alice"), [user("finance secret")], "ok")
    turn(person("lea"), [user("legal")], "ok")
    seal()
    assert [row["user_name"] for row in rows(pull(bearer))] == ["lea"]
    assert refused(pull(bearer, user="alice")) == (400, "invalid_request")


# Which rows ---------------------------------------------------------------------------------------


def test_the_filter(bearer):
    now = datetime.now(UTC)
    old = turn(person("alice"), [user("old")], "ok", opened=now - timedelta(days=40), model="a")
    new = turn(person("alicia"), [user("new")], "ok", model="b")
    failed = ask(person("alice"), [user("failed")], model="a")
    record.close(failed, Outcome(status="failed"))
    seal()
    got = lambda **query: [row["id"] for row in rows(pull(bearer, **query))]  # noqa: E731
    everything = [str(old.id), str(new.id), str(failed.id)]
    assert got() == everything
    assert got(since=f"{now:%Y-%m-%d}") == everything[1:]
    assert got(until=f"{now - timedelta(days=2):%Y-%m-%d}") == everything[:1]
    assert got(user="alice") == [str(old.id), str(failed.id)]
    assert got(model="b") == [str(new.id)]
    assert got(status="failed", kind="chat") == [str(failed.id)]
    assert got(of="figures", kind="image") == []
    assert [row["id"] for row in lines(pull(bearer, LINES, model="a"))] == [
        str(old.id),
        str(failed.id),
    ]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"purpose": " "}, "purpose"),
        ({"purpose": "x" * 201}, "purpose"),
        ({"user": "ali"}, "user"),
        ({"status": "fine"}, "status"),
        ({"kind": "x"}, "kind"),
        ({"since": "yesterday"}, "since"),
        ({"since": "0001-01-01"}, "since"),
        ({"until": "9999-12-31"}, "until"),
        ({"after": "-1"}, "after"),
        ({"after": "٣"}, "after"),
        ({"of": "everything"}, "of"),
        ({"statsu": "ok"}, None),
    ],
)
def test_questions_that_make_no_sense(bearer, query, param):
    answered = pull(bearer, **query)
    assert refused(answered) == (400, "invalid_request")
    assert answered.json()["error"]["param"] == param
    assert not AuditEvent.objects.doing("export").exists()


def test_a_call_that_was_open_is_in_the_next_pull_once(bearer):
    slow = ask(person("alice"), [user("slow")])
    first = [str(turn(person("bob"), [user(f"{i}")], "ok").id) for i in range(3)]
    seal()
    one = pull(bearer)
    turn(person("bob"), [user("later")], "ok")  # closed while the pull is read
    assert [row["id"] for row in rows(one)] == first
    answer(slow, "at last")
    later = turn(person("bob"), [user("later still")], "ok")
    seal()
    two = pull(bearer, after=one["x-next-cursor"])
    found = [row["id"] for row in rows(two)]
    assert str(slow.id) in found
    assert str(later.id) in found
    assert not {*found} & {*first}
    assert rows(pull(bearer, after=two["x-next-cursor"])) == []
    assert len({row["id"] for row in rows(pull(bearer))}) == len(first) + len(found)


def test_windows_and_stretches_give_each_row_once(bearer, monkeypatch):
    monkeypatch.setattr(selection, "WINDOW", 4)
    asked = []
    for i in range(11):
        asked.append(user(f"question {i}"))
        turn(person("alice"), asked, f"answer {i}", model="odd" if i % 2 else "even")
        asked.append(assistant(f"answer {i}"))
        audit.record("a command", "list")
    seal()
    for of in ("turns", "figures", "classic"):
        assert len(rows(pull(bearer, of=of))) == 11
    found = rows(pull(bearer, model="odd"))
    assert [(row["asked"], row["answered"]) for row in found] == [
        (f"question {i}", f"answer {i}") for i in range(1, 11, 2)
    ]
    assert sorted(int(row["seal"]) for row in found) == [int(row["seal"]) for row in found]
    assert int(rows(pull(bearer, after=found[2]["seal"], model="odd"))[0]["seal"]) == int(
        found[3]["seal"]
    )


def test_no_more_rows_than_the_key_may_have_in_a_day(rita):
    key, secret = working_key(rita, "siem", scopes=["export"], rows_a_day=3)
    bearer = {"Authorization": f"Bearer {secret}"}
    for i in range(5):
        turn(person("alice"), [user(f"{i}")], "ok")
    seal()
    one = pull(bearer)
    assert [row["asked"] for row in rows(one)] == ["0", "1", "2"]
    over = pull(bearer, after=one["x-next-cursor"])
    assert refused(over) == (429, "export_limit_reached")
    assert 0 < int(over["retry-after"]) <= 24 * 3600
    ApiKey.objects.filter(pk=key.pk).update(
        exported_on=datetime.now(UTC).date() - timedelta(days=1)
    )
    assert [row["asked"] for row in rows(pull(bearer, after=one["x-next-cursor"]))] == ["3", "4"]
    key.refresh_from_db()
    assert key.exported_rows == 2
    assert [
        json.loads(event.detail)["rows"]
        for event in AuditEvent.objects.doing("export").order_by("id")
    ] == [3, 2]


# What is said of it -------------------------------------------------------------------------------


def test_the_event_comes_before_the_first_byte(rita, bearer):
    turn(person("alice"), [user("hi")], "hello")
    seal()
    response = pull(bearer, LINES, status="ok")
    event = AuditEvent.objects.doing("export").get()  # and nothing was read yet
    detail = json.loads(event.detail)
    assert (event.actor, event.address, event.terms) == (rita, "127.0.0.1", "")
    assert detail == {
        "via": "API",
        "key": ApiKey.objects.get().prefix,
        "owner": "rita",
        "owner_id": rita.pk,
        "format": "jsonl",
        "purpose": "monthly review",
        "filter": {"status": "ok"},
        "rows": 1,
        "after": 0,
        "last": 1,
    }
    assert len(lines(response)) == 1


def test_no_event_no_export(bearer, monkeypatch):
    turn(person("alice"), [user("hi")], "secret")
    seal()
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE conversations_auditevent ADD CONSTRAINT away CHECK (action <> 'export')"
        )
    response = pull(bearer)
    assert refused(response) == (503, "record_not_writable")
    assert b"secret" not in response.getvalue()
    assert ApiKey.objects.get().exported_rows == 0


def test_lines_hold_every_field_and_the_request_as_it_was(bearer):
    body = {"temperature": 0.5, "tools": [{"x": "=1+1"}]}
    call = turn(
        person("alice"),
        [user("=cmd|' /C calc'!A0"), assistant("x", tool_calls=[{"id": "1"}]), user("\u202e\0 hi")],
        "@SUM(1)",
        params=body,
    )
    seal()
    [line] = lines(pull(bearer, LINES))
    assert line["request"] == rebuild.rebuild_request(call)
    assert line["response"] == rebuild.rebuild_response(call)
    raw = pull(bearer, LINES).getvalue()
    assert orjson.dumps(rebuild.rebuild_request(call)) in raw
    assert orjson.dumps(rebuild.rebuild_response(call)) in raw
    left_out = {"params", "stop", "process"}
    assert {field.name for field in Snapshot._meta.concrete_fields} - left_out <= line.keys()
    assert (line["owner"]["user_name"], line["seal"], line["prompt_tokens"]) == ("alice", 1, 3)


def test_under_aliases_nobody_is_named(bearer, settings):
    settings.PSEUDONYMS = True
    alice = User.objects.create(
        username="alice", job_title="Head of Tea", department="Tea", external_id="e-17"
    )
    body = {"user": "alice", "metadata": {"by": "alice"}}
    turn(
        alice,
        [user("hi") | {"name": "alice"}],
        "hello",
        params=body,
        key="gw-alice",
        address="192.0.2.1",
        user_agent="alice's",
        end_user="alice",
    )
    seal()
    raw = b"".join(
        pull(bearer, LINES).getvalue() + pull(bearer, of=of).getvalue()
        for of in ("turns", "figures", "classic")
    )
    for clue in (b"alice", b"Tea", b"e-17", b"192.0.2.1"):
        assert clue not in raw, clue
    name = lines(pull(bearer, LINES))[0]["owner"]["user_name"]
    assert len(rows(pull(bearer, user=name))) == 1
    for other in ("alice", "e-17", "", name[:8]):
        assert refused(pull(bearer, user=other)) == (400, "invalid_request")
