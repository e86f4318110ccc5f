"""Azure on the wire: what arrives at it, and what its answers amount to. No database."""

import json

import openai
import pytest

from proxy.faults import Fault
from proxy.protocols import chat
from proxy.providers.base import Endpoint, Target
from proxy.providers.kinds import find_kind
from proxy.tests.providers import QUESTION, arrived
from proxy.tests.wire import json_reply

FILTERED = {
    "error": {
        "message": "The response was filtered.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {"hate": {"filtered": True, "severity": "high"}},
        },
    }
}
DEPLOYMENT = "/openai/deployments/gpt-4o"


@pytest.mark.parametrize(
    ("base", "options", "path"),
    [
        ("", {}, "/openai/deployments/house/{}?api-version=2024-10-21"),
        (
            "/",
            {"model": "gpt-4o", "api_version": "2025-03-01-preview"},
            "/openai/deployments/gpt-4o/{}?api-version=2025-03-01-preview",
        ),
        ("/openai/", {"model": "gpt-4o"}, "/openai/deployments/gpt-4o/{}?api-version=2024-10-21"),
        ("", {"model": "a b/c?d"}, "/openai/deployments/a%20b%2Fc%3Fd/{}?api-version=2024-10-21"),
        (
            f"{DEPLOYMENT}/chat/completions?api-version=2024-12-01-preview",
            {},
            DEPLOYMENT + "/{}?api-version=2024-12-01-preview",
        ),
        (
            DEPLOYMENT,
            {"model": "other", "api_version": "2024-10-21"},
            "/openai/deployments/other/{}?api-version=2024-10-21",
        ),
        ("/openai/v1/", {}, "/openai/v1/{}"),
        ("/openai/v1", {"api_version": "preview"}, "/openai/v1/{}?api-version=preview"),
    ],
)
@pytest.mark.parametrize("endpoint", Endpoint)
def test_azures_addresses(wire, base, options, path, endpoint):
    request = arrived(
        wire, Target("azure", wire.url + base, credential="key-1", **options), endpoint, QUESTION
    )
    assert request.line == f"POST {path.format(endpoint)} HTTP/1.1"
    assert request.headers["api-key"] == "key-1"
    assert "authorization" not in request.headers
    assert json.loads(request.body) == QUESTION | {"model": options.get("model", "house")}


USES = {
    Endpoint.CHAT: lambda client: client.chat.completions.create(
        model="a b", messages=QUESTION["messages"]
    ),
    Endpoint.IMAGES: lambda client: client.images.generate(model="a b", prompt="A house"),
    Endpoint.EDITS: lambda client: client.images.edit(
        model="a b", prompt="A house", image=("a.png", b"\x89PNG", "image/png")
    ),
    Endpoint.EMBEDDINGS: lambda client: client.embeddings.create(
        model="a b", input="house", encoding_format="float"
    ),
}


@pytest.mark.parametrize("proof", [{"api_key": "key-1"}, {"azure_ad_token": "eyJ"}])
@pytest.mark.parametrize("endpoint", Endpoint)
def test_azure_gets_what_its_own_client_sends(wire, endpoint, proof):
    wire.answer = json_reply(b'{"choices": [], "data": []}')
    before = len(wire.seen)
    with openai.AzureOpenAI(
        azure_endpoint=wire.url, api_version="2024-10-21", max_retries=0, **proof
    ) as client:
        USES[endpoint](client)
    [theirs] = wire.seen[before:]
    body = [("model", "a b")] if endpoint is Endpoint.EDITS else json.loads(theirs.body)
    credential = proof.get("api_key") or f"Bearer {proof['azure_ad_token']}"
    ours = arrived(wire, Target("azure", wire.url, credential=credential), endpoint, body)
    assert ours.line == theirs.line
    assert {name: ours.headers.get(name) for name in ("api-key", "authorization")} == {
        name: theirs.headers.get(name) for name in ("api-key", "authorization")
    }
    assert endpoint is Endpoint.EDITS or json.loads(ours.body) == json.loads(theirs.body)


def test_azure_takes_a_token_instead_of_a_key(wire):
    request = arrived(
        wire, Target("azure", wire.url, credential="Bearer eyJ"), Endpoint.CHAT, QUESTION
    )
    assert request.headers["authorization"] == "Bearer eyJ"
    assert "api-key" not in request.headers
    request = arrived(wire, Target("azure", wire.url, credential="none"), Endpoint.CHAT, QUESTION)
    assert not {"authorization", "api-key"} & request.headers.keys()


def test_azure_takes_a_form(wire):
    form = [
        ("model", "pictures"),
        ("prompt", "A house"),
        ("image", ("a.png", b"\x89PNG", "image/png")),
    ]
    request = arrived(wire, Target("azure", wire.url, credential="k"), Endpoint.EDITS, form)
    assert (
        request.line
        == "POST /openai/deployments/pictures/images/edits?api-version=2024-10-21 HTTP/1.1"
    )
    assert b'name="image"; filename="a.png"' in request.body


@pytest.mark.parametrize("name", [".", ".."])
def test_azure_has_no_deployment_that_is_no_step(wire, name):
    target = Target("azure", wire.url)
    with pytest.raises(Fault) as caught:
        find_kind(target, Endpoint.CHAT).request(target, Endpoint.CHAT, QUESTION | {"model": name})
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("base", "version", "more", "counts"),
    [
        ("", "", {}, True),
        ("", "2024-08-01-preview", {}, True),
        ("", "2024-06-01", {}, False),
        ("/openai/v1", "", {}, True),
        ("/openai/v1", "preview", {}, True),
        ("", "", {"data_sources": [{"type": "azure_search"}]}, False),
    ],
)
def test_azure_is_asked_to_count_a_stream_where_it_can(wire, base, version, more, counts):
    body = QUESTION | {"stream": True, "stream_options": {"include_usage": True}} | more
    sent = json.loads(
        arrived(
            wire, Target("azure", wire.url + base, api_version=version), Endpoint.CHAT, body
        ).body
    )
    assert ("stream_options" in sent) is counts
    assert sent == (
        body
        if counts
        else {name: value for name, value in body.items() if name != "stream_options"}
    )


def test_azures_filter_says_so(wire):
    target = Target("azure", wire.url)
    module = find_kind(target, Endpoint.CHAT)
    assert module.STREAMS
    assert module.error(400, {}, json.dumps(FILTERED).encode()) == (
        400,
        {
            "message": "The response was filtered.",
            "type": None,
            "param": "prompt",
            "code": "content_filter",
        },
    )
    busy = b'{"statusCode": 429, "message": "Rate limit is exceeded. Try again in 7 seconds."}'
    status, error = module.error(429, {"retry-after": "7"}, busy)
    assert (status, error["message"]) == (429, "Rate limit is exceeded. Try again in 7 seconds.")


def test_azures_stream_is_openais():
    first = {
        "id": "",
        "object": "",
        "model": "",
        "created": 0,
        "choices": [],
        "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}],
    }
    head = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "model": "gpt-4o-2024-08-06",
        "created": 1,
    }
    chunks = [
        first,
        head
        | {
            "choices": [
                {
                    "index": 0,
                    "delta": {"role": "assistant", "content": ""},
                    "finish_reason": None,
                    "content_filter_results": {},
                }
            ]
        },
        head
        | {
            "choices": [
                {
                    "index": 0,
                    "delta": {"content": "So."},
                    "finish_reason": None,
                    "content_filter_results": {"hate": {"filtered": False}},
                }
            ]
        },
        head
        | {
            "choices": [
                {"index": 0, "delta": {}, "finish_reason": "stop", "content_filter_results": {}}
            ]
        },
        head
        | {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}},
    ]
    raw = (
        b"".join(b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in chunks)
        + b"data: [DONE]\n\n"
    )
    reply = chat.Reply()
    reply.feed(raw)
    assert (reply.done, reply.bad, reply.finished) == (True, False, True)
    assert reply.whole() == head | {
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "So."},
                "finish_reason": "stop",
                "content_filter_results": {"hate": {"filtered": False}},
            }
        ],
        "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }
    assert b"prompt_filter_results" in chat.without_usage(raw)
    assert b"total_tokens" not in chat.without_usage(raw)
