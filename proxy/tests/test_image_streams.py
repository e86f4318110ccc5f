"""Pictures that come as events: the caller gets them as they come, the record has what came."""

import base64
import json
import uuid
from decimal import Decimal

import openai
import pytest

from conversations.models import Partial
from conversations.record import attachments, rebuild
from proxy.tests.gateway import ALICE, eventually, marked
from proxy.tests.wire import DONE, SSE, Held, chunk, exactly, json_reply

USAGE = {
    "total_tokens": 1100,
    "input_tokens": 50,
    "output_tokens": 1050,
    "input_tokens_details": {"text_tokens": 50, "image_tokens": 0},
}
HEAD = {"size": "1024x1024", "quality": "medium", "background": "opaque", "output_format": "png"}
NAMES = {"generations": "image_generation", "edits": "image_edit"}


def picture(mark: str) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + mark.encode() * 3000


def b64(mark: str) -> str:
    return base64.b64encode(picture(mark)).decode()


def event(kind: str, mark: str, **more: object) -> bytes:
    said = {"type": kind, "b64_json": b64(mark), "created_at": 1790000000} | HEAD | more
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), json.dumps(said).encode())


def events_of(name: str) -> list[bytes]:
    return [
        event(f"{name}.partial_image", "a", partial_image_index=0),
        event(f"{name}.partial_image", "b", partial_image_index=1),
        event(f"{name}.completed", "c", usage=USAGE),
    ]


def streamed(*events: bytes, end: bytes = b"0\r\n\r\n"):
    return exactly(SSE, *map(chunk, events), end, pause=0.01)


def multipart(**fields: str) -> tuple[bytes, str]:
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n'
    file = head.encode() + b"Content-Type: image/png\r\n\r\n" + picture("z") + b"\r\n"
    return b"".join(parts) + file + f"--{boundary}--\r\n".encode(), boundary


@pytest.fixture(params=NAMES)
def ask(request, wired):
    """Asks for a picture, made or changed; `.name` begins the names of its events."""

    def ask(*, opened: bool = False, **how: object):
        fields = {"model": "gpt-image-1", "prompt": marked()} | how
        send = wired.open if opened else wired.call
        if request.param == "generations":
            return send("/v1/images/generations", fields, ALICE)
        body, boundary = multipart(**{key: str(value) for key, value in fields.items()})
        kind = f"multipart/form-data; boundary={boundary}"
        return send("/v1/images/edits", body, ALICE, Content_Type=kind)

    ask.name = NAMES[request.param]
    return ask


def shown(snapshot) -> list[bytes]:
    """The pictures of the reply's row."""
    row = snapshot.reply
    content = rebuild.read_path(row.id)[-1]["content"] if row else []
    message = attachments.restore(content)
    return [base64.b64decode(part["image_url"]["url"].partition(",")[2]) for part in message]


# Whole answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, "true", "True", 1])
@pytest.mark.parametrize("end", [b"", DONE])
def test_events_pass_as_they_come_and_the_last_is_kept(ask, wire, recorded, stream, end):
    sent = events_of(ask.name)
    wire.answer = streamed(*sent, *([end] if end else []))
    reply = ask(stream=stream, partial_images=2)
    assert reply.headers["content-type"] == "text/event-stream"
    assert reply.body == b"".join(sent) + end
    [snapshot] = recorded()
    assert (snapshot.status, snapshot.error, snapshot.kind) == ("ok", "", "image")
    assert shown(snapshot) == [picture("c")]
    response = rebuild.rebuild_response(snapshot)
    assert response["data"] == [{"b64_json": b64("c")}]
    assert (response["partial_images"], response["created"]) == (2, 1790000000)
    assert response.items() >= HEAD.items()
    assert len(snapshot.response) < 1000
    files = snapshot.conversation.attachments.count()
    assert files == (1 if ask.name == "image_generation" else 2)  # the one to change
    assert (snapshot.prompt_tokens, snapshot.completion_tokens) == (50, 1050)
    assert snapshot.cost > Decimal("0.01")
    assert snapshot.estimated is False
    assert b"stream" in wire.seen[-1].body
    assert not Partial.objects.filter(snapshot=snapshot.id).exists()


def test_the_last_event_leaves_once_the_record_is_closed(ask, wire, recorded):
    first, second, last = map(chunk, events_of(ask.name))
    held = Held(wire, SSE + first, second + last + b"0\r\n\r\n")
    with ask(opened=True, stream=True) as call:
        call.read_until(b'"partial_image_index": 0')
        eventually(lambda: held.begun)
        held.let_go.set()
        call.read_until(b".completed")
        [snapshot] = recorded(within=0)
    assert snapshot.status == "ok"


def test_several_pictures_are_all_kept(ask, wire, recorded):
    sent = [event(f"{ask.name}.completed", mark, usage=USAGE) for mark in "cde"]
    wire.answer = streamed(*sent)
    assert ask(stream=True, n=3).body == b"".join(sent)
    [snapshot] = recorded()
    assert shown(snapshot) == [picture(mark) for mark in "cde"]


def test_a_stream_that_does_not_end_gives_its_picture_all_the_same(ask, wire, recorded):
    """The server keeps the connection and says nothing more."""
    sent = events_of(ask.name)
    Held(wire, SSE + b"".join(map(chunk, sent)))
    assert ask(stream=True).body == b"".join(sent)
    assert recorded()[0].status == "ok"


def test_signs_of_life_and_unknown_events_pass(ask, wire, recorded):
    sent = events_of(ask.name)
    between = [b": ping\n\n", b'data: {"type": "image.thinking", "words": "Hm"}\n\n']
    wire.answer = streamed(between[0], sent[0], between[1], sent[2], between[0])
    reply = ask(stream=True)
    assert reply.body == between[0] + sent[0] + between[1] + sent[2] + between[0]
    assert recorded()[0].status == "ok"


@pytest.mark.parametrize("streams", [None, "false"])
def test_a_json_caller_of_a_server_that_streams_gets_json(ask, wire, recorded, streams):
    wire.answer = streamed(*events_of(ask.name))
    reply = ask(**({} if streams is None else {"stream": streams}))
    assert reply.headers["content-type"] == "application/json"
    answer = reply.json()
    assert (
        answer
        == {
            "created": 1790000000,
            "data": [{"b64_json": b64("c")}],
            "usage": USAGE,
        }
        | HEAD
    )
    [snapshot] = recorded()
    assert (snapshot.status, snapshot.completion_tokens) == ("ok", 1050)
    assert shown(snapshot) == [picture("c")]


def test_a_stream_caller_of_a_server_that_answers_json_gets_events(ask, wire, recorded):
    answer = {"created": 1790000000, "data": [{"b64_json": b64("c")}, {"b64_json": b64("d")}]}
    wire.answer = json_reply(json.dumps(answer | HEAD | {"usage": USAGE}).encode())
    reply = ask(stream=True, n=2)
    found = [block.split(b"\n") for block in reply.body.split(b"\n\n")[:-1]]
    assert [lines[0] for lines in found] == [f"event: {ask.name}.completed".encode()] * 2
    said = [json.loads(lines[1].removeprefix(b"data: ")) for lines in found]
    assert [each["b64_json"] for each in said] == [b64("c"), b64("d")]
    assert [each.get("usage") for each in said] == [None, USAGE]
    assert all(each.items() >= HEAD.items() for each in said)
    [snapshot] = recorded()
    assert (snapshot.status, snapshot.completion_tokens) == ("ok", 1050)
    assert shown(snapshot) == [picture("c"), picture("d")]


def test_openai_python_reads_the_events(wired, wire, recorded):
    wire.answer = streamed(*events_of("image_generation"))
    client = openai.OpenAI(base_url=f"{wired.url}/v1", api_key=ALICE, max_retries=0)
    with client.images.generate(
        model="gpt-image-1", prompt=marked(), stream=True, partial_images=2
    ) as stream:
        found = list(stream)
    assert [each.type for each in found] == [
        "image_generation.partial_image",
        "image_generation.partial_image",
        "image_generation.completed",
    ]
    assert found[-1].usage.output_tokens == 1050
    assert recorded()[0].status == "ok"


# Answers that are not whole -----------------------------------------------------------------------


def test_a_caller_who_hangs_up_leaves_what_came(ask, wire, recorded):
    first, second, _ = events_of(ask.name)
    held = Held(wire, SSE + chunk(first) + chunk(second))
    with ask(opened=True, stream=True) as call:
        call.read_until(b'"partial_image_index": 1')
    [snapshot] = recorded()
    assert (snapshot.status, snapshot.error_code) == ("cancelled", "client_gone")
    assert shown(snapshot) == [picture("b")]
    response = rebuild.rebuild_response(snapshot)
    assert response["data"] == [{"b64_json": b64("b"), "partial_image_index": 1}]
    assert response["partial_images"] == 2
    assert (snapshot.prompt_tokens, snapshot.completion_tokens, snapshot.cost) == (None,) * 3
    assert held.begun == 1


FAULT = {"message": "Your prompt was refused", "code": "moderation_blocked"}
ERRORS = {
    "named": b"event: error\ndata: %s\n\n" % json.dumps({"error": FAULT}).encode(),
    "by its type": b"data: %s\n\n" % json.dumps({"type": "error", "error": FAULT}).encode(),
    "bare": b"data: %s\n\n" % json.dumps({"type": "error"} | FAULT).encode(),
    "failed": b"data: %s\n\n"
    % json.dumps({"type": "image_generation.failed", "error": FAULT}).encode(),
}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
@pytest.mark.parametrize("streams", [True, False])
def test_an_error_event_is_a_failure(ask, wire, recorded, error, streams):
    first = events_of(ask.name)[0]
    wire.answer = streamed(first, error, DONE)
    reply = ask(stream="true" if streams else "false")
    if streams:
        assert reply.body.startswith(first)
        said = json.loads(reply.body[len(first) :].removeprefix(b"data: "))["error"]
    else:
        assert reply.status == 502
        said = reply.error
    assert (said["code"], "refused" in said["message"]) == ("upstream_failed", True)
    [snapshot] = recorded()
    assert (snapshot.status, snapshot.error_code) == ("failed", "upstream_failed")
    assert shown(snapshot) == [picture("a")]


BROKEN = {
    "an end after a partial one": ([0], b"0\r\n\r\n", "upstream_truncated"),
    "a cut": ([0, 1], b"", "upstream_truncated"),
    "no event": ([0, b"data: <html>\n\n"], b"0\r\n\r\n", "upstream_bad_reply"),
    "a list": ([0, b"data: [1]\n\n"], b"0\r\n\r\n", "upstream_bad_reply"),
}


@pytest.mark.parametrize(("sent", "end", "code"), BROKEN.values(), ids=BROKEN)
def test_a_broken_stream_ends_in_an_error_and_is_failed(ask, wire, recorded, sent, end, code):
    whole = events_of(ask.name)
    pieces = [whole[piece] if isinstance(piece, int) else piece for piece in sent]
    wire.answer = streamed(*pieces, end=end)
    reply = ask(stream=True)
    assert reply.status == 200
    last = json.loads(reply.body.split(b"data: ")[-1])
    assert last["error"]["code"] == code
    [snapshot] = recorded()
    assert (snapshot.status, snapshot.error_code) == ("failed", code)
    assert len(shown(snapshot)) == 1


def test_what_fails_before_the_first_picture_is_a_status(ask, wire, recorded):
    wire.answer = streamed(ERRORS["named"])
    reply = ask(stream=True)
    assert reply.status >= 400
    assert "refused" in reply.error["message"]
    [snapshot] = recorded()
    assert (snapshot.status, snapshot.reply) == ("failed", None)


@pytest.mark.parametrize("stream", ["perhaps", 2])
def test_another_word_than_true_or_false_is_refused(ask, wire, recorded, stream):
    before = len(wire.seen)
    reply = ask(stream=stream)
    assert (reply.status, reply.error["param"]) == (400, "stream")
    assert recorded()[0].status == "refused"
    assert len(wire.seen) == before
