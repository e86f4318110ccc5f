"""The demo upstream over real sockets: faults on demand."""

import http.client
import json
import re
import time
from contextlib import closing

import pytest
import requests

from proxy.demo import questions, server
from proxy.tests.demo.questions import ask, draw, embed, events, joined, said


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("word", "status", "code"),
    [
        ("!400", 400, "content_policy_violation"),
        ("!401", 401, "invalid_api_key"),
        ("!429", 429, "rate_limit_exceeded"),
        ("!500", 500, None),
    ],
)
def test_errors_on_demand(upstream, stream, word, status, code):
    reply = ask(upstream, f"please {word} now", stream=stream)
    assert reply.status_code == status
    assert reply.json()["error"]["code"] == code
    assert reply.headers.get("retry-after") == ("2" if status == 429 else None)
    assert draw(upstream, prompt=f"a fox {word}").status_code == status
    assert embed(upstream, input=["apples", word]).status_code == status


@pytest.mark.parametrize("word", ["!downtown", "what!down", "!down!", "down", "!DOWN", "!!down"])
def test_only_a_whole_word_is_a_trigger(upstream, word):
    assert ask(upstream, f"I say {word} here").status_code == 200


def test_only_the_last_user_message_has_triggers(upstream):
    messages = [
        {"role": "system", "content": "!500"},
        {"role": "user", "content": "!500"},
        {"role": "assistant", "content": "!500"},
        {"role": "user", "content": "hi"},
    ]
    assert ask(upstream, messages=messages).status_code == 200
    assert (
        ask(upstream, messages=[*messages, {"role": "system", "content": "!500"}]).status_code
        == 200
    )
    assert ask(upstream, messages=messages[:2]).status_code == 500
    assert ask(upstream, [{"type": "text", "text": "look !500"}]).status_code == 500


@pytest.mark.parametrize("stream", [False, True])
def test_down_closes_without_a_byte(upstream, stream):
    with pytest.raises(requests.ConnectionError, match="closed connection without response"):
        ask(upstream, "go !down", stream=stream)
    assert upstream.seen[-1]["closed_early"] is False


@pytest.mark.parametrize("question", ["tell me !cut please", "hi !cut"])
def test_cut_ends_in_mid_stream(upstream, question):
    got = b""
    with pytest.raises(requests.exceptions.ChunkedEncodingError):  # noqa: PT012 - what came before the error counts too
        body = {
            "model": "gpt-4o",
            "messages": [{"role": "user", "content": question}],
            "stream": True,
        }
        with requests.post(
            f"{upstream.url}/v1/chat/completions", json=body, stream=True, timeout=60
        ) as reply:
            assert reply.status_code == 200
            for part in reply.iter_content(None):
                got += part
    assert b'"content":"' in got
    assert b"[DONE]" not in got
    assert b'"finish_reason":"' not in got


def test_cut_ends_a_json_reply_before_its_end(upstream):
    with closing(http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=60)) as connection:
        connection.request(
            "POST",
            "/v1/chat/completions",
            json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "!cut"}]}),
        )
        with pytest.raises(http.client.IncompleteRead) as raised:
            connection.getresponse().read()
    assert raised.value.partial.startswith(b"{")
    assert raised.value.expected


def test_error_in_mid_stream(upstream):
    reply = ask(upstream, "tell me !error please", stream=True)
    *before, last = [
        json.loads(line.removeprefix("data: ")) for line in reply.text.split("\n\n")[:-1]
    ]
    assert last["error"]["type"] == "server_error"
    assert joined(before)
    assert not any(choice["finish_reason"] for chunk in before for choice in chunk["choices"])


def test_nodone_and_nousage(upstream):
    whole = ask(upstream, "tell me !nodone please", stream=True).text
    assert '"finish_reason":"stop"' in whole
    assert "[DONE]" not in whole
    assert not any(
        chunk.get("usage")
        for chunk in events(
            ask(upstream, "say !nousage", stream=True, stream_options={"include_usage": True})
        )
    )
    assert "usage" not in ask(upstream, "say !nousage").json()


def test_the_wrong_kind_of_reply(upstream):
    assert ask(upstream, "say !json", stream=True).json()["object"] == "chat.completion"
    assert joined(events(ask(upstream, "say !sse")))
    for stream in (False, True):
        page = ask(upstream, "say !html", stream=stream)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert page.text.startswith("<!doctype html>")
    garbage = ask(upstream, "say !garbage")
    assert (garbage.status_code, garbage.headers["content-type"]) == (200, "application/json")
    with pytest.raises(ValueError, match=r"."):
        garbage.json()
    stream = ask(upstream, "say !garbage", stream=True)
    assert stream.headers["content-type"].startswith("text/event-stream")
    for line in stream.content.split(b"\n\n")[:-1]:
        with pytest.raises(ValueError, match=r"."):
            json.loads(line.removeprefix(b"data: "))


@pytest.mark.parametrize(("word", "count"), [("!long=300", 300), ("!long", 20_000), ("!long=1", 1)])
def test_long_is_exactly_so_many_words(upstream, word, count):
    assert len(said(ask(upstream, f"{word} about tea")).split()) == count
    assert len(joined(events(ask(upstream, f"{word} about tea", stream=True))).split()) == count


def test_echo_says_it_word_for_word(upstream):
    text = "<script>alert(1)</script>\n\n  [x](javascript:alert(2))  \n"
    assert said(ask(upstream, f"!echo {text}")) == text
    assert joined(events(ask(upstream, f"!echo {text}", stream=True))) == text


def test_slow_waits_so_long(upstream):
    for stream in (False, True):
        began = time.monotonic()
        assert ask(upstream, "say !slow=0.5", stream=stream).status_code == 200
        assert time.monotonic() - began >= 0.5


def test_every_trigger_is_documented():
    words = re.findall(r"\(([a-z0-9|]+)\)", questions.TRIGGER.pattern)[0].split("|")
    assert len(words) == 18
    for word in words:
        assert re.search(rf"!{word}\s\s", server.__doc__), word
