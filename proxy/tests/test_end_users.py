"""The people for whom a shared key speaks are strangers to each other, however they ask."""

from importlib import import_module
from itertools import product
from typing import Any

import orjson
import pytest
from django.db import connection
from django.test import Client

from conversations.models import Conversation, Snapshot, User
from proxy.api import authentication
from proxy.api.openai import SESSION_HEADERS
from proxy.models import ApiKey

pytestmark = pytest.mark.django_db
V1, CLASSIC = "/v1/chat/completions", "/api/chat"
QUESTION = [{"role": "user", "content": "hello"}]
# Who asks first and who asks then: whose a conversation is must be the same.
PAIRS = list(product(("ann", "ben", None), repeat=2))


@pytest.fixture(autouse=True)
def secret(sent) -> str:
    authentication.callers.forget()
    owner = User.objects.create_user("front end")
    return ApiKey.make(owner, "chat", shared=True, scopes=ApiKey.OWN_SCOPES)[1]


def ask(secret: str, path: str, end_user: Any, headers=(), **more: Any):
    body = {"model": "gpt-4o", "messages": QUESTION} | more
    if end_user is not None:
        body["user"] = end_user
    return Client().post(
        path,
        orjson.dumps(body),
        content_type="application/json",
        headers={"authorization": f"Bearer {secret}", **dict(headers)},
    )


def root_of(reply) -> str:
    assert reply.status_code == 200, reply.content
    return reply["x-conversation-id"]


def by_header(secret, end_user, first):
    return ask(secret, V1, end_user, {"x-conversation-id": root_of(first)})


def by_root(secret, end_user, first):
    return ask(secret, CLASSIC, end_user, root_id=root_of(first))


def by_reply_id(secret, end_user, first):
    return ask(secret, CLASSIC, end_user, root_id=first.json()["id"])


@pytest.mark.parametrize("name", [by_header, by_root, by_reply_id], ids=lambda each: each.__name__)
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_a_conversation_that_is_named_is_ones_own(secret, name, one, other):
    first = ask(secret, V1, one)
    answer = name(secret, other, first)
    if one == other:
        assert root_of(answer) == root_of(first)
    else:
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "conversation_not_found"
        unknown = ask(secret, V1, other, {"x-conversation-id": str(Snapshot.objects.first().id)})
        assert unknown.json()["error"] == answer.json()["error"]
    assert Conversation.objects.count() == 1


@pytest.mark.parametrize("header", SESSION_HEADERS)
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_a_session_is_ones_own(secret, header, one, other):
    first, then, again = (ask(secret, V1, who, {header: "main"}) for who in (one, other, one))
    assert (root_of(first) == root_of(then)) == (one == other)
    assert root_of(again) == root_of(first)
    for row in Conversation.objects.all():
        assert {call.end_user for call in row.snapshots.all()} == {row.end_user}


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_the_reply_to_an_equal_request_is_ones_own(secret, one, other):
    ask(secret, CLASSIC, one)
    answer = ask(secret, "/api/checkchat", other)
    assert answer.status_code == (200 if one == other else 404)


ALIKE = {
    "long": ("x" * 300 + "ann", "x" * 300 + "ben"),
    "odd": ("ann\0", "ann\x01"),
    "number": (1, 2),
    "nothing": (0, False),
    "list": (["ann"], ["ben"]),
    "object": ({"id": 1}, {"id": 2}),
}


@pytest.mark.parametrize("names", ALIKE.values(), ids=ALIKE)
def test_names_that_look_alike_are_two_people(secret, names):
    one, other = (root_of(ask(secret, V1, who, {"x-session-id": "main"})) for who in names)
    assert one != other
    assert len(set(Conversation.objects.values_list("end_user", flat=True))) == 2
    assert all(len(row.end_user) <= 200 for row in Conversation.objects.all())
    answer = ask(secret, V1, names[1], {"x-conversation-id": one})
    assert answer.status_code == 404
    again = ask(secret, V1, names[0], {"x-session-id": "main"})
    assert root_of(again) == one


def test_a_name_with_odd_characters_is_the_same_name_again(secret):
    name = "ann\0\u202e\ud7ff" + "x" * 300
    roots = {root_of(ask(secret, V1, name, {"x-session-id": "main"})) for _ in range(2)}
    assert len(roots) == 1


def test_conversations_that_exist_are_whose_call_began_them(secret):
    roots = {who: root_of(ask(secret, V1, who)) for who in ("ann", None)}
    Conversation.objects.update(end_user="")
    with connection.cursor() as cursor:
        cursor.execute(
            import_module("conversations.migrations.0034_conversation_end_user").OF_FIRST_CALL
        )
    for who, root in roots.items():
        assert Conversation.objects.get(id=root).end_user == (who or "")
        assert root_of(ask(secret, V1, who, {"x-conversation-id": root})) == root
