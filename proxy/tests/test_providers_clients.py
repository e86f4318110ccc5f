"""openai-python before upstreams of every kind, through the gateway as it is served.

What it gets, what arrives there, what is on record.
"""

import json

import openai
import pytest

from conversations.models import Snapshot
from proxy.models import Model, Route, Upstream
from proxy.tests import aws
from proxy.tests.conftest import is_discreet
from proxy.tests.gateway import ALICE, CANARY, SECRET, Gateway, marked
from proxy.tests.wire import SSE, chunk, exactly, json_reply

SECRETS = {
    "OPENAI_AUTHORIZATION": f"Bearer sk-{SECRET}",
    "AZURE_KEY": f"azure-{SECRET}",
    "AWS_KEYS": aws.CREDENTIAL,
}
UPSTREAMS = {  # kind → its row, and what it calls the model
    "openai": ({"path": "/v1", "secret": "OPENAI_AUTHORIZATION"}, "meta-llama/Llama-3"),
    "azure": ({"path": "", "secret": "AZURE_KEY"}, "gpt-4o eu"),
    "sagemaker": ({"path": "", "secret": "AWS_KEYS", "region": "us-east-1"}, "llama/2"),
    "sagemaker_gateway": ({"path": "/prod/chat"}, ""),
}
LINES = {
    "openai": "POST /v1/chat/completions HTTP/1.1",
    "azure": "POST /openai/deployments/gpt-4o%20eu/chat/completions?api-version=2024-10-21 "
    "HTTP/1.1",
    "sagemaker": "POST /endpoints/llama%2F2/invocations HTTP/1.1",
    "sagemaker_gateway": "POST /prod/chat HTTP/1.1",
}
COUNTED = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
HEAD = {"id": "chatcmpl-1", "created": 1, "model": "served"}
FILTERS = (
    b'data: {"id": "", "object": "", "created": 0, "model": "", "choices": [], '
    b'"prompt_filter_results": [{"prompt_index": 0}]}\n\n'
)


def completion(text):
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
    }
    return json_reply(
        json.dumps(
            HEAD | {"object": "chat.completion", "choices": [choice], "usage": COUNTED}
        ).encode()
    )


def stream(text, first=b""):
    events = [
        {"index": 0, "delta": {"role": "assistant", "content": text[:3]}},
        {"index": 0, "delta": {"content": text[3:]}, "finish_reason": "stop"},
    ]
    chunks = [HEAD | {"choices": [event]} for event in events] + [
        HEAD | {"choices": [], "usage": COUNTED}
    ]
    raw = (
        first
        + b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in chunks)
        + b"data: [DONE]\n\n"
    )
    return exactly(SSE, chunk(raw), b"0\r\n\r\n")


ANSWERS = {
    "openai": (completion, stream),
    "azure": (completion, lambda text: stream(text, FILTERS)),
    "sagemaker": (aws.runtime, aws.runtime),
    "sagemaker_gateway": (aws.generation, aws.generation),
}


@pytest.fixture(scope="module")
def served(database, folder, wire):
    """A gateway with a model of each kind, named as the kind."""
    for kind, (fields, name) in UPSTREAMS.items():
        fields = dict(fields)
        upstream = Upstream.objects.create(
            name=kind,
            kind=kind,
            label=kind.upper(),
            base_url=wire.url + fields.pop("path"),
            **fields,
        )
        Route.objects.create(
            model=Model.objects.create(name=kind, capabilities=Model.Capability.values),
            upstream=upstream,
            upstream_model=name,
        )
    gateway = Gateway(folder, DATABASE_URL=database, UPSTREAM_SECRETS=",".join(SECRETS), **SECRETS)
    yield gateway
    gateway.stop()
    Model.objects.all().delete()
    Upstream.objects.all().delete()
    is_discreet(gateway.log)
    assert "AKID" not in gateway.log.read_text()


@pytest.fixture
def client(served):
    with openai.OpenAI(
        base_url=f"{served.url}/v1", api_key=ALICE, max_retries=0, timeout=60
    ) as client:
        yield client


def asked(*texts):
    return [
        {"role": "system", "content": "Be short."},
        *({"role": "user", "content": text} for text in texts),
    ]


def on_record(reply):
    return Snapshot.objects.exclude(status="pending").get(id=reply.headers["x-request-id"])


def estimated(kind):
    return kind.startswith("sagemaker")


def is_proven(kind, request):
    if kind == "openai":
        assert request.headers["authorization"] == SECRETS["OPENAI_AUTHORIZATION"]
    elif kind == "azure":
        assert (request.headers["api-key"], request.headers.get("authorization")) == (
            SECRETS["AZURE_KEY"],
            None,
        )
    elif kind == "sagemaker":
        assert aws.refused(request) == ""
    else:
        assert "authorization" not in request.headers


@pytest.mark.parametrize("kind", UPSTREAMS)
def test_it_chats(client, wire, kind):
    question = marked()
    wire.answer = ANSWERS[kind][0](f"So {CANARY}")
    reply = client.chat.completions.with_raw_response.create(
        model=kind, messages=asked(question), max_tokens=9
    )
    got = reply.parse()
    assert (got.choices[0].message.content, got.choices[0].finish_reason) == (
        f"So {CANARY}",
        "stop",
    )
    request, snapshot = wire.seen[-1], on_record(reply)
    assert request.line == LINES[kind]
    is_proven(kind, request)
    if estimated(kind):
        assert json.loads(request.body) == {
            "inputs": [asked(question)],
            "parameters": {"max_new_tokens": 9, "top_p": 0.9, "temperature": 0.6},
        }
    else:
        assert json.loads(request.body) == {
            "model": UPSTREAMS[kind][1],
            "messages": asked(question),
            "max_tokens": 9,
        }
    assert (snapshot.status, snapshot.model, snapshot.upstream, snapshot.reply.text) == (
        "ok",
        kind,
        kind.upper(),
        f"So {CANARY}",
    )
    assert snapshot.estimated is estimated(kind)
    assert (got.usage.prompt_tokens, got.usage.completion_tokens) == (
        snapshot.prompt_tokens,
        snapshot.completion_tokens,
    )
    assert getattr(got.usage, "estimated", False) is estimated(kind)


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("kind", UPSTREAMS)
def test_it_streams(client, wire, kind, counts):
    wire.answer = ANSWERS[kind][1](f"So {CANARY}")
    options = {"stream_options": {"include_usage": True}} if counts else {}
    with client.chat.completions.with_streaming_response.create(
        model=kind, messages=asked(marked()), stream=True, **options
    ) as reply:
        chunks = list(reply.parse())
    choices = [choice for piece in chunks for choice in piece.choices]
    assert "".join(choice.delta.content or "" for choice in choices) == f"So {CANARY}"
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["stop"]
    snapshot = on_record(reply)
    tokens = snapshot.prompt_tokens + snapshot.completion_tokens
    assert [piece.usage.total_tokens for piece in chunks if piece.usage] == (
        [tokens] if counts else []
    )
    assert (snapshot.status, snapshot.estimated, snapshot.reply.text) == (
        "ok",
        estimated(kind),
        f"So {CANARY}",
    )
    request = wire.seen[-1]
    assert request.line == LINES[kind]
    is_proven(kind, request)
    assert ("stream" in json.loads(request.body)) is not estimated(kind)


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("kind", ["sagemaker", "sagemaker_gateway"])
def test_what_cannot_be_translated_is_refused_and_never_leaves(
    client, wire, recorded, kind, streams
):
    before = len(wire.seen)
    tool = {"type": "function", "function": {"name": "weather", "parameters": {}}}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model=kind, messages=asked(marked()), tools=[tool], stream=streams
        )
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "tools")
    assert len(wire.seen) == before
    [snapshot] = recorded()
    assert (snapshot.status, snapshot.error_code) == ("refused", "unsupported_parameter")


def test_what_a_kind_does_not_have_is_not_found(client, wire, recorded):
    before = len(wire.seen)
    with pytest.raises(openai.NotFoundError) as caught:
        client.embeddings.create(model="sagemaker", input="house")
    assert (caught.value.code, caught.value.param) == ("endpoint_not_supported", "model")
    assert len(wire.seen) == before
    assert [snapshot.status for snapshot in recorded()] == ["refused"]


def test_azure_draws_over_a_picture(client, wire):
    wire.answer = json_reply(b'{"created": 1, "data": [{"b64_json": "aVBORw0KGgo="}]}')
    client.images.edit(
        model="azure", prompt="A house", image=("a.png", b"\x89PNG\r\n\x1a\n", "image/png")
    )
    request = wire.seen[-1]
    assert (
        request.line
        == "POST /openai/deployments/gpt-4o%20eu/images/edits?api-version=2024-10-21 HTTP/1.1"
    )
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b'name="model"\r\n\r\ngpt-4o eu\r\n' in request.body


def test_azures_filter_is_the_callers_400(client, wire, recorded):
    error = {
        "message": "Filtered.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "X"},
    }
    wire.answer = json_reply(json.dumps({"error": error}).encode(), "400 Bad Request")
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="azure", messages=asked(marked()))
    assert (caught.value.code, caught.value.param) == ("content_filter", "prompt")
    [snapshot] = recorded()
    assert (snapshot.status, snapshot.error_code) == ("failed", "content_filter")


@pytest.mark.parametrize(
    ("answer", "raised", "status", "code"),
    [
        (aws.runtime(region="eu-west-1"), openai.InternalServerError, 502, "upstream_credentials"),
        (
            json_reply(
                b'{"message": "Rate exceeded"}',
                "400 Bad Request",
                headers=b"x-amzn-ErrorType: ThrottlingException\r\n",
            ),
            openai.RateLimitError,
            429,
            "ThrottlingException",
        ),
        (
            json_reply(
                b'{"Message": "m", "OriginalStatusCode": 422, "OriginalMessage": "too long"}',
                "424 Odd",
                headers=b"x-amzn-ErrorType: ModelError\r\n",
            ),
            openai.UnprocessableEntityError,
            422,
            "ModelError",
        ),
        (
            json_reply(b'{"message": "Endpoint request timed out"}', "504 Gateway Timeout"),
            openai.InternalServerError,
            504,
            "upstream_timeout",
        ),
        (
            json_reply(b'{"errorMessage": "Task timed out"}'),
            openai.InternalServerError,
            502,
            "upstream_failed",
        ),
        (json_reply(b"[]"), openai.InternalServerError, 502, "upstream_bad_reply"),
        (
            json_reply(b"<html>", kind="text/html"),
            openai.InternalServerError,
            502,
            "upstream_bad_reply",
        ),
    ],
)
@pytest.mark.parametrize("streams", [False, True])
def test_amazons_troubles(client, wire, recorded, answer, raised, status, code, streams):
    wire.answer = answer
    with pytest.raises(raised) as caught:
        client.chat.completions.create(model="sagemaker", messages=asked(marked()), stream=streams)
    assert (caught.value.status_code, caught.value.code) == (status, code)
    [snapshot] = recorded()
    assert (snapshot.status, snapshot.error_code) == ("failed", code)
