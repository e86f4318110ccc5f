"""What the gateway adds to a stream's request breaks no call."""

import json

import pytest

from proxy.models import Model, Route, Upstream
from proxy.tests.gateway import marked
from proxy.tests.wire import DONE, SSE, Wire, chunk, exactly, json_reply, word

STREAM = exactly(SSE, chunk(word("Fine.", "stop")), chunk(DONE) + b"0\r\n\r\n")
REFUSALS = {
    "FastAPI": (
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "No"}]},
        "422 Unprocessable Entity",
    ),
    "OpenAI": (
        {"error": {"message": "Unrecognized request argument", "param": "stream_options"}},
        "400 Bad Request",
    ),
    "words": ({"error": "stream_options is not supported"}, "400 Bad Request"),
}


def strict(refusal: bytes, status: str):
    """An upstream that takes no stream_options."""

    def answer(sock, request):
        refused = "stream_options" in json.loads(request.body)
        (json_reply(refusal, status) if refused else STREAM)(sock, request)

    return answer


@pytest.fixture
def upstream():
    with Wire() as wire:  # an address of its own: what it refuses is remembered
        yield wire


@pytest.mark.parametrize(("body", "status"), REFUSALS.values(), ids=REFUSALS)
def test_what_is_refused_is_left_out_and_remembered(started, upstream, recorded, body, status):
    upstream.answer = strict(json.dumps(body).encode(), status)
    gateway = started(LLM_ENDPOINT=f"{upstream.url}/v1/chat/completions")
    for asked in (2, 3):
        reply = gateway.ask(marked(), stream=True)
        assert reply.events[-1] == "[DONE]", reply.body
        assert len(upstream.seen) == asked
    assert [(each.status, each.reply.text, each.estimated) for each in recorded(2)] == [
        ("ok", "Fine.", True)
    ] * 2
    theirs = gateway.ask(marked(), stream=True, stream_options={"include_usage": True})
    assert theirs.status == int(status[:3])  # what the caller asked for is the caller's to read
    assert "stream_options" in f"{theirs.error}"
    recorded(3)


def test_a_box_says_so_beforehand(started, upstream, recorded):
    upstream.answer = STREAM
    row = Upstream.objects.create(
        name="strict", base_url=f"{upstream.url}/v1", no_stream_options=True
    )
    model = Model.objects.create(name="strict")
    Route.objects.create(model=model, upstream=row)
    try:
        gateway = started(UPSTREAM_HTTP_HOSTS="127.0.0.1")
        assert gateway.ask(marked(), model="strict", stream=True).events[-1] == "[DONE]"
    finally:
        model.delete()
        row.delete()
    assert "stream_options" not in json.loads(upstream.seen[0].body)
    assert recorded()[0].status == "ok"
