"""The list of models, in every shape in which upstreams send it."""

import json

import pytest
from django.test import Client

from proxy.tests.gateway import ALICE
from proxy.tests.wire import json_reply
from proxy.upstreams import catalogue

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def upstream(settings, wire):
    settings.LLM_ENDPOINT = f"{wire.url}/v1/chat/completions"
    catalogue.forget()
    yield wire
    catalogue.forget()


def get(path: str):
    return Client(headers={"authorization": f"Bearer {ALICE}"}).get(path)


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ({"object": "list", "data": [{"id": "a", "object": "model"}]}, ["a"]),
        ([{"id": "a", "object": "model"}, {"id": "b"}], ["a", "b"]),
        (["a", "b"], ["a", "b"]),
        ({"models": [{"name": "a"}, {"model": "b"}]}, ["a", "b"]),
        ({"data": [{"name": "a"}, {"id": "b"}, {"nothing": 1}, 5]}, ["a", "b"]),
        ({"models": {"a": {"context": 8000}, "b": None}}, ["a", "b"]),
        ({"data": ["a"]}, ["a"]),
        ({"value": [{"id": "a", "model": "gpt"}]}, ["a"]),
        ({"result": {"data": [{"id": "a"}]}}, ["a"]),
        ({"data": {"models": ["a", "b"]}, "success": True}, ["a", "b"]),
        ({"data": None, "models": [{"name": "a"}]}, ["a"]),
        ({"modelSummaries": [{"modelId": "a"}]}, ["a"]),
        ({"object": "list", "data": None}, []),
        ({"data": []}, []),
        ([], []),
    ],
)
def test_the_list_in_every_shape(upstream, answer, names):
    upstream.answer = json_reply(json.dumps(answer).encode())
    listed = get("/v1/models")
    assert (listed.status_code, listed.json()["object"]) == (200, "list")
    assert [model["id"] for model in listed.json()["data"]] == names
    assert {model["object"] for model in listed.json()["data"]} <= {"model"}
    for name in names:
        assert get(f"/v1/models/{name}").json()["id"] == name


@pytest.mark.parametrize("answer", [{}, {"data": 5}, {"data": [{"nothing": 1}]}, "models", None])
def test_what_is_no_list_is_said(upstream, answer):
    upstream.answer = json_reply(json.dumps(answer).encode())
    response = get("/v1/models")
    assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_bad_reply")
