"""Base64 never lies in a row, whatever field and spelling it comes in."""

import base64

import pytest

from conversations.models import Snapshot
from conversations.record import rebuild
from conversations.tests.calls import answer, ask, user

pytestmark = pytest.mark.django_db

PCM = bytes(range(256)) * 20  # its first bytes tell nothing
WAV = b"RIFF\x00\x00\x00\x00WAVEfmt " + PCM


def encoded(data: bytes, prefix: str = "") -> str:
    return prefix + base64.b64encode(data).decode()


FILES = {
    "WAV": {"type": "input_audio", "input_audio": {"data": encoded(WAV), "format": "wav"}},
    "raw audio": {"type": "input_audio", "input_audio": {"data": encoded(PCM), "format": "pcm16"}},
    "a file without data:": {"type": "file", "file": {"file_data": encoded(PCM)}},
    "DATA: in capitals": {
        "type": "image_url",
        "image_url": {"url": encoded(PCM, "DATA:Image/PNG;BASE64,")},
    },
    "MP3 anywhere": {"type": "x", "x": {"sound": encoded(b"ID3" + PCM)}},
}


@pytest.mark.parametrize("part", FILES.values(), ids=FILES)
def test_a_file_is_an_attachment_and_comes_back_byte_for_byte(alice, part):
    messages = [user([{"type": "text", "text": "Hear this"}, part])]
    call = ask(alice, messages)
    answer(call, "Fine.")
    snapshot = Snapshot.objects.get(id=call.id)
    assert snapshot.conversation.attachments.count() == 1
    assert len(snapshot.head.raw) < 500
    assert rebuild.rebuild_request(snapshot)["messages"] == messages


def test_so_is_what_a_model_says(alice):
    call = ask(alice, [user("Speak")])
    said = answer(
        call, None, audio={"id": "a", "data": encoded(PCM), "transcript": "Good morning."}
    )
    snapshot = Snapshot.objects.get(id=call.id)
    assert snapshot.conversation.attachments.count() == 1
    assert len(snapshot.reply.raw) + len(snapshot.response) < 1500
    assert rebuild.rebuild_response(snapshot)["choices"][0]["message"] == said


@pytest.mark.parametrize("text", ["word" * 1000, "data" * 1000 + "=", "A" * 4001])
def test_a_long_word_is_no_file(alice, text):
    call = ask(alice, [user(text)])
    answer(call, text, refusal=text)
    assert not Snapshot.objects.get(id=call.id).conversation.attachments.exists()
