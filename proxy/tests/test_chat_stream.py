"""A stream's bytes, cut anywhere: the same events, the same reply. No process, no database."""

from itertools import pairwise
from types import SimpleNamespace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.protocols import chat, documents, events
from proxy.tests import gateway
from proxy.upstreams.body import Body, Truncated

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
messages = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": words.filter(bool)},
    optional={
        "refusal": words.filter(bool),
        "reasoning_content": words.filter(bool),
        "annotations": st.lists(words, min_size=1, max_size=2),
        "tool_calls": st.lists(
            st.fixed_dictionaries(
                {
                    "id": words,
                    "type": st.just("function"),
                    "function": st.fixed_dictionaries({"name": words, "arguments": words}),
                }
            ),
            min_size=1,
            max_size=3,
        ),
    },
)
completions = st.lists(messages, min_size=1, max_size=3).map(
    lambda told: {
        "id": "c",
        "model": "m",
        "object": "chat.completion",
        "choices": [
            {"index": n, "message": message, "finish_reason": "stop"}
            for n, message in enumerate(told)
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }
)


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(raw) + 1) for place in places), len(raw)]
    return [raw[start:end] for start, end in pairwise(edges)]


def reply_of(pieces: list[bytes]) -> chat.Reply:
    """As the relay feeds it: whole events only."""
    reply, cutter = chat.Reply(), events.Cutter()
    for piece in pieces:
        assert reply.ended or reply.feed(cutter.cut(piece)) is not None
    if not reply.ended:
        reply.feed(cutter.finish())
    return reply


LINE_ENDS = [b"\n", b"\r\n", b"\r"]


@given(
    completions,
    st.lists(st.integers(0, 10_000), max_size=20),
    st.lists(st.sampled_from(LINE_ENDS), min_size=1, max_size=5),
    st.booleans(),
)
def test_a_stream_amounts_to_the_completion_that_it_was_made_of(completion, places, ends, bom):
    raw = b"\xef\xbb\xbf" * bom + with_ends(chat.as_stream(completion), ends)
    reply = reply_of(cut(raw, places))
    assert reply.whole() == completion
    assert reply.done
    assert reply.finished
    assert (reply.bad, reply.error) == (False, None)
    assert reply.usage == completion["usage"]
    assert chat.text_of(reply.take()) == completion["choices"][0]["message"]["content"]
    assert chat.text_of(reply.take()) == ""


def with_ends(raw: bytes, ends: list[bytes]) -> bytes:
    """End the lines with each of these in turn; LF after CR would be the end of one line."""
    lines, out = raw.split(b"\n"), b""
    for n, line in enumerate(lines[:-1]):
        end = ends[n % len(ends)]
        out += line + (b"\r" if not line and out.endswith(b"\r") and end == b"\n" else end)
    return out + lines[-1]


@given(
    st.lists(st.sampled_from([b"a", b"\n", b"\r", b"\r\n", b"\n\n", b"bc"]), max_size=30),
    st.lists(st.integers(0, 100), max_size=10),
)
def test_what_is_cut_is_all_that_came(lines, places):
    """Whole events leave, whatever ends their lines, and nothing is lost or said twice."""
    raw = b"".join(lines)
    cutter = events.Cutter()
    pieces = [cutter.cut(piece) for piece in cut(raw, places)]
    assert all(piece.endswith(b"\n\n") for piece in pieces if piece)
    came = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    end = came.rfind(b"\n\n") + 2 if b"\n\n" in came else 0
    whole = b"".join(pieces)
    assert whole in (came[:end], came[: end - 1])  # the last CR may be half of a CRLF
    assert cutter.size == len(came) - len(whole)


@given(completions)
def test_only_usage_is_taken_out(completion):
    raw = chat.as_stream(completion)
    without = chat.without_usage(raw)
    expected = [event for event in gateway.events(raw) if event == "[DONE]" or event["choices"]]
    assert list(gateway.events(without)) == expected
    assert len(expected) == len(list(gateway.events(raw))) - 1
    assert chat.without_usage(without) == without


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"choices": [], "prompt_filter_results": []}\n\n',
        b'data: {"choices":[],"usage":null}\n\n',
        b'data: {"choices":[{"delta":{"content":"\\"usage\\": {"}}]}\n\n',
        b'data: {"choices":[{"delta":{"tool_calls":[{"usage": {"a": 1}}]}}]}\n\n',
        b": usage\n\n",
        b"data: [DONE]\n\n",
        b'data: {"choices": []\n\n',
        b'data: {"usage": {\n\n',
    ],
)
def test_what_looks_like_usage_stays(event):
    assert chat.without_usage(event) == event


@pytest.mark.parametrize(
    ("event", "rest"),
    [
        ({"choices": [], "usage": {"a": 1}}, None),
        ({"id": "c", "usage": {"a": 1}, "choices": []}, None),
        ({"choices": [{"delta": {}}], "usage": {"a": 1}}, {"choices": [{"delta": {}}]}),
        ({"choices": [], "citations": ["u"], "usage": {}}, {"choices": [], "citations": ["u"]}),
    ],
)
def test_usage_is_taken_out_of_whatever_event_has_it(event, rest):
    before, after = b": a comment\n\n", b"data: [DONE]\n\n"
    left = chat.without_usage(before + b"data: %s\n\n" % orjson.dumps(event) + after)
    assert left == before + (b"" if rest is None else events.write(rest)) + after


@pytest.mark.parametrize(
    ("end", "becomes"),
    [
        (b"", b""),
        (b"\n", b""),
        (b": a comment", b""),
        (b"data: [DONE]", b"data: [DONE]\n\n"),
        (b"data: [DONE] \n", b"data: [DONE] \n\n"),
        (b'data: {"a"', b""),
        (b'data: {"a": 1}\r\n', b'data: {"a": 1}\n\n'),
        (b"event: x", b""),
        (b"dat", b""),
    ],
)
def test_the_end_of_a_stream_is_whole_or_dropped(end, becomes):
    cutter = events.Cutter()
    assert cutter.cut(b'data: {"b": 2}\n\n' + end).rstrip(b"\n") == b'data: {"b": 2}'
    assert cutter.finish() == becomes


@pytest.mark.parametrize(
    "begin",
    [b"data: {", b"data:{", b": hello", b"event: message", b"id: 1", b"\n\ndata", b"retry: 1"],
)
def test_a_stream_is_known_by_its_first_bytes(begin):
    whole = begin + b":" * (begin[-1:] == b"a")
    assert events.is_stream(whole)
    assert events.is_stream(events.BOM + whole)


@pytest.mark.parametrize(
    "begin", [b"", b"{", b'{"data": 1}', b"[", b"<html>", b"dataset: 1", b"a:"]
)
def test_what_is_no_stream_is_known_too(begin):
    assert not events.is_stream(begin)


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=5),
    st.lists(st.integers(0, 1000), max_size=10),
    st.sampled_from([b"", b";a=b"]),
)
def test_chunks_cut_anywhere(chunks, places, extension):
    framed = (
        b"".join(b"%X%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
        + b"0\r\n\r\n"
    )
    body = body_of(cut(framed, places))
    assert b"".join(iter(body.read, b"")) == b"".join(chunks)
    assert body.ended
    cut_short = body_of([framed[:-6]])
    with pytest.raises(Truncated):
        b"".join(iter(cut_short.read, b""))


@pytest.mark.parametrize(
    "framing", [b"-6\r\nabc\r\n", b"xyz\r\n", b"\r\n\r\n", b"-2\r\n", b"0" * 200, b" " * 101]
)
def test_framing_that_is_none_ends_the_reading(framing):
    with pytest.raises(Truncated):
        body_of([framing]).read()


def body_of(pieces: list[bytes]) -> Body:
    pieces = [piece for piece in pieces if piece]
    file = SimpleNamespace(read1=lambda size: pieces.pop(0) if pieces else b"")
    return Body(
        SimpleNamespace(
            raw=SimpleNamespace(_original_response=SimpleNamespace(fp=file, chunked=True)),
            headers={},
        )
    )


@given(st.binary(max_size=200))
def test_no_bytes_are_too_odd(raw):
    """A reply never raises; what it cannot read ends it."""
    reply = chat.Reply()
    passed = reply.feed(b"data: " + raw + b"\n\n")
    chat.without_usage(b'data: {"usage": {' + raw)
    assert passed == b"" if reply.ended else passed
    assert reply.whole() is None or not reply.bad


json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | words,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "index",
                    "content",
                    "tool_calls",
                    "function",
                    "arguments",
                    "name",
                    "id",
                    "usage",
                    "error",
                    "finish_reason",
                    "logprobs",
                    "message",
                    "type",
                    "text",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
odd_choices = st.lists(
    st.fixed_dictionaries({}, optional={"index": json, "delta": json, "message": json}), max_size=2
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"choices": json | odd_choices}, optional={"usage": json, "error": json, "id": json}
        ),
        max_size=4,
    )
)
def test_no_event_is_too_odd(odd):
    reply = chat.Reply()
    for event in odd:
        if not reply.ended:
            reply.feed(events.write(event))
    assert isinstance(chat.text_of(reply.take()), str)
    assert orjson.dumps(reply.whole())
    if reply.whole():
        assert orjson.dumps(documents.as_document(reply.whole(), "m", "0" * 32))
        chat.as_stream(reply.whole())


def test_text_is_given_away_once():
    reply = chat.Reply()
    for text in ("Once ", "upon ", "a time"):
        reply.feed(events.write({"choices": [{"index": 0, "delta": {"content": text}}]}))
        assert chat.text_of(reply.take()) == text
    assert reply.whole()["choices"][0]["message"]["content"] == "Once upon a time"
