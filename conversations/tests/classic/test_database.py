"""The log of a classic gateway comes over whole, whatever its rows, and again the same."""

import json
from datetime import UTC, date
from io import StringIO
from uuid import UUID

import orjson
import pytest
from django.core.management import call_command
from django.db import connection

from conversations import record
from conversations.management.commands import import_classic
from conversations.models import (
    Conversation,
    Snapshot,
    Unsealed,
    Usage,
    User,
)
from conversations.reading import history
from conversations.record import rebuild
from conversations.tests import classic_rows
from conversations.tests.calls import person, turn
from conversations.tests.classic.log import JSON, assert_equal_to, bring, everything, unfiled
from conversations.tests.classic_rows import BEGAN, chat, id_of, said
from conversations.tests.views import rows

pytestmark = pytest.mark.django_db


# From a database ------------------------------------------------------------------------------


@pytest.mark.parametrize("json_type", ["text", "jsonb"])
def test_every_row_comes_back_through_the_views_and_again_without_change(gateway, json_type):
    tables = classic_rows.tables()
    url = gateway.make(tables, json_type)
    count = sum(map(len, tables.values()))
    assert f"Imported {count} rows. Already here: 0. Not readable: 0." in bring(url)
    assert_equal_to(tables)
    before = everything()
    assert f"Imported 0 rows. Already here: {count}. Not readable: 0." in bring(url)
    assert everything() == before


def test_rows_become_conversations_in_which_each_message_is_kept_once(gateway):
    bring(gateway.make(classic_rows.tables()))
    ann, bob = (
        User.objects.get(username="ann@example.com"),
        User.objects.get(username="bob@example.com"),
    )

    def calls(*numbers):
        return [Snapshot.objects.get(classic_id=id_of(n)) for n in numbers]

    story = Conversation.objects.get(owner=ann, classic_root="chatcmpl-A")
    assert {call.conversation_id for call in calls(1, 2, 3, 4, 5, 6)} == {story.id}
    assert (story.started, story.last) == (calls(1)[0].opened, calls(6)[0].closed)
    assert (story.turns, story.prompt_tokens) == (6, 11 + 12 + 13 + 4 + 5 + 16)
    assert story.messages.count() == 5 + 3  # three endings of one request, one of them given twice
    assert set(story.messages.values_list("origin", flat=True)) == {"sent", "relayed"}
    # The old page's: tied by the replies' ids, under the first that was sent as a root.
    [page] = {call.conversation for call in calls(20, 21, 22)}
    assert (page.classic_root, page.messages.count(), page.title) == ("chatcmpl-20", 6, "Counting")
    assert calls(23)[0].conversation_id not in (page.id, None)
    # One root of two people is two conversations; what names no root stands alone.
    assert calls(30)[0].conversation.owner == bob
    assert len({call.conversation_id for call in calls(1, 30, 41, 42)}) == 4
    assert calls(40)[0].kind == "title"
    assert [call.conversation for call in calls(40, 80, 81, 82, 83)] == [None] * 5
    shown = dict(
        Conversation.objects.filter(classic_root__in=["chatcmpl-50", "chatcmpl-55"]).values_list(
            "classic_root", "shown"
        )
    )
    assert shown == {"chatcmpl-50": True, "chatcmpl-55": False}
    assert calls(74)[0].reply.text == "from SageMaker"
    assert [call.status for call in calls(75, 76)] == ["ok", "failed"]
    assert (calls(60)[0].conversation.title, calls(62)[0].conversation.title[-5:]) == (
        "untitled question",
        "long ",
    )


def test_times_ids_users_and_usage_are_those_of_the_rows(gateway):
    tables = classic_rows.tables()
    bring(gateway.make(tables))
    for row in tables["chatgpt_logs"]:
        call = Snapshot.objects.get(classic_id=row["id"])
        assert call.opened == call.closed
        assert call.opened == row["response_time"].replace(tzinfo=UTC)
        assert call.id.int >> 80 == int(call.opened.timestamp() * 1000)
    ann, bob = (
        User.objects.get(username="ann@example.com"),
        User.objects.get(username="bob@example.com"),
    )
    assert (ann.job_title, bob.job_title) == ("Analyst", "Analyst")  # bob's newest row says so
    assert [user.is_active or user.has_usable_password() for user in (ann, bob)] == [False, False]
    usage = Usage.objects.get(day=date(2023, 4, 27), owner=bob, model="gpt-3.5-turbo")
    assert (usage.calls, usage.prompt_tokens, usage.completion_tokens) == (3, 20 + 21 + 40, 9)
    assert {day.day for day in Usage.objects.filter(owner=ann, model="")} == {
        date(2023, 4, 27),
        date(2023, 4, 28),
        date(2023, 4, 29),
    }
    assert Unsealed.objects.count() == Snapshot.objects.count()


def test_an_account_that_is_there_already_keeps_what_it_is(gateway):
    ann = person("ann@example.com")
    ann.set_password("her own, of course")
    ann.save()
    url = gateway.make({"chatgpt_logs": [chat(1, said("hi"), "x")]})
    bring(url)
    ann.refresh_from_db()
    assert (ann.is_active, ann.has_usable_password(), ann.job_title) == (True, True, "Analyst")
    assert Conversation.objects.get().owner == ann


def test_a_later_import_adds_what_is_new_and_undoes_nothing(gateway):
    first = [
        chat(1, said("a"), "b", convo_title="One"),
        chat(5, said("x"), "y", root_gpt_id="R", convo_title="Two"),
    ]
    url = gateway.make({"chatgpt_logs": first})
    bring(url)
    Conversation.objects.get(classic_root="R").rename("Renamed here")
    Conversation.objects.get(classic_root="R").hide()
    more = [
        chat(2, said("a", "b", "c"), "d", convo_title="One and a half"),
        chat(6, said("x", "y", "z"), "!", root_gpt_id="R", convo_title="Two again"),
        chat(7, said("new"), "!", root_gpt_id="N"),
    ]
    with gateway.connect() as made:
        gateway.add(made, "chatgpt_logs", more)
    assert "Imported 3 rows. Already here: 2." in bring(url)
    talks = {
        talk.classic_root: (talk.title, talk.shown, talk.snapshots.count())
        for talk in Conversation.objects.all()
    }
    assert talks == {
        "chatcmpl-A": ("One and a half", True, 2),
        "R": ("Renamed here", False, 2),
        "N": ("A talk", True, 1),
    }
    shown = {row["id"]: (row["convo_title"], row["convo_show"]) for row in rows("chatgpt_logs")}
    assert [shown[id_of(n)] for n in (1, 2, 5, 6)] == [
        ("One", True),
        ("One and a half", True),
        ("Renamed here", False),
        ("Renamed here", False),
    ]


def test_an_imported_conversation_goes_on_here(gateway):
    bring(
        gateway.make(
            {
                "chatgpt_logs": [
                    chat(
                        1,
                        said("a"),
                        "b",
                        request={"model": "m", "headers": {"x": "y"}, "messages": said("a")},
                    )
                ]
            }
        )
    )
    imported = Snapshot.objects.get()
    call = turn(imported.owner, said("a", "b", "c"), "d")
    assert call.conversation_id == imported.conversation_id
    assert rebuild.rebuild_request(imported) == {
        "model": "m",
        "messages": said("a"),
    }  # what a model saw
    shown = {row["id"]: row for row in rows("chatgpt_logs")}
    assert shown[call.id]["root_gpt_id"] == "chatcmpl-A"
    imported.conversation.rename("New name")
    assert {row["convo_title"] for row in rows("chatgpt_logs")} == {"New name"}


def test_it_may_be_stopped_and_goes_on(gateway, monkeypatch):
    tables = classic_rows.tables()
    url, close, closed = gateway.make(tables), record.close, []

    def closing(call, outcome):
        closed.append(call)
        if len(closed) == 17:
            raise KeyboardInterrupt
        return close(call, outcome)

    monkeypatch.setattr(import_classic, "BATCH", 5)
    monkeypatch.setattr(record, "close", closing)
    assert "exit 130: Stopped. 15 rows were imported; run it again to go on." in bring(url)
    assert (Snapshot.objects.count(), Snapshot.objects.filter(status="pending").count()) == (15, 0)
    assert "Already here: 15. Not readable: 0." in bring(url)
    assert_equal_to(tables)


class Terminal(StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_a_bar_shows_how_far_it_is(gateway):
    url = gateway.make({"chatgpt_logs": [chat(n, said("a"), "b") for n in range(4)]})
    call_command("import_classic", url, stdout=(out := Terminal()))
    assert (
        out.getvalue()
        == f"\r{'█' * 30} 4 of 4\nImported 4 rows. Already here: 0. Not readable: 0.\n"
    )


def test_what_cannot_be_read_is_named_and_all_else_is_imported(gateway):
    deep = "[" * 70 + "]" * 70
    odd = [
        chat(1, said("fine"), "x"),
        chat(2, [], "x", user_name=None),
        chat(3, [], "x", user_name="n" * 151),
        chat(4, [], "x", response_time=None),
        chat(5, [], "x", root_gpt_id="r" * 501),
        chat(6, [], "x", request="{not json: secret words"),
        chat(7, [], "x", response=deep),
        chat(8, [], "x", usage_info="NaN"),
    ]
    url = gateway.make({"chatgpt_logs": odd[:1]})
    with gateway.connect() as made:
        for row in odd[1:]:
            values = [
                value if isinstance(value, str) else classic_rows.stored(name, value)
                for name, value in row.items()
            ]
            made.execute(
                f"INSERT INTO llm_logs.chatgpt_logs VALUES ({', '.join(['%s'] * len(row))})", values
            )
        made.execute("ALTER TABLE llm_logs.chatgpt_logs ALTER id TYPE text")
        made.execute(
            "INSERT INTO llm_logs.chatgpt_logs (id, user_name, response_time) VALUES ('UUID',"
            " 'ann', now())"
        )
    output = bring(url)
    assert "Imported 1 rows. Already here: 0. Not readable: 8." in output
    assert "exit 1: Not everything could be read" in output
    said_why = {
        line.partition("row ")[2][:36]: line.rpartition(": ")[2]
        for line in output.splitlines()
        if line.startswith("Not readable")
    }
    assert {id_of(n): said_why[str(id_of(n))] for n in range(2, 9)} == {
        id_of(2): "it names no user.",
        id_of(3): "its user_name is longer than the 150 characters of an account's name.",
        id_of(4): "its response_time is no time, or of a form that is not read here.",
        id_of(5): "its root_gpt_id is longer than 500 characters.",
        id_of(6): "its request is not JSON.",
        id_of(7): "its response is nested more than 64 levels deep.",
        id_of(8): "its usage_info is not JSON.",
    }
    assert "chatgpt_logs, number 8 by response_time: its id is no UUID." in output
    assert "secret" not in output


def test_json_that_is_no_text_is_mended_and_says_so(gateway):
    """Half a pair, as JavaScript's substring leaves it; U+0000; and JSON in a JSON text."""
    url = gateway.make({"chatgpt_logs": [chat(1, said("x"), "x")]})
    with gateway.connect() as made:
        query = (
            "INSERT INTO llm_logs.chatgpt_logs (id, request, response, user_name, response_time)"
            " VALUES (%s, %s, %s, 'ann', %s)"
        )
        made.execute(
            query,
            [
                id_of(2),
                '{"messages": [{"role": "user", "content": "cut \\ud83d"}]}',
                '{"choices": [], "big": 1e400}',
                BEGAN,
            ],
        )
        made.execute(
            query,
            [
                id_of(3),
                '{"messages": [{"role": "user", "content": "nul \\u0000"}]}',
                '{"choices": [], "id": "\\ude00"}',
                BEGAN,
            ],
        )
        made.execute(
            query,
            [id_of(4), json.dumps(json.dumps({"messages": said("twice")})), '"just a text"', BEGAN],
        )
    output = bring(url)
    assert f"row {id_of(2)}" in output  # 1e400 is no number
    assert "Imported 3 rows. Already here: 0. Not readable: 1." in output
    shown = {row["id"]: (row["request"], row["response"]) for row in rows("chatgpt_logs")}
    assert shown[id_of(3)] == (
        {"messages": said("nul \ufffd"), "_replaced": True},
        {"choices": [], "id": "\ufffd", "_replaced": True},
    )
    assert shown[id_of(4)] == ({"messages": said("twice")}, "just a text")


def test_a_database_that_is_no_classic_one_is_refused(gateway):
    assert "There is no table" in bring(
        gateway.url_of(connection.settings_dict["NAME"]), schema="public"
    )
    assert "is a view there" in bring(gateway.url_of(connection.settings_dict["NAME"]))
    assert "failed: connection failed" in bring("postgresql://127.0.0.1:1/none")
    with gateway.connect() as made:
        made.execute(
            "DROP SCHEMA IF EXISTS llm_logs CASCADE; CREATE SCHEMA llm_logs; CREATE TABLE"
            " llm_logs.chatgpt_logs (id uuid, request text)"
        )
    assert "chatgpt_logs has no column user_name, response_time" in bring(gateway.url)


# Over the API ---------------------------------------------------------------------------------


def test_the_api_gives_an_imported_row_as_it_was(gateway):
    content = {row["id"]: row for row in classic_rows.tables()["chatgpt_logs"]}
    bring(gateway.make({"chatgpt_logs": list(content.values())}))
    got = []
    for owner in User.objects.all():
        page, _ = history.read_page(
            Snapshot.objects.filter(owner=owner, kind__in=["chat", "title"]), 1000
        )
        got += json.loads(orjson.dumps(page))
    assert {row["id"] for row in got} == {str(id) for id in content}
    for row in got:
        old = content[UUID(row["id"])]
        for name in ("user_name", "title", "convo_title", "convo_show", "root_gpt_id"):
            assert row[name] == old[name], (row["id"], name)
        for name in JSON:
            assert unfiled(row[name]) == unfiled(old[name]), (row["id"], name)


def test_the_api_shows_what_an_owner_changed_of_an_imported_conversation(gateway):
    bring(gateway.make({"chatgpt_logs": [chat(1, said("hi"), "Hello.")]}))
    Conversation.objects.get().rename("Named here")
    Conversation.objects.get().hide()
    [row], _ = history.read_page(Snapshot.objects.all(), 10)
    assert (row["convo_title"], row["convo_show"]) == ("Named here", False)
