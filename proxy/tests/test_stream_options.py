"""What the gateway adds to a stream's request breaks no call."""

import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from proxy.models import Model, Route, Upstream
from proxy.tests.conftest import is_discreet
from proxy.tests.gateway import CHAT, Gateway, marked
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


@pytest.fixture(scope="module")
def upstreams() -> Iterator[dict[str, Wire]]:
    """By name. What one refuses is remembered for its address."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(Wire()) for name in (*REFUSALS, "box")}


@pytest.fixture(scope="module")
def gateway(database, folder, upstreams) -> Iterator[Gateway]:
    """In front of all of them, by models of their names; one is the environment's."""
    for name, wire in upstreams.items():
        upstream = None
        if name != "OpenAI":
            upstream = Upstream.objects.create(
                name=name, base_url=f"{wire.url}/v1", no_stream_options=name == "box"
            )
        Route.objects.create(model=Model.objects.create(name=name), upstream=upstream)
    gateway = Gateway(
        folder,
        DATABASE_URL=database,
        LLM_ENDPOINT=f"{upstreams['OpenAI'].url}{CHAT}",
        UPSTREAM_HTTP_HOSTS="127.0.0.1",
    )
    yield gateway
    gateway.stop()
    Model.objects.all().delete()
    Upstream.objects.all().delete()
    is_discreet(gateway.log)


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_refused_is_left_out_and_remembered(gateway, upstreams, recorded, name):
    (body, status), upstream = REFUSALS[name], upstreams[name]
    upstream.answer = strict(json.dumps(body).encode(), status)
    for asked in (2, 3):
        reply = gateway.ask(marked(), model=name, stream=True)
        assert reply.events[-1] == "[DONE]", reply.body
        assert len(upstream.seen) == asked
    assert [(each.status, each.reply.text, each.estimated) for each in recorded(2)] == [
        ("ok", "Fine.", True)
    ] * 2
    theirs = gateway.ask(marked(), model=name, stream=True, stream_options={"include_usage": True})
    assert theirs.status == int(status[:3])  # what the caller asked for is the caller's to read
    assert "stream_options" in f"{theirs.error}"
    recorded(3)


def test_a_box_says_so_beforehand(gateway, upstreams, recorded):
    upstream = upstreams["box"]
    upstream.answer = STREAM
    assert gateway.ask(marked(), model="box", stream=True).events[-1] == "[DONE]"
    assert "stream_options" not in json.loads(upstream.seen[0].body)
    assert recorded()[0].status == "ok"
