"""A stream's bytes, cut anywhere: the same events, the same reply. No process, no database."""

from itertools import pairwise
from types import SimpleNamespace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.relay import sse
from proxy.tests.gateway import events
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


def reply_of(pieces: list[bytes]) -> sse.StreamedReply:
    """As the relay feeds it: whole events only."""
    reply, rest = sse.StreamedReply(), b""
    for piece in pieces:
        rest += piece
        end = sse.length_of_whole(rest)
        reply.feed(rest[:end])
        rest = rest[end:]
    reply.feed(sse.mend(rest))
    reply.digest()
    return reply


@given(completions, st.lists(st.integers(0, 10_000), max_size=20), st.booleans())
def test_a_stream_amounts_to_the_completion_that_it_was_made_of(completion, places, crlf):
    raw = sse.make_stream(completion)
    raw = raw.replace(b"\n", b"\r\n") if crlf else raw
    reply = reply_of(cut(raw, places))
    assert reply.completion() == completion
    assert reply.done
    assert reply.finished
    assert (reply.bad, reply.error) == (0, None)
    assert reply.usage == completion["usage"]
    assert reply.take_text() == completion["choices"][0]["message"]["content"]
    assert reply.take_text() == ""


@given(completions, st.booleans())
def test_only_events_of_usage_are_dropped(completion, crlf):
    raw = sse.make_stream(completion)
    without = sse.drop_usage(raw.replace(b"\n", b"\r\n") if crlf else raw).replace(b"\r\n", b"\n")
    expected = [event for event in events(raw) if event == "[DONE]" or event["choices"]]
    assert list(events(without)) == expected
    assert len(expected) == len(list(events(raw))) - 1
    assert sse.drop_usage(without) == without


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"choices": [], "prompt_filter_results": []}\n\n',
        b'data: {"choices":[],"usage":null}\n\n',
        b": usage\n\n",
        b"data: [DONE]\n\n",
        b'data: {"choices": []\n\n',
    ],
)
def test_what_looks_like_usage_stays(event):
    assert sse.drop_usage(event) == event


@pytest.mark.parametrize(
    ("end", "becomes"),
    [
        (b"", b""),
        (b"\n", b""),
        (b": a comment", b""),
        (b"data: [DONE]", b"data: [DONE]\n\n"),
        (b"data: [DONE]\n", b"data: [DONE]\n\n"),
        (b'data: {"a"', b""),
        (b'data: {"a": 1}\r\n', b'data: {"a": 1}\n\n'),
        (b"event: x", b""),
        (b"dat", b""),
    ],
)
def test_the_end_of_a_stream_is_whole_or_dropped(end, becomes):
    whole = b'data: {"b": 2}\n\n'
    assert sse.mend(end) == becomes
    assert sse.mend(whole + end).rstrip(b"\n") == (whole + becomes).rstrip(b"\n")


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
    """A reply never raises; what it cannot read, it counts."""
    reply = sse.StreamedReply()
    reply.feed(b"data: " + raw + b"\n\n")
    reply.digest()
    sse.drop_usage(b'"choices": []' + raw)
    sse.mend(raw)
    assert reply.completion() is None or not reply.bad


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
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"choices": json}, optional={"usage": json, "error": json, "id": json}
        ),
        max_size=4,
    )
)
def test_no_event_is_too_odd(odd):
    reply = sse.StreamedReply()
    for event in odd:
        reply.feed(b"data: %s\n\n" % orjson.dumps(event))
    reply.digest()
    assert isinstance(reply.take_text(), str)
    assert orjson.dumps(reply.completion())


def test_text_is_given_away_once():
    reply = sse.StreamedReply()
    for text in ("Once ", "upon ", "a time"):
        reply.feed(
            b'data: {"choices": [{"index": 0, "delta": {"content": %s}}]}\n\n' % orjson.dumps(text)
        )
        reply.digest()
        assert reply.take_text() == text
    assert reply.completion()["choices"][0]["message"]["content"] == "Once upon a time"
