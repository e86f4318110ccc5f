"""Programs are told plainly what is wrong, in the words of the API that they speak."""

import json

import pytest
from django.test import Client
from prometheus_client import REGISTRY

from llmgateway.ops import logs
from proxy.api import paths
from proxy.tests.gateway import ALICE
from proxy.tests.wire import ANSWER, json_reply

pytestmark = pytest.mark.usefixtures("database")
KEY = {"authorization": f"Bearer {ALICE}"}
ANTHROPIC = {"x-api-key": ALICE, "anthropic-version": "2023-06-01"}
QUESTION = {"model": "m", "messages": [{"role": "user", "content": "q"}]}
BASE = "http://testserver"


@pytest.fixture
def upstream(settings, wire):
    settings.LLM_ENDPOINT = f"{wire.url}/v1/chat/completions"
    wire.answer = json_reply(json.dumps(ANSWER).encode())
    wire.seen.clear()
    return wire


def send(method: str, path: str, headers: dict, body=None):
    data = b"" if body is None else json.dumps(body).encode()
    return Client(headers=headers).generic(method, path, data, "application/json")


# Errors ------------------------------------------------------------------------------------------


def is_openai(body) -> bool:
    return body.keys() == {"error"} and body["error"].keys() == {"message", "type", "param", "code"}


def is_classic(body) -> bool:
    return body.keys() == {"message", "error"} and body["message"] == body["error"]["message"]


def is_anthropic(body) -> bool:
    return (
        (body.keys(), body["type"]) == ({"type", "error", "request_id"}, "error")
        and body["error"].keys() == {"type", "message"}
        and bool(body["request_id"])
    )


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "base", "has_shape"),
    [
        ("POST", "/v1/mesages", KEY, 404, "/v1", is_openai),
        ("GET", "/v1", KEY, 404, "/v1", is_openai),
        ("OPTIONS", "/v1/nonesuch", KEY, 404, "/v1", is_openai),
        ("POST", "/v1/chat/completions", {}, 401, "/v1", is_openai),
        ("POST", "/v1/nonesuch", {}, 401, "/v1", is_openai),
        ("POST", "/v1/chat/completions", {"api-key": "gw-wrong"}, 401, "/v1", is_openai),
        ("GET", "/v1/chat/completions", KEY, 405, "/v1", is_openai),
        ("DELETE", "/v1/models", KEY, 405, "/v1", is_openai),
        ("POST", "/nonesuch", KEY, 404, "/v1", is_openai),
        ("POST", "/llm/v9/chat", {"x-api-key": ALICE}, 404, "/v1", is_openai),
        ("POST", "/nonesuch", {}, 404, "/v1", is_openai),  # JSON by itself
        ("POST", "/openai/deployments/m/nonesuch", KEY, 404, "/v1", is_openai),
        ("GET", "/api/nonesuch", KEY, 404, "/api", is_classic),
        ("GET", "/api/history", {}, 401, "/api", is_classic),
        ("DELETE", "/api/chat", KEY, 405, "/api", is_classic),
        ("POST", "/v1/messages", ANTHROPIC, 404, "", is_anthropic),
        ("POST", "/v1/messages", KEY, 404, "", is_anthropic),
        ("POST", "/v1/messages", {}, 401, "", is_anthropic),
        ("POST", "/messages", {"x-api-key": ALICE}, 404, "", is_anthropic),
        ("GET", "/v1/chat/completions", ANTHROPIC, 405, "", is_anthropic),
        ("POST", "/nonesuch", ANTHROPIC, 404, "", is_anthropic),
    ],
)
def test_who_asks_is_told_where_and_what(method, path, headers, status, base, has_shape):
    response = send(method, path, headers, {"x": 1})
    assert (response.status_code, response["content-type"]) == (status, "application/json")
    body = response.json()
    assert has_shape(body)
    message = body["error"]["message"]
    assert f"This was {method} {path};" in message
    assert f"the base URL of this API is {BASE}{base}." in message
    assert ALICE not in response.content.decode()


def test_a_call_that_is_refused_speaks_anthropics_too(upstream):
    response = send("POST", "/v1/chat/completions", ANTHROPIC, {"model": "m"})
    body = response.json()
    assert (response.status_code, body["error"]["type"]) == (400, "invalid_request_error")
    assert is_anthropic(body)
    assert body["request_id"] == response["x-request-id"]


@pytest.mark.parametrize(
    "name", ["authorization", "api-key", "x-api-key", "x-goog-api-key", "anthropic-version"]
)
def test_whoever_brings_a_key_gets_json(name):
    response = Client(headers={name: "x"}).get("/v1beta/models")
    assert (response.status_code, response["content-type"]) == (404, "application/json")


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer x", "accept": "text/html,*/*"}])
def test_a_person_still_gets_pages(headers):
    response = Client(headers=headers).get("/nonesuch")
    assert (response.status_code, response["content-type"]) == (404, "text/html; charset=utf-8")


# Paths -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions",
        "/v1/chat/completions/",
        "/v1//chat/completions",
        "//v1/chat//completions//",
        "/v1/v1/chat/completions",
        "/chat/completions",
        "/chat/completions/",
        "/openai/v1/chat/completions",
        "/openai/v1/chat/completions?api-version=preview",
        "/openai/deployments/m/chat/completions?api-version=2024-10-21",
        "/api/v1/chat/completions",
    ],
)
def test_a_call_by_any_base_url(upstream, path):
    response = send("POST", path, {"api-key": ALICE}, QUESTION)
    assert (response.status_code, response.json()["choices"]) == (200, ANSWER["choices"])
    [request] = upstream.seen
    assert request.line == "POST /v1/chat/completions HTTP/1.1"


@pytest.mark.parametrize(
    "body", [{"messages": QUESTION["messages"]}, QUESTION, QUESTION | {"model": None}]
)
def test_a_deployment_is_the_model(upstream, body):
    path = "/openai/deployments/gpt-ours/chat/completions?api-version=2024-10-21"
    assert send("POST", path, {"api-key": ALICE}, body).status_code == 200
    assert json.loads(upstream.seen[0].body) == QUESTION | {"model": "gpt-ours"}


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/models", "/v1/models"),
        ("/models/org/m/", "/v1/models/org/m"),
        ("/embeddings", "/v1/embeddings"),
        ("/openai/models", "/v1/models"),
        ("/openai/deployments/m/images/generations", "/v1/images/generations"),
        ("/anthropic/v1/messages", "/v1/messages"),
        ("/responses", "/v1/responses"),
        ("/api/docs", "/api/docs/"),
        ("/api/history/", "/api/history"),
        ("/api//history", "/api/history"),
        # Pages stay pages.
        ("/", "/"),
        ("/images/", "/images/"),
        ("/images/01a2/", "/images/01a2/"),
        ("/history//", "/history//"),
        ("/admin/proxy/model/", "/admin/proxy/model/"),
        ("/modelsx", "/modelsx"),
        ("/v10/chat", "/v10/chat"),
        ("/ping", "/ping"),
        ("/static/v1/x.css", "/static/v1/x.css"),
    ],
)
def test_what_a_path_means(path, meant):
    assert paths.find_meant(path).path == meant
    assert paths.find_meant(meant).path == meant


@pytest.mark.parametrize(
    ("rest", "endpoint", "model"),
    [
        ("m/chat/completions", "/v1/chat/completions", "m"),
        ("vendor/m/chat/completions", "/v1/chat/completions", "vendor/m"),
        ("accounts/us/models/m/embeddings", "/v1/embeddings", "accounts/us/models/m"),
        ("m/audio/speech", "/v1/audio/speech", "m"),
        ("m/nonesuch/x", "/v1/nonesuch/x", "m"),
    ],
)
def test_a_deployment_may_have_a_vendors_name(rest, endpoint, model):
    assert paths.find_meant(f"/openai/deployments/{rest}") == (endpoint, model)


def requests_counted() -> dict[tuple[str, ...], float]:
    samples = [each for metric in REGISTRY.collect() for each in metric.samples]
    return {
        tuple(each.labels.values()): each.value
        for each in samples
        if each.name == "llmgateway_requests_total"
    }


def test_unknown_endpoints_are_counted_by_the_vendors_paths_alone(caplog):
    told = {
        "/v1/responses": "/v1/responses",
        "/responses/": "/v1/responses",
        "/v1/responses/resp_of_alice": "/v1/responses",
        "/v1/messages/count_tokens": "/v1/messages/count_tokens",
        "/v1/audio/speech": "/v1/audio/speech",
        "/openai/deployments/m/audio/speech": "/v1/audio/speech",
        "/v1beta/models/gemini:generateContent": "/v1beta/models",
        "/api/tags": "/api/tags",
        "/v1/alices-own": "other",
        "/api/alices-own": "other",
    }
    before = requests_counted()
    for path, name in told.items():
        caplog.clear()
        assert send("POST", path, KEY, {}).status_code == 404
        [record] = [each for each in caplog.records if each.name == "django.request"]
        assert logs.words(record) == f"POST {name} 404"
    after = requests_counted()
    new = {labels for labels, count in after.items() if count > before.get(labels, 0)}
    assert new == {("POST", name, "4xx") for name in told.values()}
