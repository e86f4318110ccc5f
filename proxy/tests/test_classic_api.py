"""/api: the classic gateway's calls as its own clients make them, and REST for conversations."""

import uuid

import orjson
import pytest
from django.test import Client

from conversations.models import Conversation, Snapshot, User
from conversations.tests.unguarded import unguarded
from proxy.models import ApiKey

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def cast(settings, upstream):
    settings.LLM_ENDPOINT = f"{upstream.url}/v1/chat/completions"
    upstream.seen.clear()
    from proxy.api import authentication

    authentication.callers.forget()
    for name in ("alice", "bob"):
        user = User.objects.create(username=name, job_title="Analyst")
        ApiKey.make(user, "test", secret=f"gw-{name}-key", scopes=ApiKey.OWN_SCOPES)


def call(who, method, path, body=None):
    headers = {"authorization": f"Bearer gw-{who}-key"} if who else {}
    data = body if isinstance(body, bytes) else orjson.dumps(body) if body is not None else b""
    return Client(headers=headers).generic(
        method, f"/api/{path}", data, content_type="application/json"
    )


def post(who, path, body):
    return call(who, "POST", path, body)


def question(text, **more):
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": text}]} | more


def test_the_old_pages_own_sequence_is_one_conversation(upstream):
    first = post(
        "alice",
        "chat",
        question("What is a mutex?", root_id="string", convo_title="Locks", temperature=0.3),
    ).json()
    assert first["root_uuid"]
    assert first["uuid"]
    messages = [
        *question("What is a mutex?")["messages"],
        first["choices"][0]["message"],
        {"role": "user", "content": "And a semaphore?"},
    ]
    body = {"model": "gpt-4o", "messages": messages, "root_id": first["id"], "convo_title": "Locks"}
    second = post("alice", "chat", body).json()
    assert second["root_uuid"] == first["root_uuid"]
    assert Conversation.objects.get().title == "Locks"
    assert [seen["body"].keys() & {"root_id", "convo_title"} for seen in upstream.seen] == [
        set(),
        set(),
    ]
    assert upstream.seen[0]["body"]["temperature"] == 0.3
    checked = post("alice", "checkchat", body | {"temperature": 1}).json()
    assert checked == second
    assert len(upstream.seen) == 2
    rows = call("alice", "GET", "history").json()["Historical_list"]
    assert [row["id"] for row in rows] == [second["uuid"], first["uuid"]]
    assert rows[0]["request"]["messages"] == messages
    assert rows[0]["response"]["choices"] == second["choices"]
    assert {row["root_gpt_id"] for row in rows} == {first["root_uuid"]}
    assert (
        rows[0]["user_name"],
        rows[0]["title"],
        rows[0]["convo_title"],
        rows[0]["convo_show"],
    ) == ("alice", "Analyst", "Locks", True)
    assert rows[0]["usage_info"] == {
        k: second["usage"][k] for k in ("prompt_tokens", "completion_tokens", "total_tokens")
    }
    assert [
        row["id"] for row in call("alice", "GET", "history_v2").json()["Historical_Conversations"]
    ] == [second["uuid"]]


def test_checkchat_finds_only_an_equal_call_of_the_callers_own(upstream):
    post("alice", "chat", question("hello"))
    for who, body in (
        ("bob", question("hello")),
        ("alice", question("hello!")),
        ("alice", question("hello") | {"model": "gpt-4o-mini"}),
    ):
        answer = post(who, "checkchat", body)
        assert (answer.status_code, answer["retry-after"]) == (404, "5")
    with unguarded():
        Snapshot.objects.update(status="pending")
    assert post("alice", "checkchat", question("hello")).status_code == 404
    Snapshot.objects.update(status="failed", error="It broke.")
    answer = post("alice", "checkchat", question("hello"))
    assert (answer.status_code, answer.json()["message"]) == (502, "It broke.")
    assert len(upstream.seen) == 1


def test_streaming_works_here_too():
    answer = post("alice", "chat", question("hello", stream=True))
    text = b"".join(answer.streaming_content)
    assert text.endswith(b"data: [DONE]\n\n")
    assert Snapshot.objects.get().status == "ok"
    assert answer["x-conversation-id"] == str(Conversation.objects.get().id)


@pytest.mark.parametrize(
    "root",
    [
        "nonsense",
        7,
        ["x"],
        {"a": 1},
        "6f1f4bd2-1d2b-4c43-9a5e-0e7f6f4f1d3a",
        "chatcmpl-unknown",
        "\0",
    ],
)
def test_an_unknown_root_is_refused_and_recorded(root, upstream):
    answer = post("alice", "chat", question("hello", root_id=root))
    assert answer.status_code == 404
    assert answer.json()["message"] == answer.json()["error"]["message"] == "No such conversation."
    assert (Snapshot.objects.get().status, Snapshot.objects.get().conversation) == ("refused", None)
    assert not upstream.seen


@pytest.mark.parametrize("root", [None, "", "string"])
def test_no_root_is_a_new_conversation(root):
    for _ in range(2):
        assert post("alice", "chat", question("hello", root_id=root)).status_code == 200
    assert Conversation.objects.count() == 2


def test_strangers_get_the_same_404_for_everything():
    first = post("alice", "chat", question("hello")).json()
    before = list(Conversation.objects.values())
    for name in (first["root_uuid"], first["id"]):
        for method, path, body in (
            ("POST", "chat", question("hi", root_id="{}")),
            ("POST", "update_title", {"root_id": "{}", "convo_title": "mine"}),
            ("POST", "remove_convo", {"root_id": "{}"}),
            ("GET", "conversations/{}", None),
            ("PATCH", "conversations/{}", {"title": "mine"}),
            ("DELETE", "conversations/{}", None),
        ):
            answers = []
            for asked in (name, str(uuid.uuid4())):
                filled = (
                    orjson.loads(orjson.dumps(body).replace(b"{}", asked.encode()))
                    if body
                    else None
                )
                answers.append(call("bob", method, path.replace("{}", asked), filled))
            assert answers[0].status_code == answers[1].status_code == 404
            assert answers[0].content == answers[1].content
    assert list(Conversation.objects.values()) == before
    assert not call("bob", "GET", "history").json()["Historical_list"]


def test_titles_and_removal():
    root = post("alice", "chat", question("hello")).json()["root_uuid"]
    assert (
        post("alice", "update_title", {"root_id": root, "convo_title": " A  new\nname "}).json()[
            "new_title"
        ]
        == "A new name"
    )
    assert Conversation.objects.get().title == "A new name"
    assert "message" in post("alice", "remove_convo", {"root_id": root}).json()
    assert not call("alice", "GET", "history_v2").json()["Historical_Conversations"]
    rows = call("alice", "GET", "history").json()["Historical_list"]
    assert [row["convo_show"] for row in rows] == [False]


def test_history_goes_on_where_it_ended(monkeypatch):
    ids = [post("alice", "chat", question(f"question {i}")).json()["uuid"] for i in range(7)][::-1]
    seen, before = [], None
    while True:
        page = call(
            "alice", "GET", f"history?limit=3{f'&before={before}' if before else ''}"
        ).json()
        seen.append([row["id"] for row in page["Historical_list"]])
        if not (before := page["next"]):
            break
    assert seen == [ids[:3], ids[3:6], ids[6:]]
    monkeypatch.setattr("conversations.reading.history.LARGEST", 1)
    page = call("alice", "GET", "history").json()
    assert ([row["id"] for row in page["Historical_list"]], page["next"]) == (ids[:1], ids[0])
    for query in ("limit=0", "limit=x", "limit=-1", "before=x"):
        answer = call("alice", "GET", f"history?{query}")
        assert (answer.status_code, answer.json()["error"]["type"]) == (
            400,
            "invalid_request_error",
        )


def test_images_have_a_price_or_are_refused(upstream):
    answer = post("alice", "image_gen", {"prompt": "a red barn", "n": 2, "size": "256x256"})
    assert len(answer.json()["data"]) == 2
    assert float(Snapshot.objects.get().cost) == 0.032
    answer = post("alice", "image_gen", {"prompt": "a red barn", "size": "1x1"})
    assert answer.status_code == 400
    assert Snapshot.objects.filter(status="refused").count() == 1
    assert len([seen for seen in upstream.seen if "image" in seen["path"]]) >= 1


def test_rest_for_conversations():
    ids = [post("alice", "chat", question(f"question {i}")).json()["root_uuid"] for i in range(3)][
        ::-1
    ]
    page = call("alice", "GET", "conversations?limit=2").json()
    assert [row["id"] for row in page["conversations"]] == ids[:2]
    assert [
        row["id"]
        for row in call("alice", "GET", f"conversations?before={page['next']}").json()[
            "conversations"
        ]
    ] == ids[2:]
    one = call("alice", "GET", f"conversations/{ids[0]}").json()
    assert [message["message"]["role"] for message in one["messages"]] == ["user", "assistant"]
    assert one["messages"][1]["parent"] == one["messages"][0]["id"] == one["snapshots"][0]["head"]
    assert (
        call("alice", "PATCH", f"conversations/{ids[0]}", {"title": "Named"}).json()["title"]
        == "Named"
    )
    assert call("alice", "DELETE", f"conversations/{ids[0]}").status_code == 204
    assert [
        row["id"]
        for row in call("alice", "GET", "conversations?shown=true").json()["conversations"]
    ] == ids[1:]
    assert (
        call("alice", "GET", "conversations?model=gpt-4o&since=2020-01-01&until=2020-12-31").json()[
            "conversations"
        ]
        == []
    )
    for query in ("since=yesterday", "until=2026-13-01", "shown=maybe", "before=1", "limit=0"):
        assert call("alice", "GET", f"conversations?{query}").status_code == 400


def test_a_pages_session_serves_with_its_csrf_token_only():
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(User.objects.get(username="alice"))
    assert browser.get("/api/history").status_code == 200
    refused = browser.post("/api/chat", question("hello"), content_type="application/json")
    assert (refused.status_code, refused.json()["error"]["type"]) == (403, "permission_error")
    browser.get("/")
    token = browser.cookies["csrftoken"].value
    answer = browser.post(
        "/api/chat",
        question("hello"),
        content_type="application/json",
        headers={"x-csrftoken": token},
    )
    assert answer.status_code == 200
    assert (Snapshot.objects.get().owner.username, Snapshot.objects.get().key) == ("alice", "")


def test_a_presented_key_decides_even_a_wrong_one():
    browser = Client(headers={"authorization": "Bearer gw-wrong"})
    browser.force_login(User.objects.get(username="alice"))
    assert browser.get("/api/history").status_code == 401
    answer = Client().get("/api/history")
    assert (answer.status_code, answer["www-authenticate"]) == (401, "Bearer")
    assert set(answer.json()) == {"message", "error"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b"\xff", 400),
        ({"messages": []}, 400),
        ({"model": "m"}, 400),
        (question("x", stream_options=3, stream=True), 400),
    ],
)
def test_bad_bodies_are_told_what_is_wrong(body, status):
    answer = post("alice", "chat", body)
    assert (answer.status_code, set(answer.json())) == (status, {"message", "error"})
    assert Snapshot.objects.get().status == "refused"


@pytest.mark.parametrize(
    ("trigger", "status"),
    [
        ("!down", 502),
        ("!500", 502),
        ("!429", 429),
        ("!400", 400),
        ("!html", 502),
        ("!garbage", 502),
    ],
)
def test_an_upstreams_failure_is_said_in_both_shapes(trigger, status):
    answer = post("alice", "chat", question(f"hello {trigger}"))
    assert answer.status_code == status
    assert answer.json()["message"] == answer.json()["error"]["message"]
    assert Snapshot.objects.get().status == "failed"
