"""Assessments by a model, by /api/metadata_check."""

import orjson
import pytest
from django.db import connection
from django.test import Client

from conversations.models import Conversation, Snapshot
from conversations.tests.calls import person, turn, user
from proxy.api import authentication
from proxy.models import ApiKey
from proxy.tests.wire import Wire, json_reply

pytestmark = pytest.mark.django_db
SOUND = {
    "chat_summary": "<b>Keys</b>", "description": "d", "llm_deliverables": "steps", "languages": "English", "satisfaction_score": 8,
    "work_related": True, "user_seconds_saved": 600, "assistant_seconds_saved": 300, "assistant_wage": 40.5,
}  # fmt: skip


@pytest.fixture
def upstream(settings):
    authentication._known.clear()
    settings.METADATA_CHECK = True
    with Wire() as wire:
        settings.LLM_ENDPOINT = f"{wire.url}/v1/chat/completions"
        yield wire


@pytest.fixture
def hers():
    alice = person("alice")
    ApiKey.make(alice, "test", secret="gw-meta-key")
    return turn(alice, [user("How do I rotate keys?")], "a", model="gpt-4o").conversation


def check(root: object):
    headers = {"authorization": "Bearer gw-meta-key"}
    return Client(headers=headers).post("/api/metadata_check", orjson.dumps({"root_id": root}), content_type="application/json")


def saying(text: str) -> bytes:
    return orjson.dumps({"id": "c", "model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]})


def test_a_sound_assessment_is_answered_and_on_record(upstream, hers):
    upstream.answer = json_reply(saying(orjson.dumps(SOUND | {"more": 1}).decode()))
    answer = check(str(hers.id))
    assert answer.status_code == 200, answer.content
    assert orjson.loads(answer.json()["metadata"]) == SOUND
    call = Snapshot.objects.get(kind="metadata")
    assert (call.status, call.conversation, call.owner) == ("ok", None, hers.owner)
    assert Conversation.objects.get().turns == hers.turns
    with connection.cursor() as cursor:
        cursor.execute("SELECT orig_summarized_id FROM llm_logs.meta_summarizer_log")
        assert cursor.fetchall() == [(str(hers.id),)]


@pytest.mark.parametrize(
    "text", ["garbage", "[]", "{}", orjson.dumps(SOUND | {"satisfaction_score": 11}).decode(), orjson.dumps(SOUND | {"work_related": 1}).decode()]
)
def test_an_unsound_one_is_an_error(upstream, hers, text):
    upstream.answer = json_reply(saying(text))
    assert check(str(hers.id)).status_code == 502


def test_a_strangers_conversation_is_unknown(upstream, hers):
    bobs = turn(person("bob"), [user("Hi")], "a", model="gpt-4o").conversation
    assert check(str(bobs.id)).status_code == check("nonsense").status_code == 404


def test_it_is_off_unless_switched_on(upstream, hers, settings):
    settings.METADATA_CHECK = False
    assert check(str(hers.id)).status_code == 404
    assert Snapshot.objects.get(kind="metadata").status == "refused", "nothing left"
