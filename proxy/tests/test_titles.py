"""Titles by a model: in the background after the first answer of a page's conversation.

And at once by /api/update_title_openai.
"""

from typing import Any

import orjson
import pytest
from django.db import connection
from django.test import Client
from procrastinate.contrib.django.models import ProcrastinateJob

from conversations.models import Conversation, Snapshot
from conversations.record import rebuild
from conversations.tests.calls import ask as begin
from conversations.tests.calls import person, turn, user
from proxy import tasks
from proxy.api import authentication
from proxy.jobs import titles
from proxy.models import ApiKey
from proxy.relay import calls
from proxy.tests.wire import Wire, json_reply

pytestmark = pytest.mark.django_db
FIRST_WORDS = "How do I rotate the signing keys of our webhooks?"


@pytest.fixture
def upstream(settings):
    """Answers as the test says."""
    with Wire() as wire:
        settings.LLM_ENDPOINT = f"{wire.url}/v1/chat/completions"
        yield wire


@pytest.fixture(autouse=True)
def sent(settings, server):
    """The requests that reached the demo upstream, in order."""
    settings.LLM_ENDPOINT = f"{server.url}/v1/chat/completions"
    server.seen.clear()
    authentication.callers.forget()
    return lambda: [seen["body"] for seen in server.seen]


def ask(client: Client, message: str = FIRST_WORDS, path: str = "/", **how) -> Conversation:
    answer = client.post(path, {"message": message, "model": "gpt-4o"}, **how)
    assert answer.status_code in (200, 303)
    b"".join(answer)
    return Conversation.objects.latest("started")


def jobs() -> list[ProcrastinateJob]:
    return list(ProcrastinateJob.objects.filter(task_name="proxy.tasks.title").order_by("id"))


def work() -> None:
    """What the worker does: each job that waits, once."""
    for job in jobs():
        tasks.title(**job.args)


def saying(text: str) -> bytes:
    return orjson.dumps(
        {
            "id": "chatcmpl-1",
            "model": "m-1",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}],
        }
    )


# In the background -------------------------------------------------------------------------------


STREAMED = pytest.param(
    {"headers": {"accept": "text/event-stream"}}, marks=pytest.mark.django_db(transaction=True)
)  # asked for by a thread of its own


@pytest.mark.parametrize("how", [{}, STREAMED])
def test_the_first_answer_of_a_page_brings_a_title(hers, sent, how):
    made = ask(hers, **how)
    assert made.title == FIRST_WORDS[:50].strip(), "at once"
    [job] = jobs()
    assert job.args == {"conversation": str(made.id)}, "no words of anybody's"
    work()
    made.refresh_from_db()
    assert made.titled_by == "model"
    assert made.title != FIRST_WORDS[:50].strip()
    assert 0 < len(made.title) <= 49
    assert made.title in hers.get(f"/c/{made.id}/").content.decode()
    asked = sent()[-1]
    assert (asked["model"], asked["temperature"]) == ("gpt-4o", 0)
    assert FIRST_WORDS in asked["messages"][-1]["content"]
    assert "stream" not in asked


def test_the_call_is_on_record_in_no_conversation(hers, alice, sent):
    made = ask(hers)
    before = Conversation.objects.values("turns", "cost", "last").get(id=made.id)
    work()
    call = Snapshot.objects.get(kind="title")
    assert (call.status, call.owner, call.conversation, call.head, call.model) == (
        "ok",
        alice,
        None,
        None,
        "gpt-4o",
    )
    assert call.prompt_tokens > 0
    assert call.cost > 0
    assert rebuild.rebuild_request(call) == sent()[-1]
    assert rebuild.rebuild_response(call)["choices"][0]["message"]["content"]
    assert Conversation.objects.count() == 1
    assert Conversation.objects.values("turns", "cost", "last").get(id=made.id) == before
    assert str(call.id) not in hers.get(f"/c/{made.id}/").content.decode()


def test_old_clients_and_sql_see_it_as_a_summarizer(hers):
    ask(hers)
    work()
    call = Snapshot.objects.get(kind="title")
    row = next(
        row
        for row in hers.get("/api/history").json()["Historical_list"]
        if row["id"] == str(call.id)
    )
    assert (row["convo_title"], row["convo_show"], row["root_gpt_id"]) == (
        "summarizer",
        False,
        None,
    )
    assert row["request"]["temperature"] == 0
    assert row["response"]["choices"]
    assert str(call.id) not in {
        row["id"] for row in hers.get("/api/history_v2").json()["Historical_Conversations"]
    }
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT convo_title, convo_show, root_gpt_id FROM llm_logs.chatgpt_logs WHERE id = %s",
            [call.id],
        )
        assert cursor.fetchall() == [("summarizer", False, None)]


def test_one_job_a_conversation_and_none_where_there_is_nothing_to_title(hers, settings):
    made = ask(hers)
    ask(hers, "and then?", f"/c/{made.id}/")
    assert len(jobs()) == 1
    ask(hers, "!down what is DNS?")
    assert len(jobs()) == 1, "no answer yet"
    settings.TITLES = False
    ask(hers, "another subject")
    assert len(jobs()) == 1


def test_a_retry_that_succeeds_brings_one(hers, upstream, settings, server):
    upstream.answer = json_reply(b"{}", "500 Internal Server Error")
    made = ask(hers)
    assert not jobs()
    settings.LLM_ENDPOINT = f"{server.url}/v1/chat/completions"
    b"".join(hers.post(f"/c/{made.id}/again/", {"call": Snapshot.objects.get().id}))
    assert len(jobs()) == 1


def test_a_programs_conversations_keep_their_first_words(alice):
    ApiKey.make(alice, "test", secret="gw-title-key", scopes=ApiKey.OWN_SCOPES)
    body = orjson.dumps({"model": "gpt-4o", "messages": [user("q")]})
    assert (
        Client(headers={"authorization": "Bearer gw-title-key"})
        .post("/api/chat", body, content_type="application/json")
        .status_code
        == 200
    )
    assert not jobs()


def test_a_title_of_its_owners_stays_for_good(hers):
    made = ask(hers)
    made.rename("My own")
    work()
    made.refresh_from_db()
    assert made.title == "My own"
    assert not Snapshot.objects.filter(kind="title").exists(), "no model is asked"


def test_the_owners_own_words_stay_even_where_they_are_the_first_ones(hers):
    made = ask(hers)
    made.rename(made.title)
    work()
    assert Conversation.objects.get().title == made.title


def test_who_renames_while_the_model_thinks_is_right(hers):
    made = ask(hers)

    def rename_and_answer(*ignored: Any) -> calls.Document:
        """In the model's place, on this thread: the test's transaction is nobody else's."""
        Conversation.objects.get(id=made.id).rename("Meanwhile")
        said = saying("Too late")
        return calls.Document(orjson.loads(said), said, "", None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calls, "post", rename_and_answer)
        work()
    made.refresh_from_db()
    assert (made.title, made.titled_by) == ("Meanwhile", "owner")


def test_a_job_that_runs_twice_asks_once(hers):
    ask(hers)
    work()
    work()
    assert Snapshot.objects.filter(kind="title").count() == 1


def test_a_conversation_that_is_gone_is_no_trouble(hers):
    tasks.title(conversation="01a20ae3-0000-7000-8000-000000000000")


@pytest.mark.parametrize(
    "answer",
    [
        json_reply(b'{"error": {"message": "no"}}', "500 Internal Server Error"),
        json_reply(b'{"error": {"message": "slower"}}', "429 Too Many Requests"),
        json_reply(b'{"error": {"message": "temperature"}}', "400 Bad Request"),
        json_reply(b"garbage"),
        json_reply(b'{"choices": []}'),
        json_reply(b'{"choices": [7]}'),
        json_reply(b'{"choices": [{"message": {"content": null}}]}'),
        json_reply(saying(" \n\t\n")),
        json_reply(saying("\u202e\u200b")),
    ],
)
def test_a_call_that_fails_changes_nothing_else(hers, alice, upstream, answer):
    made = turn(alice, [user(FIRST_WORDS)], "a").conversation
    before = Conversation.objects.values().get()
    upstream.answer = answer
    tasks.title(conversation=str(made.id))
    assert Conversation.objects.values().get() == before
    assert Snapshot.objects.filter(kind="title").exclude(status="pending").count() == 1
    assert len(upstream.seen) in (1, 3)  # one that was answered 5xx is tried again, twice
    assert hers.get(f"/c/{made.id}/").status_code == 200


def test_without_a_database_for_its_job_the_answer_is_whole_all_the_same(hers, monkeypatch):
    def broken(**kwargs):
        from django.db import OperationalError

        raise OperationalError

    monkeypatch.setattr(tasks.title, "configure", broken)
    assert ask(hers).turns == 1


def test_another_model_may_write_them(hers, settings, sent):
    settings.TITLE_MODEL = "gpt-4o-mini"
    ask(hers)
    work()
    assert sent()[-1]["model"] == "gpt-4o-mini"


def test_only_what_the_owner_said_is_sent_and_not_without_end(hers, alice, sent):
    call = turn(
        alice, [{"role": "system", "content": "Be terse."}, user("x" * 50_000)], "an answer"
    )
    for i in range(30):
        call = turn(
            alice,
            [{"role": "system", "content": "Be terse."}, user(f"more {i}")],
            "an answer",
            root=call.conversation_id,
        )
    tasks.title(conversation=str(call.conversation_id))
    text = sent()[-1]["messages"][-1]["content"]
    assert len(text) < 25_000
    assert "an answer" not in text
    assert "Be terse" not in text


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("Keys of webhooks", "Keys of webhooks"),
        ('"Keys of webhooks."', "Keys of webhooks"),
        ("**Title: Keys of webhooks**\n\nIt is about keys.", "Keys of webhooks"),
        ("# Keys\tof   webhooks", "Keys of webhooks"),
        ("„Schlüssel für Webhooks“", "Schlüssel für Webhooks"),
        ("What is DNS?", "What is DNS?"),
        ("a" * 60, "a" * 49),
        ("word " * 20, " ".join(["word"] * 10)),
        ("x\u202egnp.exe\0", "x gnp.exe"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
    ],
)
def test_what_is_a_title_of_what_a_model_says(said, title):
    assert titles.read(orjson.loads(saying(said))) == title
    assert len(title) <= 49


# At once -----------------------------------------------------------------------------------------


@pytest.fixture
def key(alice) -> dict[str, str]:
    ApiKey.make(alice, "test", secret="gw-title-key", scopes=ApiKey.OWN_SCOPES)
    return {"authorization": "Bearer gw-title-key"}


def update(headers: dict[str, str], body: object):
    return Client(headers=headers).post(
        "/api/update_title_openai", orjson.dumps(body), content_type="application/json"
    )


def test_an_old_client_gets_a_title_at_once(alice, key, sent):
    made = turn(alice, [user(FIRST_WORDS)], "a", model="gpt-4o").conversation
    answer = update(key, {"root_id": str(made.id)})
    assert answer.status_code == 200
    made.refresh_from_db()
    told = answer.json()
    assert told.keys() == {"message", "new title", "new_title"}
    assert told["new title"] == told["new_title"] == made.title != FIRST_WORDS
    assert len(made.title) <= 49
    call = Snapshot.objects.get(kind="title")
    assert (answer["x-request-id"], call.key, call.status) == (str(call.id), "gw-title-ke", "ok")
    assert sent()[-1]["temperature"] == 0


def test_who_asks_for_it_gets_it_after_a_rename_too(alice, key):
    made = turn(alice, [user(FIRST_WORDS)], "a", model="gpt-4o").conversation
    made.rename("My own")
    assert update(key, {"root_id": str(made.id)}).json()["new_title"] != "My own"
    made.refresh_from_db()
    assert made.titled_by == "model"


@pytest.mark.parametrize(
    "root", ["nonsense", None, 7, {"a": 1}, "6f1f4bd2-1d2b-4c43-9a5e-0e7f6f4f1d3a", "bobs", "\0"]
)
def test_an_unknown_conversation_and_a_strangers_are_one_404_and_on_record(key, sent, root):
    theirs = turn(person("bob"), [user("private")], "a").conversation
    answer = update(key, {"root_id": str(theirs.id) if root == "bobs" else root})
    assert (answer.status_code, answer.json()["message"]) == (404, "There is nothing here.")
    call = Snapshot.objects.get(kind="title")
    assert (call.status, call.conversation, call.error_code) == ("refused", None, "not_found")
    assert sent() == []


def test_a_key_without_the_scope_is_refused(alice, sent):
    ApiKey.make(alice, "test", secret="gw-narrow-key", scopes=["images"])
    made = turn(alice, [user("q")], "a").conversation
    answer = update({"authorization": "Bearer gw-narrow-key"}, {"root_id": str(made.id)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "scope_missing")
    assert Snapshot.objects.get(kind="title").status == "refused"
    assert sent() == []


def test_where_nothing_was_said_there_is_nothing_to_title(alice, key, sent):
    made = begin(
        alice,
        [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
                ],
            }
        ],
    ).conversation
    answer = update(key, {"root_id": str(made)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "nothing_to_title")
    assert sent() == []


@pytest.mark.parametrize(
    ("word", "status"),
    [("500 Internal Server Error", 502), ("429 Too Many Requests", 429), ("200 OK", 502)],
)
def test_its_failures_have_the_classic_shape(alice, key, upstream, word, status):
    made = turn(alice, [user(FIRST_WORDS)], "a").conversation
    upstream.answer = json_reply(
        b'{"error": {"message": "It broke."}}' if status != 200 else b"", word
    )
    answer = update(key, {"root_id": str(made.id)})
    assert answer.status_code == status
    assert answer.json()["message"] == answer.json()["error"]["message"]
    assert answer["x-request-id"] == str(Snapshot.objects.get(kind="title").id)
    assert Conversation.objects.get().title == FIRST_WORDS[:50].strip()
