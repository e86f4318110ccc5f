"""Base64 that is all of a string lies in no row, whatever field and spelling it comes in."""

import base64
import json
import random
import textwrap

import pytest
from django.core.files.storage import default_storage
from hypothesis import given
from hypothesis import strategies as st

from conversations import base64_text
from conversations.models import Snapshot
from conversations.record import attachments, rebuild
from conversations.tests.calls import answer, ask, user

pytestmark = pytest.mark.django_db

PCM = bytes(range(256)) * 20  # its first bytes tell nothing
WAV = b"RIFF\x00\x00\x00\x00WAVEfmt " + PCM


def encoded(data: bytes, prefix: str = "") -> str:
    return prefix + base64.b64encode(data).decode()


def in_lines(data: bytes, width: int, space: str) -> str:
    return space.join(textwrap.wrap(encoded(data), width))


def url_safe(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


def scattered(data: bytes) -> str:
    """With space at places of no order."""
    text, dice = list(encoded(data)), random.Random(7)
    for _ in range(30):
        text.insert(dice.randrange(len(text)), dice.choice([" ", "\n", "\t", "\r\n", "  "]))
    return "".join(text)


def joined(data: bytes, size: int) -> str:
    """As the deltas of a stream are when they are joined: each padded by itself."""
    return "".join(encoded(data[at : at + size]) for at in range(0, len(data), size))


SPELLINGS = {
    "as we would": encoded,
    "in lines of 76, the last with its end": lambda data: base64.encodebytes(data).decode(),
    "in lines of 64 with CRLF": lambda data: in_lines(data, 64, "\r\n"),
    "with blanks": lambda data: in_lines(data, 100, " "),
    "with space anywhere": scattered,
    "between line ends": lambda data: f"\n{encoded(data)}\r\n",
    "of URLs": url_safe,
    "of URLs without padding": lambda data: url_safe(data).rstrip("="),
    "without padding": lambda data: encoded(data).rstrip("="),
    "of URLs in lines without padding": lambda data: "\n".join(
        textwrap.wrap(url_safe(data).rstrip("="), 76, break_on_hyphens=False)
    ),
    "in padded pieces": lambda data: joined(data, 400),
}
PLACES = {
    "audio": lambda text: {"type": "input_audio", "input_audio": {"data": text, "format": "wav"}},
    "a data: URL": lambda text: {"image_url": {"url": f"data:audio/pcm;base64,{text}"}},
    "with parameters": lambda text: {
        "image_url": {"url": f'data:text/plain;charset=utf-8;name="a;b,c.txt";base64,{text}'}
    },
    "with a bare parameter": lambda text: {"url": f"data:image/svg+xml;utf8;base64,{text}"},
    "with space": lambda text: {"url": f"data: image/png ; base64 , {text}"},
    "without a type": lambda text: {"url": f"data:;base64,{text}"},
    "a file": lambda text: {"type": "file", "file": {"file_data": text, "filename": "a.bin"}},
    "Responses' picture": lambda text: {
        "type": "input_image",
        "image_url": f"data:image/png;base64,{text}",
    },
    "Responses' file": lambda text: {"type": "input_file", "file_data": text},
    "a block of Anthropic's": lambda text: {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": text},
    },
    "a result in a result": lambda text: {
        "type": "tool_result",
        "content": [{"type": "resource", "resource": {"blob": text}}],
    },
    "in a list": lambda text: {"type": "x", "pages": {"data": ["short", [text]]}},
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("data", [PCM, PCM + b"a"], ids=["without rest", "with one"])
def test_no_spelling_stays_in_a_row(alice, spell, place, data):
    part = place(spell(data))
    blobs: list[attachments.Blob] = []
    light = attachments.lighten({"content": [part]}, blobs)
    assert [blob.data for blob in blobs] == [data]
    assert len(json.dumps(light)) < 2500
    attachments.store(blobs)
    assert attachments.restore(light) == {"content": [part]}
    assert attachments.list_references(light) == [blobs[0].sha256.hex()]
    default_storage.delete(attachments.storage_name(blobs[0].sha256))


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("role", ["tool", "user", "assistant"])
def test_a_picture_is_found_under_any_name(alice, role, spell):
    said = spell(b"\x89PNG\r\n\x1a\n" + PCM)
    messages = [user("Look"), {"role": role, "content": said, "name": "f"}]
    call = ask(alice, messages)
    answer(call, "Fine.", result=said)
    snapshot = Snapshot.objects.get(id=call.id)
    [file] = snapshot.conversation.attachments.all()
    assert (file.media_type, file.size) == ("image/png", 8 + len(PCM))
    assert snapshot.head.text is None
    assert len(snapshot.head.raw) < 2500
    assert rebuild.rebuild_request(snapshot)["messages"] == messages
    message = rebuild.rebuild_response(snapshot)["choices"][0]["message"]
    assert message["result"] == said


@given(
    st.binary(min_size=100, max_size=300),
    st.lists(st.tuples(st.integers(0, 400), st.sampled_from([" ", "\n", "\r\n"])), max_size=3),
    st.booleans(),
    st.booleans(),
)
def test_each_spelling_is_written_as_it_was_read(data, gaps, of_urls, is_padded):
    text = url_safe(data) if of_urls else encoded(data)
    text = text if is_padded else text.rstrip("=")
    for at, space in gaps:
        text = text[:at] + space + text[at:]
    read = base64_text.read(text)
    assert read is not None
    assert read[0] == data
    assert base64_text.write(*read) == text


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


@pytest.mark.parametrize(
    "text",
    [
        "word" * 1000,
        "data" * 1000 + "=",
        "A" * 4001,
        "no sign but letters " * 200,
        "-+" * 2000,
        "QQ==" * 2000,
        "=" * 4000,
    ],
)
def test_a_long_word_is_no_file(alice, text):
    call = ask(alice, [user(text)])
    answer(call, text, refusal=text)
    assert not Snapshot.objects.get(id=call.id).conversation.attachments.exists()


@pytest.mark.parametrize("name", attachments.FILE_FIELDS)
def test_words_are_no_file_under_any_name(name):
    value = {name: "no sign but letters " * 200}
    assert attachments.lighten(value, []) == value


BEGINNINGS = {
    "docx": b"PK\x03\x04",
    "webm": b"\x1aE\xdf\xa3",
    "mp3": b"\xff\xf3",
    "aac": b"\xff\xf1",
    "amr": b"#!AMR\n",
    "tiff": b"II*\x00",
    "gzip": b"\x1f\x8b\x08",
    "doc": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "mp4": b"\0\0\0\x18ftypmp42",
    "m4a": b"\0\0\0\x20ftypM4A ",
    "heic": b"\0\0\0\x24ftypheic",
    "aiff": b"FORM\0\0\0\0AIFF",
    "png": b"\x89PNG\r\n\x1a\n",
    "wav": b"RIFF\0\0\0\0WAVE",
}


@pytest.mark.parametrize("beginning", BEGINNINGS.values(), ids=BEGINNINGS)
def test_a_known_kind_of_file_is_one_under_any_name(alice, beginning):
    text = encoded(beginning + PCM)
    messages = [user(text), {"role": "tool", "tool_call_id": "c", "content": text}]
    call = ask(alice, messages)
    answer(call, "Fine.", anything=text)
    snapshot = Snapshot.objects.get(id=call.id)
    assert snapshot.conversation.attachments.get().size == len(beginning + PCM)
    assert (snapshot.head.text, snapshot.head.parent.text) == (None, None)
    assert len(snapshot.head.raw + snapshot.reply.raw) < 500
    assert rebuild.rebuild_request(snapshot)["messages"] == messages


URL = encoded(WAV, "data:audio/wav;base64,")
WITHIN = {
    "Markdown": f"Look: ![x]({URL})",
    "HTML": f'<audio src="{URL}">',
    "JSON in a string": json.dumps({"data": encoded(WAV)}),
    "no known kind, under no name of one": encoded(PCM),
    "a short one": encoded(WAV)[:2044],
}


@pytest.mark.parametrize("text", WITHIN.values(), ids=WITHIN)
def test_what_is_part_of_a_text_stays_in_its_row(alice, text):
    """The boundary that docs/architecture.md draws: it is searched and quoted as it was said."""
    arguments = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": text}}]
    call = ask(alice, [user(text)])
    answer(call, text, tool_calls=arguments)
    snapshot = Snapshot.objects.get(id=call.id)
    assert not snapshot.conversation.attachments.exists()
    assert snapshot.head.text == snapshot.reply.text == text
    message = rebuild.rebuild_response(snapshot)["choices"][0]["message"]
    assert message["tool_calls"] == arguments
