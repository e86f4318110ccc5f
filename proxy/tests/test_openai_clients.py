"""openai-python against the gateway: the current one and the last 1.x.

Each test asserts what the caller got, and the row.
"""

import base64
import json
import os
import struct
import subprocess
import sys
import zlib

import openai
import pytest
from django.conf import settings
from django.core.files.storage import default_storage

from conversations.models import Attachment, Message, Snapshot
from conversations.record import rebuild
from proxy.tests import sdk
from proxy.tests.gateway import ALICE, IMAGES_ONLY, marked

OLD = settings.BASE_DIR / ".venv" / "openai-1"


class OldClient:
    """The last openai 1.x, in a process of its own."""

    def __init__(self) -> None:
        environment = os.environ | {"PYTHONPATH": str(OLD)}
        self.process = subprocess.Popen(
            [sys.executable, sdk.__file__],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def use(self, *use):
        self.process.stdin.write(json.dumps(use) + "\n")
        self.process.stdin.flush()
        reply = json.loads(self.process.stdout.readline())
        assert "failed" not in reply, reply["failed"]
        assert reply["version"].startswith("1.")
        return reply["result"]


@pytest.fixture(scope="module")
def old_client():
    if not OLD.is_dir() and os.environ.get("CI") != "true":
        pytest.skip(f"openai 1.x is not in {OLD}: make test installs it")
    client = OldClient()
    yield client
    with client.process:
        client.process.stdin.close()


@pytest.fixture(params=["3", "1"])
def use(request, gateway):
    """use(function, argument=…, key=…, retries=…) with one of the two."""
    version = request.param
    if version == "1":
        call = request.getfixturevalue("old_client").use
    else:
        assert openai.__version__.startswith("3.")
        call = sdk.use
    return lambda name, key=ALICE, retries=0, **arguments: call(
        name, gateway.url, key, arguments, retries
    )


def row(result) -> Snapshot:
    return Snapshot.objects.get(id=result["id"])


def png(*, noise: int = 0) -> bytes:
    """A small picture; `noise` makes it so many bytes larger."""

    def part(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    pixels = b"".join(b"\0" + bytes([line * 30, 80, 120]) * 8 for line in range(8))
    head = part(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + part(b"IDAT", zlib.compress(pixels))
        + part(b"teXt", os.urandom(noise))
        + part(b"IEND", b"")
    )


# What works ---------------------------------------------------------------------------------------


def test_a_chat(use):
    question = marked()
    got = use("chat", question=question, temperature=0.5, user="someone")
    snapshot = row(got)
    assert got["text"]
    assert got["request_id"] == got["id"]
    assert snapshot.status == "ok"
    assert str(snapshot.conversation_id) == got["root"]
    assert (snapshot.model, snapshot.served_model) == ("gpt-4o-mini", got["model"])
    assert snapshot.total_tokens == got["total_tokens"]
    assert not snapshot.estimated
    assert snapshot.cost
    assert snapshot.finish_reason == got["finish_reason"] == "stop"
    assert (snapshot.head.text, snapshot.reply.text) == (question, got["text"])
    assert snapshot.reply.origin == Message.Origin.RELAYED
    assert snapshot.key == ALICE[:11]
    assert "OpenAI/Python" in snapshot.user_agent
    assert snapshot.address == "127.0.0.1"
    assert snapshot.upstream_request_id.startswith("req_")
    assert snapshot.opened < snapshot.first_byte <= snapshot.closed


def test_a_stream_that_did_not_ask_for_usage_sees_none_and_the_row_has_it(use):
    got = use("stream", question=marked())
    snapshot = row(got)
    assert got["usage"] == []
    assert got["without_choices"] == 0
    assert snapshot.status == "ok"
    assert snapshot.completion_tokens > 1
    assert not snapshot.estimated
    assert snapshot.reply.text == got["text"] != ""
    assert snapshot.finish_reason == got["finish_reason"] == "stop"


def test_a_stream_that_asked_for_usage_gets_it(use):
    got = use("stream", question=marked(), stream_options={"include_usage": True})
    assert got["usage"] == [row(got).total_tokens]
    assert got["without_choices"] == 1


def test_a_round_of_tools_is_one_conversation(use):
    got = use("tools", question=f"What is the weather in Oslo? {marked()}")
    assert got["function"] == ["get_weather", {"place": "Oslo"}]
    assert got["text"]
    assert got["roots"][0] == got["roots"][1]
    first, second = (Snapshot.objects.get(id=id) for id in got["ids"])
    assert first.finish_reason == "tool_calls"
    called = second.head.parent
    assert called.origin == Message.Origin.RELAYED
    assert bytes(called.path_hash) == bytes(
        first.reply.path_hash
    )  # whatever spelling the client gave it
    assert second.head.role == "tool"
    assert [message["role"] for message in rebuild.rebuild_request(second)["messages"]] == [
        "user",
        "assistant",
        "tool",
    ]


def test_tools_in_a_stream(use):
    got = use("streamed_tools", question=f"What is the weather in Oslo? {marked()}")
    assert (got["name"], got["arguments"]) == ("get_weather", {"place": "Oslo"})
    [call] = json.loads(row(got).reply.raw)["tool_calls"]
    assert call["id"] == got["call"]
    assert json.loads(call["function"]["arguments"]) == {"place": "Oslo"}


@pytest.mark.parametrize("noise", [0, 300_000])
def test_a_picture_to_look_at_is_a_file_when_it_is_large(use, noise, demo_upstream):
    picture = png(noise=noise)
    encoded = base64.b64encode(picture).decode()
    got = use("vision", question=marked(), picture=f"data:image/png;base64,{encoded}")
    snapshot = row(got)
    assert snapshot.status == "ok"
    assert rebuild.rebuild_request(snapshot) == demo_upstream.seen[-1]["body"]
    files = list(Attachment.objects.filter(conversation=snapshot.conversation))
    assert len(files) == bool(noise)
    for file in files:
        assert encoded[1000:1200] not in snapshot.params + snapshot.head.raw
        assert (file.size, file.media_type) == (len(picture), "image/png")
        digest = bytes(file.sha256).hex()
        with default_storage.open(f"{digest[:2]}/{digest}") as kept:
            assert kept.read() == picture


@pytest.mark.parametrize("shape", ["b64_json", "url"])
def test_an_image_is_kept_as_a_file(use, shape, gateway):
    prompt = f"A lighthouse, {marked()}"
    got = use("image", prompt=prompt, shape=shape)
    snapshot = row(got)
    assert snapshot.status == "ok"
    assert snapshot.kind == "image"
    assert snapshot.cost
    [file] = Attachment.objects.filter(conversation=snapshot.conversation)
    digest = bytes(file.sha256).hex()
    with default_storage.open(f"{digest[:2]}/{digest}") as kept:
        data = kept.read()
    assert data.startswith(b"\x89PNG")
    if shape == "b64_json":
        assert base64.b64decode(got["b64"]) == data
        assert got["b64"][1000:1200] not in snapshot.response + snapshot.reply.raw
    else:
        assert got["url"].startswith("http://127.0.0.1")
        assert got["url"] in snapshot.response
    assert snapshot.head.text == prompt
    assert rebuild.rebuild_response(snapshot)["data"][0].get("b64_json") == got["b64"]


@pytest.mark.parametrize("count", [1, 3])
def test_images_are_edited(use, count, demo_upstream):
    pictures, prompt = [png(noise=5000) for _ in range(count)], f"More sky, {marked()}"
    got = use(
        "image_edit",
        prompt=prompt,
        pictures=[base64.b64encode(picture).decode() for picture in pictures],
    )
    sent = demo_upstream.seen[-1]["body"]
    name = "image" if count == 1 else "image[]"
    files = sent[name] if count > 1 else [sent[name]]
    assert [file["bytes"] for file in files] == pictures
    assert [file["filename"] for file in files] == [f"picture-{n}.png" for n in range(count)]
    assert (sent["prompt"], sent["model"], sent["size"]) == (prompt, "gpt-image-1", "1024x1024")
    snapshot = row(got)
    assert (snapshot.status, snapshot.kind, snapshot.model) == ("ok", "image", "gpt-image-1")
    assert Attachment.objects.filter(conversation=snapshot.conversation).count() == count + 1
    body = rebuild.rebuild_request(snapshot)
    assert [base64.b64decode(file["url"].partition(",")[2]) for file in body[name]] == pictures
    assert body["prompt"] == prompt
    assert got["b64"][:100] not in snapshot.response


def test_embeddings_come_as_base64_and_are_not_kept(use, demo_upstream):
    got = use("embeddings", texts=[marked(), "second"])
    assert demo_upstream.seen[-1]["body"]["encoding_format"] == "base64"
    assert [len(vector) for vector in got["vectors"]] == [64, 64]
    snapshot = row(got)
    assert (snapshot.status, snapshot.kind, snapshot.conversation) == ("ok", "embedding", None)
    assert snapshot.prompt_tokens == got["tokens"]
    assert '"embedding":' not in snapshot.response
    assert rebuild.rebuild_request(snapshot) == demo_upstream.seen[-1]["body"]


def test_models(use):
    assert "gpt-4o-mini" in use("models")
    assert use("model", model_name="gpt-4o-mini") == "gpt-4o-mini"


# What does not ------------------------------------------------------------------------------------

ELSEWHERE = {"x-conversation-id": "0199a8f0-0000-7000-8000-000000000000"}


@pytest.mark.parametrize(
    ("raised", "status", "recorded_as", "words", "arguments"),
    [
        ("AuthenticationError", 401, "", "not known here", {"key": "gw-nobody"}),
        ("PermissionDeniedError", 403, "refused", "may not be used for chat", {"key": IMAGES_ONLY}),
        ("NotFoundError", 404, "refused", "No such conversation", {"extra_headers": ELSEWHERE}),
        (
            "BadRequestError",
            400,
            "refused",
            "`stream_options` must be an object",
            {"stream_options": 5, "streams": True},
        ),
        (
            "BadRequestError",
            400,
            "failed",
            "rejected as a result of our safety system",
            {"say": "!400"},
        ),
        ("RateLimitError", 429, "failed", "Rate limit reached for gpt-4o-mini", {"say": "!429"}),
        ("InternalServerError", 502, "failed", "had an error while processing", {"say": "!500"}),
        ("InternalServerError", 502, "failed", "answered with a web page", {"say": "!html"}),
        (
            "InternalServerError",
            502,
            "failed",
            "refused the gateway's credentials",
            {"say": "!401"},
        ),
        ("InternalServerError", 504, "failed", "silent for too long", {"say": "!silent"}),
    ],
)
def test_errors_raise_their_class_and_say_why(use, raised, status, recorded_as, words, arguments):
    arguments = dict(arguments)
    got = use("error", question=f"{arguments.pop('say', 'Hello')} {marked()}", **arguments)
    assert (got["class"], got["status"]) == (raised, status)
    assert words in got["text"]
    assert got["type"]
    if recorded_as:
        snapshot = Snapshot.objects.get(id=got["request_id"])
        assert snapshot.status == recorded_as
        assert snapshot.error
        assert snapshot.error in got["text"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("!cut", "ended before it was complete"),
        ("!error", "had an error"),
        ("!stall", "silent for too long"),
    ],
)
def test_a_fault_in_mid_stream_is_raised(use, fault, words):
    got = use("error", question=f"{fault} {marked()}", streams=True)
    assert got["class"] == "APIError"
    assert words in got["text"]


def test_retries_of_the_client_are_linked_in_one_conversation(use, recorded):
    got = use("error", question=f"!down {marked()}", retries=2)
    assert got["class"] == "InternalServerError"
    first, second, third = recorded(3)
    assert [first.retry_of_id, second.retry_of_id, third.retry_of_id] == [None, first.id, second.id]
    assert first.conversation_id == second.conversation_id == third.conversation_id is not None
    assert {first.head_id} == {second.head_id, third.head_id}


def test_retries_of_an_upload_are_the_same_bytes(use, recorded):
    got = use(
        "image_edit_error",
        prompt=f"!down {marked()}",
        picture=base64.b64encode(png()).decode(),
        retries=1,
    )
    assert got == "InternalServerError"
    first, second = recorded(2)
    assert (first.retry_of_id, second.retry_of_id) == (None, first.id)
    assert first.conversation_id == second.conversation_id
