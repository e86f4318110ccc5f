"""Fields and roles that begin with `$` are the record's own: a caller's are refused, and kept."""

import json
from io import BytesIO

import pytest
from django.test import Client

from conversations.models import Snapshot
from conversations.record.calls import REFUSED
from proxy.tests.gateway import ALICE

pytestmark = pytest.mark.usefixtures("database")
SAID = [{"role": "user", "content": "q"}]
OURS = {"role": "$tools", "tools": []}
BODIES = {
    "$as": {"messages": SAID, "$as": "responses"},
    "$refused": {"messages": SAID, "$refused": {"text": "all is well"}},
    "$attachment": {"messages": SAID, "$attachment": ["00" * 32, ""]},
    "messages[0].role": {"messages": [OURS, *SAID]},
    "messages[1].role": {"messages": [*SAID, OURS]},
    "input[0].role": {"messages": SAID, "input": [OURS]},
}
PATHS = [
    *("/v1/chat/completions", "/api/chat", "/openai/deployments/m/chat/completions"),
    *("/v1/embeddings", "/v1/images/generations"),
]


def post(path, body, **headers):
    client = Client(headers={"authorization": f"Bearer {ALICE}"} | headers)
    data = json.dumps({"model": "m", "prompt": "p"} | body).encode()
    return client.post(path, data, "application/json")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", BODIES)
def test_each_is_refused_by_its_path_and_described_on_record(path, name, recorded):
    response = post(path, BODIES[name])
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == name
    assert f"`{name}`" in error["message"]
    [call] = recorded()
    assert call.status == Snapshot.Status.REFUSED
    kept = json.loads(call.params)
    assert kept.keys() == {REFUSED}
    sent = json.loads(kept[REFUSED]["text"])
    assert sent == {"model": "m", "prompt": "p"} | BODIES[name]


def test_callers_of_anthropic_are_told_in_its_words():
    headers = {"anthropic-version": "2023-06-01"}
    error = post("/v1/chat/completions", BODIES["$as"], **headers).json()
    assert error["type"] == "error"
    assert error["error"]["type"] == "invalid_request_error"
    assert "`$as`" in error["error"]["message"]


@pytest.mark.parametrize("path", ["/api/update_title_openai", "/api/metadata_check"])
def test_a_refused_request_about_a_conversation_is_described_too(path, recorded):
    response = post(path, {"root_id": "none", "$refused": {"text": "all is well"}})
    assert response.status_code == 404
    [call] = recorded()
    assert "all is well" in json.loads(call.params)[REFUSED]["text"]
    assert json.loads(call.params)[REFUSED].keys() == {"length", "sha256", "text"}


def test_a_form_is_held_to_the_same(recorded):
    client = Client(headers={"authorization": f"Bearer {ALICE}"})
    form = {"model": "m", "prompt": "p", "$refused": "all is well"}
    response = client.post("/v1/images/edits", form | {"image": BytesIO(b"\x89PNG\r\n\x1a\n")})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "$refused")
    [call] = recorded()
    assert json.loads(call.params)[REFUSED].keys() == {"length", "sha256", "text"}
