"""The SQL views: the classic columns, equal to what was sent and answered."""

import base64
import secrets
from datetime import UTC
from decimal import Decimal
from hashlib import sha256

import orjson
import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conversations import record
from conversations.models import Conversation, Snapshot
from conversations.record import CallRequest, Outcome, rebuild
from conversations.tests.anything import messages, texts, values
from conversations.tests.calls import answer, ask, assistant, person, turn, user
from conversations.tests.views import CLASSIC, as_shown, rows

pytestmark = pytest.mark.django_db


def sealed(answered, **how):
    """An answered call that is not a chat."""
    owner = how.pop("owner", None) or person()
    call = record.open(CallRequest(owner=owner.pk, model="m", sent=b"{}", **how))
    record.close(call, answered)
    return Snapshot.objects.get(id=call.id)


# What the views say ---------------------------------------------------------------------------


@pytest.mark.parametrize("view", CLASSIC)
def test_the_columns_and_types_are_the_classic_ones(view):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema ="
            " 'llm_logs' AND table_name = %s",
            [view],
        )
        assert dict(cursor.fetchall()) == CLASSIC[view]


def test_a_conversation_is_rows_that_carry_all_that_came_before():
    alice = person()
    alice.job_title = "Analyst"
    alice.save()
    said = [
        {"role": "system", "content": "Be brief."},
        user("Write a horror story in one sentence."),
    ]
    first = turn(alice, said, "A cold hand grabbed mine.", params={"temperature": 0.5})
    said = [*said, assistant(" A cold hand grabbed mine.\n"), user("Another sentence.")]
    second = turn(alice, said, "Nobody was there.")
    Conversation.objects.get().rename("Horror")
    shown = {row["id"]: row for row in rows("chatgpt_logs")}
    for snapshot in (first, second):
        assert shown[snapshot.id] == {
            "id": snapshot.id,
            "request": rebuild.rebuild_request(snapshot),
            "response": rebuild.rebuild_response(snapshot),
            "usage_info": {"total_tokens": 5, "prompt_tokens": 3, "completion_tokens": 2},
            "user_name": "alice",
            "title": "Analyst",
            "response_time": snapshot.closed.astimezone(UTC).replace(tzinfo=None),
            "convo_title": "Horror",
            "convo_show": True,
            "root_gpt_id": str(first.conversation_id),
        }
    assert shown[second.id]["request"]["messages"] == said
    assert shown[second.id]["response"]["choices"][0]["message"]["content"] == "Nobody was there."
    Conversation.objects.get().hide()
    assert {row["convo_show"] for row in rows("chatgpt_logs")} == {False}


def test_space_around_an_echo_goes_as_in_python():
    """An echo is kept without its text: it stands for the relayed one's, stripped."""
    space = "".join(c for c in map(chr, range(0x110000)) if c.isspace())
    alice, opener = person(), user("hi")
    turn(alice, [opener], f"{space}Hello!{space}")
    again = turn(alice, [opener, assistant("Hello!"), user("more")], "Yes.")
    assert again.head.parent.text is None
    assert rows("chatgpt_logs", id=again.id)[0]["request"]["messages"][1] == assistant("Hello!")


def test_only_answered_calls_are_classic_rows_and_usage_has_every_ended_one():
    alice = person()
    for status in ("ok", "failed", "cancelled", "interrupted"):
        answer(ask(alice, [user(status)]), "so far", status=status)
    body = {"model": "m", "messages": [user("no")]}
    record.refuse(
        CallRequest(owner=alice.pk, kind="chat", model="m", body=body, messages=body["messages"]),
        "blocked",
        "No.",
    )
    ask(alice, [user("still open")])
    assert [row["request"]["messages"][0]["content"] for row in rows("chatgpt_logs")] == ["ok"]
    usage = {row["status"]: row for row in rows("usage")}
    assert set(usage) == {"ok", "failed", "cancelled", "interrupted", "refused"}
    assert (
        usage["failed"]["total_tokens"],
        usage["refused"]["total_tokens"],
        usage["refused"]["root_gpt_id"],
    ) == (5, None, None)
    assert not {"request", "response", "convo_title", "text"} & set(usage["ok"])


def test_a_call_that_made_a_title_is_a_hidden_row_named_summarizer():
    body = {"model": "m", "temperature": 0, "messages": [user("conversation: [hi]")]}
    reply = {
        "id": "chatcmpl-1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Greetings"}}],
    }
    sealed(Outcome(status="ok", response=reply), kind="title", body=body)
    [row] = rows("chatgpt_logs")
    assert (row["convo_title"], row["convo_show"], row["root_gpt_id"]) == (
        "summarizer",
        False,
        None,
    )
    assert (row["request"], row["response"]) == (body, reply)


def test_images_and_metadata_have_tables_of_their_own(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path
    picture = base64.b64encode(b"\x89PNG\r\n\x1a\n" + secrets.token_bytes(3000)).decode()
    body = {"prompt": "a fox", "n": 1, "size": "1024x1024"}
    image = sealed(
        Outcome(
            status="ok",
            response={"created": 1, "data": [{"b64_json": picture}]},
            cost=Decimal("0.020"),
        ),
        kind="image",
        body=body,
        messages=[user("a fox")],
    )
    meta = sealed(
        Outcome(status="ok", response={"id": "x"}, prompt_tokens=1),
        kind="metadata",
        body={"model": "m"},
        root=image.conversation_id,
    )
    [row] = rows("image_logs")
    assert (row["id"], row["request"], row["usage_cost"]) == (image.id, body, pytest.approx(0.02))
    assert row["response"] == {
        "created": 1,
        "data": [
            {"b64_json": f"[file with sha256 {sha256(base64.b64decode(picture)).hexdigest()}]"}
        ],
    }
    [row] = rows("meta_summarizer_log")
    assert (row["id"], row["orig_summarized_id"], row["usage_info"]["total_tokens"]) == (
        meta.id,
        str(image.conversation_id),
        1,
    )
    assert rows("chatgpt_logs") == []


def test_each_message_is_there_once():
    alice, said = person(), []
    for i in range(5):
        said.append(user(f"question {i}"))
        turn(alice, said, f"answer {i}")
        said.append(assistant(f"answer {i}"))
    parts = [
        {"type": "text", "text": "What is"},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
        {"type": "text", "text": "this?"},
    ]
    turn(alice, [*said, user(parts)], "A picture.")
    shown = sorted(rows("messages"), key=lambda row: row["depth"])
    assert [(row["role"], row["text"]) for row in shown] == [
        (message["role"], message["content"]) for message in said
    ] + [
        ("user", "What is\nthis?"),
        ("assistant", "A picture."),
    ]
    assert shown[-2]["more"] == {"content": parts}
    assert {(row["user_name"], row["root_gpt_id"]) for row in shown} == {
        ("alice", str(Conversation.objects.get().id))
    }
    assert {row["origin"] for row in shown if row["role"] == "assistant"} == {"relayed"}


# Whatever is stored ---------------------------------------------------------------------------


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    script=st.lists(st.tuples(messages, messages, st.integers(0, 3)), min_size=1, max_size=3),
    params=st.dictionaries(texts, values, max_size=2),
)
def test_every_row_is_what_was_sent_and_answered(script, params):
    """The views give back what the record does of calls that continue, fork, forge and repeat."""
    with transaction.atomic():
        alice, history = person(), []
        for more, replies, keep in script:
            history = orjson.loads(orjson.dumps(history[: len(history) - keep] + more))
            extra = {k: v for k, v in params.items() if k not in ("model", "messages")}
            call = ask(alice, history, params=extra)
            response = {
                "choices": [{"index": i, "message": reply} for i, reply in enumerate(replies)],
                "usage": params,
            }
            assert record.close(call, Outcome(status="ok", replies=replies, response=response))
            history = [*history, replies[0]]
        shown = {row["id"]: row for row in rows("chatgpt_logs")}
        for snapshot in Snapshot.objects.all():
            assert shown[snapshot.id]["request"] == as_shown(rebuild.rebuild_request(snapshot))
            assert shown[snapshot.id]["response"] == as_shown(rebuild.rebuild_response(snapshot))
        for view in ("messages", "usage"):
            rows(view)
        transaction.set_rollback(True)


def test_nothing_is_nested_too_deep_to_be_shown():
    deep = {"$attachment": ["a", "b"]}
    for _ in range(60):
        deep = {"$attachment": [deep]}
    answer(ask(person(), [user([deep])], params={"metadata": deep}), None, tool_calls=[deep])
    assert "$attachment" in str(rows("chatgpt_logs")[0]["request"])
    rows("messages")


@pytest.mark.parametrize(
    "text",
    [
        "\0",
        "a\0\0b",
        "\\\0",
        "\\u0000",
        "\\\\u0000",
        "\\\\\0",
        '"\0',
        "\ufffd",
        "\ud7ff\U0001f600\x7f\x01",
        "x" * 300_000 + "\0",
    ],
    ids=range(10),
)
def test_what_json_cannot_hold_is_replaced_and_says_so(text):
    snapshot = turn(
        person(),
        [user(text), assistant(text), user([{"type": "text", "text": text}])],
        text,
        params={"metadata": {text[:9]: text[-9:]}},
    )
    [row] = rows("chatgpt_logs")
    assert row["request"] == as_shown(rebuild.rebuild_request(snapshot))
    assert row["response"] == as_shown(rebuild.rebuild_response(snapshot))
    assert (
        row["request"].get("_replaced", False)
        == row["response"].get("_replaced", False)
        == ("\0" in text)
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT request::jsonb, response::jsonb, more::jsonb FROM llm_logs.chatgpt_logs,"
            " llm_logs.messages"
        )
        assert len(cursor.fetchall()) == 4


def test_what_an_upstream_names_as_a_message_is_not_looked_up_for_it():
    """A reply of bob's that names a message of alice's shows the name, not the message."""
    secret = turn(person("alice"), [user("hi")], "alice's secret").reply_id
    fake = {
        "choices": [
            {"message": {"$message": str(secret)}},
            "odd",
            {"message": {"$message": 7}},
            {},
        ],
        "also": {"$message": str(secret)},
    }
    snapshot = sealed(
        Outcome(status="ok", response=fake), kind="title", body={}, owner=person("bob")
    )
    [row] = rows("chatgpt_logs", id=snapshot.id)
    assert row["response"] == fake == rebuild.rebuild_response(snapshot)
    call = ask(person("bob"), [user("hi")])
    record.close(call, Outcome(status="ok", response=fake))
    assert rows("chatgpt_logs", id=call.id)[0]["response"] == fake


def test_a_limit_rebuilds_no_more_rows_than_it_shows():
    alice = person()
    for i in range(40):
        turn(alice, [user(f"hi {i}")], "Hello!")
    with connection.cursor() as cursor:
        cursor.execute(
            "EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM llm_logs.chatgpt_logs ORDER BY"
            " response_time DESC LIMIT 7"
        )
        plan = cursor.fetchone()[0][0]["Plan"]

    def nodes(node):
        yield node
        for inner in node.get("Plans", []):
            yield from nodes(inner)

    assert [
        node["Actual Loops"] for node in nodes(plan) if node["Node Type"] == "Recursive Union"
    ] == [7]
