"""The demo upstream over real sockets: OpenAI's shapes, its faults, and what it says it saw."""

import asyncio
import base64
import http.client
import json
import math
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from contextlib import closing

import pytest
import requests

from proxy.demo import questions, server

QUESTION = "What is a vector database?"


@pytest.fixture(scope="module")
def upstream():
    with server.DemoServer(pace=0) as upstream:
        yield upstream


def ask(upstream, text=QUESTION, *, stream=False, model="gpt-4o-mini", **more):
    body = {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "stream": stream,
    } | more
    return requests.post(f"{upstream.url}/v1/chat/completions", json=body, timeout=20)


def said(reply):
    return reply.json()["choices"][0]["message"]["content"]


def events(reply):
    """A stream's JSON events; its last line must be [DONE]."""
    assert reply.headers["content-type"].startswith("text/event-stream")
    *chunks, end = [block.removeprefix("data: ") for block in reply.text.split("\n\n")[:-1]]
    assert end == "[DONE]"
    return [json.loads(chunk) for chunk in chunks]


def joined(chunks, index=0):
    return "".join(
        choice["delta"].get("content") or ""
        for chunk in chunks
        for choice in chunk["choices"]
        if choice["index"] == index
    )


def eventually(true):
    for _ in range(100):
        if true():
            return True
        time.sleep(0.05)
    return False


# Chat --------------------------------------------------------------------------------------------


def test_a_completion_has_the_shape_of_openais(upstream):
    reply = ask(upstream)
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/json"
    body = reply.json()
    assert body.keys() == {
        "id",
        "object",
        "created",
        "model",
        "service_tier",
        "system_fingerprint",
        "choices",
        "usage",
    }
    assert body["id"].startswith("chatcmpl-")
    assert body["object"] == "chat.completion"
    assert body["model"] == "gpt-4o-mini-2024-07-18"
    assert abs(body["created"] - time.time()) < 60
    [choice] = body["choices"]
    assert choice.keys() == {"index", "message", "logprobs", "finish_reason"}
    assert choice["finish_reason"] == "stop"
    assert choice["message"].keys() == {"role", "content", "refusal", "annotations"}
    assert choice["message"]["refusal"] is None
    assert choice["message"]["annotations"] == []
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens"] == 3 + 4 + math.ceil(len(QUESTION) / 4)
    assert "vector database" in choice["message"]["content"]


def test_a_stream_says_the_same_in_chunks(upstream):
    chunks = events(ask(upstream, stream=True, stream_options={"include_usage": True}))
    first, *_, finish, counts = chunks
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert finish["choices"][0] == {
        "index": 0,
        "delta": {},
        "logprobs": None,
        "finish_reason": "stop",
    }
    assert counts["choices"] == []
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    whole = ask(upstream)
    assert joined(chunks) == said(whole)
    assert counts["usage"] == whole.json()["usage"]


def test_usage_is_streamed_only_when_it_is_asked_for(upstream):
    assert not any("usage" in chunk for chunk in events(ask(upstream, stream=True)))


def test_answers_repeat_and_ids_do_not(upstream):
    one, two = ask(upstream), ask(upstream)
    assert said(one) == said(two)
    assert one.json()["id"] != two.json()["id"]


def test_several_choices_differ_and_stream_in_turn(upstream):
    whole = ask(upstream, n=3).json()["choices"]
    assert [choice["index"] for choice in whole] == [0, 1, 2]
    assert len({choice["message"]["content"] for choice in whole}) == 3
    chunks = events(ask(upstream, n=3, stream=True))
    assert [joined(chunks, n) for n in range(3)] == [
        choice["message"]["content"] for choice in whole
    ]
    assert [chunk["choices"][0]["index"] for chunk in chunks[:9]] == [0, 1, 2] * 3


def test_the_readmes_conversation(upstream):
    messages = [{"role": "user", "content": "write me a 1 sentence horror story"}]
    first = said(ask(upstream, messages=messages))
    assert first == "As I reached for the light switch in the darkness, a cold hand grabbed mine."
    messages += [
        {"role": "assistant", "content": first},
        {"role": "user", "content": "add another sentence to the story"},
    ]
    assert (
        said(ask(upstream, messages=messages))
        == "I turned around but no one was there, just a feeling of icy breath on the back of my "
        "neck."
    )


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (
            "Write a Python function that removes duplicates from a list",
            "```python\ndef removes_duplicates",
        ),
        ("Write a SQL query for sales per region", "```sql\n-- sales per region"),
        ("Make a table of planets", "| Planets | low |"),
        ("Compare PostgreSQL and SQLite for a small team", "|  | PostgreSQL | SQLite |"),
        ("Give me a list of team building ideas", "for **team building ideas**:\n\n1. "),
        ("Please draft an email about the summer party", "**Subject:** Summer party"),
        (
            "Summarise this: We met on Monday and agreed to wait.\nNothing else was said at all.",
            "- We met on Monday and agreed to wait.\n- Nothing else",
        ),
        ("Translate this into French: hello", "Merci pour votre message"),
        ("I got a phishing mail, what now?", "Treat *phishing mail* calmly"),
        ("what is 17 * 23?", "17 * 23 = **391**"),
        ("what is 1 / 0", "no result"),
        ("hello", "LLM_ENDPOINT"),
        (
            "Traceback (most recent call last):\nValueError: bad literal",
            "```text\nValueError: bad literal\n```",
        ),
        (
            "Give this conversation a title of at most 49 characters:\n"
            "How do I repair a bicycle chain?",
            "Repair bicycle chain",
        ),
    ],
)
def test_answers_are_on_the_subject(upstream, question, expected):
    assert expected in said(ask(upstream, question))


@pytest.mark.parametrize(
    "question",
    ["", "?", "\0", "😀", "```", "日本語で説明してください", "a" * 50_000, "compare a " * 5_000],
)
def test_any_question_has_an_answer_in_good_time(upstream, question):
    began = time.monotonic()
    assert len(said(ask(upstream, question))) > 50
    assert time.monotonic() - began < 2


def test_limits_and_stops_end_an_answer(upstream):
    full = ask(upstream).json()["choices"][0]["message"]["content"]
    for name in ("max_tokens", "max_completion_tokens"):
        body = ask(upstream, **{name: 7}).json()
        assert body["choices"][0]["finish_reason"] == "length"
        assert body["usage"]["completion_tokens"] == 7
        assert full.startswith(body["choices"][0]["message"]["content"])
    assert said(ask(upstream, stop=["###", "database"])) == full.split("database")[0]


def test_pictures_in_a_message_are_acknowledged(upstream):
    data = base64.b64encode(b"\x89PNG" + bytes(996)).decode()
    parts = [
        {"type": "text", "text": "What is on this picture?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
        {"type": "image_url", "image_url": {"url": "https://pictures.example.com/cat.png"}},
    ]
    assert said(ask(upstream, parts)).startswith(
        "Thank you, I can see a picture of 1,000 bytes (image/png) and a link to a picture at "
        "pictures.example.com."
    )


def test_structured_answers_are_json(upstream):
    assert (
        json.loads(said(ask(upstream, response_format={"type": "json_object"})))["subject"]
        == "vector database"
    )
    schema = {
        "type": "object",
        "properties": {
            "mood": {"enum": ["sad", "happy"]},
            "score": {"type": "integer"},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
    }
    shape = {"type": "json_schema", "json_schema": {"name": "mood", "schema": schema}}
    answer = json.loads(said(ask(upstream, "I am happy, about 8 of 10", response_format=shape)))
    assert answer == {"mood": "happy", "score": 8, "tags": ["happy"]}


# Tools -------------------------------------------------------------------------------------------

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells what it is like outside",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"enum": ["celsius", "fahrenheit"]},
                "days": {"type": "integer"},
            },
        },
    },
}
TIME = {
    "type": "function",
    "function": {
        "name": "clock",
        "description": "The time of day",
        "parameters": {"type": "object", "properties": {}},
    },
}


def test_a_question_that_touches_a_tool_calls_it_and_its_result_is_quoted(upstream):
    messages = [
        {"role": "user", "content": "How is the weather in New York, 3 days ahead, in fahrenheit?"}
    ]
    [choice] = ask(upstream, messages=messages, tools=[TIME, WEATHER]).json()["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    [call] = choice["message"]["tool_calls"]
    assert call["type"] == "function"
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == {
        "city": "New York",
        "unit": "fahrenheit",
        "days": 3,
    }
    messages += [
        choice["message"],
        {"role": "tool", "tool_call_id": call["id"], "content": '{"temperature": 54}'},
    ]
    [choice] = ask(upstream, messages=messages, tools=[TIME, WEATHER]).json()["choices"]
    assert '> {"temperature": 54}' in choice["message"]["content"]
    assert choice["finish_reason"] == "stop"


def test_a_streamed_tool_call_is_named_once_and_its_arguments_grow(upstream):
    chunks = events(ask(upstream, "weather in Paris", tools=[WEATHER], stream=True))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    first, *rest = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert deltas[0]["content"] is None
    assert first["id"].startswith("call_")
    assert first["function"] == {"name": "get_weather", "arguments": ""}
    assert len(rest) > 2
    assert all(part.keys() == {"index", "function"} for part in rest)
    assert json.loads("".join(part["function"]["arguments"] for part in rest))["city"] == "Paris"
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_tool_choice_decides(upstream):
    def called(**more):
        return [
            call["function"]["name"]
            for call in ask(upstream, "sing a song", tools=[TIME, WEATHER], **more)
            .json()["choices"][0]["message"]
            .get("tool_calls", [])
        ]

    assert called() == []
    assert called(tool_choice="required") == ["clock"]
    assert called(tool_choice={"type": "function", "function": {"name": "get_weather"}}) == [
        "get_weather"
    ]
    assert (
        "tool_calls"
        not in ask(upstream, "the weather", tools=[WEATHER], tool_choice="none").json()["choices"][
            0
        ]["message"]
    )


# Complaints --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "status", "param", "code"),
    [
        ({"model": "gpt-9"}, 404, None, "model_not_found"),
        ({"model": None}, 400, None, None),
        ({"messages": None}, 400, "messages", "missing_required_parameter"),
        ({"messages": []}, 400, "messages", "empty_array"),
        ({"messages": ["hi"]}, 400, "messages", "invalid_type"),
        (
            {"messages": [{"role": "king", "content": "hi"}]},
            400,
            "messages[0].role",
            "invalid_value",
        ),
        (
            {"messages": [{"role": "tool", "tool_call_id": "call_1", "content": "12"}]},
            400,
            "messages.[0].role",
            None,
        ),
        ({"temperature": 3}, 400, "temperature", "invalid_value"),
        ({"n": 0}, 400, "n", "invalid_value"),
        ({"stream_options": {"include_usage": True}}, 400, "stream_options", None),
        ({"max_tokens": "many"}, 400, None, "invalid_type"),
    ],
)
def test_bad_requests_are_refused_in_openais_shape(upstream, more, status, param, code):
    reply = ask(upstream, **more)
    assert reply.status_code == status
    error = reply.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)
    assert error["message"]


@pytest.mark.parametrize(
    ("method", "path", "data", "status"),
    [
        ("POST", "/v1/chat/completions", b"{", 400),
        ("POST", "/v1/chat/completions", b"[]", 400),
        ("POST", "/v1/chat/completions", b"", 400),
        ("GET", "/v1/chat/completions", None, 405),
        ("POST", "/v1/completions", b"{}", 404),
        ("GET", "/v1/models/gpt-9", None, 404),
        ("GET", "/_seen", None, 404),
        ("GET", "/images/00-64x64.png", None, 404),
    ],
)
def test_wrong_bodies_methods_and_places(method, path, data, status):
    with server.DemoServer(pace=0) as upstream:
        upstream.upstream.record = False  # as `make run` has it
        reply = requests.request(method, upstream.url + path, data=data, timeout=5)
        assert upstream.seen == []
    assert reply.status_code == status
    assert reply.json()["error"].keys() == {"message", "type", "param", "code"}


# Models, images, embeddings ----------------------------------------------------------------------


def test_models(upstream):
    listed = requests.get(f"{upstream.url}/v1/models", timeout=5).json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == [
        "gpt-4o",
        "gpt-4o-mini",
        "gpt-4.1-mini",
        "o4-mini",
    ]
    for name in ("gpt-4o", "text-embedding-3-small", "dall-e-2"):
        model = requests.get(f"{upstream.url}/v1/models/{name}", timeout=5).json()
        assert model.keys() == {"id", "object", "created", "owned_by"}
        assert model["id"] == name
    assert requests.get(f"{upstream.url}/v1/models/gpt%2D4o", timeout=5).json()["id"] == "gpt-4o"


def pixels(png):
    """Width, height and the rows of an RGB picture, every check sum looked at."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, data, kinds, width, height = 8, b"", [], 0, 0
    while at < len(png):
        [length] = struct.unpack(">I", png[at : at + 4])
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length]) == (
            zlib.crc32(kind + body),
        )
        if kind == b"IHDR":
            width, height, *form = struct.unpack(">IIBBBBB", body)
            assert form == [8, 2, 0, 0, 0]
        data += body if kind == b"IDAT" else b""
        kinds.append(kind)
        at += 12 + length
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]
    raw = zlib.decompress(data)
    assert len(raw) == height * (1 + 3 * width)
    rows = [raw[y * (1 + 3 * width) :][: 1 + 3 * width] for y in range(height)]
    assert all(row[0] == 0 for row in rows)
    return width, height, [row[1:] for row in rows]


def draw(upstream, **more):
    return requests.post(
        f"{upstream.url}/v1/images/generations",
        json={"model": "dall-e-2", "prompt": "a fox", "size": "256x256"} | more,
        timeout=20,
    )


def test_a_picture_is_drawn_from_its_prompt(upstream):
    [one], [again], [other] = (
        draw(upstream, response_format="b64_json", prompt=prompt).json()["data"]
        for prompt in ("a fox", "a fox", "a hare")
    )
    assert one == again
    assert one != other
    width, height, rows = pixels(base64.b64decode(one["b64_json"]))
    assert (width, height) == (256, 256)
    colours = {row[n : n + 3] for row in rows for n in range(0, len(row), 3)}
    assert len(colours) > 100


def test_a_picture_can_be_fetched_by_its_url(upstream):
    urls = [image["url"] for image in draw(upstream, n=2, size="512x512").json()["data"]]
    assert len(set(urls)) == 2
    for url in urls:
        reply = requests.get(url, timeout=5)
        assert reply.headers["content-type"] == "image/png"
        assert pixels(reply.content)[:2] == (512, 512)


def test_the_newer_image_model_counts_tokens_and_sends_base64_only(upstream):
    body = draw(upstream, model="gpt-image-1", size="1536x1024", n=2).json()
    assert pixels(base64.b64decode(body["data"][1]["b64_json"]))[:2] == (1536, 1024)
    assert (
        body["usage"]["total_tokens"]
        == body["usage"]["input_tokens"] + body["usage"]["output_tokens"]
        > 1000
    )
    assert (
        draw(upstream, model="gpt-image-1", response_format="url").json()["error"]["code"]
        == "unknown_parameter"
    )


@pytest.mark.parametrize(
    ("more", "param"), [({"prompt": ""}, "prompt"), ({"size": "7x7"}, "size"), ({"n": 11}, "n")]
)
def test_bad_image_requests(upstream, more, param):
    reply = draw(upstream, **more)
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == param


@pytest.mark.parametrize("name", ["image", "image[]"])
def test_image_edits_take_one_file_or_several(upstream, name):
    def edit(*files, prompt="add snow"):
        fields = {"model": "gpt-image-1", "prompt": prompt, "size": "1024x1024"}
        return requests.post(
            f"{upstream.url}/v1/images/edits",
            data=fields,
            files=[(name, file) for file in files],
            timeout=20,
        )

    png = ("a.png", b"\x89PNG\r\n\x1a\n\r\n--\xff", "image/png")
    one, two = edit(png), edit(png, png)
    assert one.status_code == two.status_code == 200
    assert one.json()["data"] != two.json()["data"]
    assert upstream.seen[-1]["body"]["prompt"] == "add snow"
    assert (
        upstream.seen[-1]["body"][name]
        == [{"filename": "a.png", "content_type": "image/png", "bytes": png[1]}] * 2
    )
    assert edit(("a.txt", b"hello", "text/plain")).json()["error"]["code"] == "invalid_image_file"
    assert edit().status_code == 400
    assert edit(png, prompt="!500").status_code == 500


def embed(upstream, **more):
    return requests.post(
        f"{upstream.url}/v1/embeddings",
        json={"model": "text-embedding-3-small", "input": "red apples"} | more,
        timeout=20,
    )


def test_embeddings_are_unit_vectors_that_know_likeness(upstream):
    body = embed(upstream, input=["red apples", "green apples", "tax law"]).json()
    assert body["object"] == "list"
    assert [entry["index"] for entry in body["data"]] == [0, 1, 2]
    vectors = [entry["embedding"] for entry in body["data"]]
    assert all(len(vector) == 1536 and math.isclose(math.hypot(*vector), 1) for vector in vectors)
    near, far = (
        math.sumprod(vectors[0], other)
        if hasattr(math, "sumprod")
        else sum(a * b for a, b in zip(vectors[0], other, strict=True))
        for other in vectors[1:]
    )
    assert near > 0.3 > abs(far)
    assert body["usage"] == {"prompt_tokens": 3 + 3 + 2, "total_tokens": 8}


def test_embeddings_as_base64_are_the_same_numbers(upstream):
    floats = embed(upstream, dimensions=64).json()["data"][0]["embedding"]
    packed = base64.b64decode(
        embed(upstream, dimensions=64, encoding_format="base64").json()["data"][0]["embedding"]
    )
    assert struct.unpack("<64f", packed) == pytest.approx(floats, rel=1e-6)


@pytest.mark.parametrize(("given", "count"), [([1, 2, 3], 1), ([[1, 2], [3]], 2), (["a", "b"], 2)])
def test_embeddings_take_tokens_and_lists(upstream, given, count):
    assert len(embed(upstream, input=given).json()["data"]) == count


@pytest.mark.parametrize(
    "more",
    [
        {"input": ""},
        {"input": []},
        {"input": None},
        {"input": ["a", ""]},
        {"dimensions": 1537},
        {"input": [1.5, None]},
    ],
)
def test_bad_embedding_requests(upstream, more):
    assert embed(upstream, **more).status_code == 400


# Faults ------------------------------------------------------------------------------------------


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
            f"{upstream.url}/v1/chat/completions", json=body, stream=True, timeout=5
        ) as reply:
            assert reply.status_code == 200
            for part in reply.iter_content(None):
                got += part
    assert b'"content":"' in got
    assert b"[DONE]" not in got
    assert b'"finish_reason":"' not in got


def test_cut_ends_a_json_reply_before_its_end(upstream):
    with closing(http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=5)) as connection:
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
        assert 0.5 <= time.monotonic() - began < 5


def test_every_trigger_is_documented():
    words = re.findall(r"\(([a-z0-9|]+)\)", questions.TRIGGER.pattern)[0].split("|")
    assert len(words) == 18
    for word in words:
        assert re.search(rf"!{word}\s\s", server.__doc__), word


# What it saw -------------------------------------------------------------------------------------


def test_it_tells_what_it_was_sent(upstream):
    raw = (
        b'{"model": "gpt-4o",  "messages": [{"role": "user", "content": "hi"}], '
        b'"x": 12345678901234567890}'
    )
    requests.post(
        f"{upstream.url}/v1/chat/completions?a=b",
        data=raw,
        headers={"Authorization": "Bearer k", "X-Thing": "1"},
        timeout=5,
    )
    seen = upstream.seen[-1]
    assert (seen["method"], seen["path"], seen["raw"], seen["body"]) == (
        "POST",
        "/v1/chat/completions?a=b",
        raw,
        json.loads(raw),
    )
    assert seen["headers"]["authorization"] == "Bearer k"
    assert seen["headers"]["x-thing"] == "1"
    assert abs(seen["at"] - time.time()) < 5
    assert seen["closed_early"] is False


@pytest.mark.parametrize("word", ["!stall", "!silent", "!slow=60", "!long"])
@pytest.mark.parametrize("stream", [False, True])
def test_it_sees_the_client_leave(word, stream):
    with server.DemoServer(pace=1) as upstream:
        client = socket.create_connection(("127.0.0.1", upstream.port))
        body = json.dumps(
            {
                "model": "gpt-4o",
                "messages": [{"role": "user", "content": f"go {word}"}],
                "stream": stream,
            }
        ).encode()
        client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
            % len(body)
            + body
        )
        assert eventually(lambda: upstream.seen)
        if word == "!stall":  # a part came
            client.settimeout(5)
            got = client.recv(65536)
            while (b'"content":"' if stream else b'"chatcmpl') not in got:
                got += client.recv(65536)
        time.sleep(0.1)
        assert upstream.seen[0]["closed_early"] is False
        client.close()
        assert eventually(lambda: upstream.seen[0]["closed_early"])


# As an HTTP server -------------------------------------------------------------------------------


def talk(upstream, *sent):
    """All that comes back on one connection until the server closes it."""
    with socket.create_connection(("127.0.0.1", upstream.port), timeout=10) as client:
        for part in sent:
            client.sendall(part)
        got = b""
        while part := client.recv(65536):
            got += part
        return got


def test_a_connection_is_kept_and_then_closed_when_idle(upstream, monkeypatch):
    monkeypatch.setattr(server, "IDLE", 0.4)
    with closing(http.client.HTTPConnection("127.0.0.1", upstream.port, timeout=5)) as connection:
        for stream in (True, False, True):
            connection.request(
                "POST",
                "/v1/chat/completions",
                json.dumps(
                    {
                        "model": "gpt-4o",
                        "messages": [{"role": "user", "content": "hi"}],
                        "stream": stream,
                    }
                ),
            )
            reply = connection.getresponse()
            assert reply.headers["connection"] == "keep-alive"
            assert reply.read()
        kept = connection.sock
        assert kept.recv(1) == b""  # closed by the server


def test_chunked_bodies_and_pipelined_requests_are_read(upstream):
    body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}).encode()
    chunked = (
        b"".join(b"%x;ext=1\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:]))
        + b"0\r\nTrailer: x\r\n\r\n"
    )
    head = b"POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
    got = talk(upstream, head + b"\r\n" + chunked + head + b"Connection: close\r\n\r\n" + chunked)
    assert got.count(b"HTTP/1.1 200 OK") == 2
    assert upstream.seen[-1]["raw"] == body


def test_older_clients_and_expectations(upstream):
    body = json.dumps(
        {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    ).encode()
    old = talk(
        upstream,
        b"POST /v1/chat/completions HTTP/1.0\r\ncontent-length: %d\r\n\r\n" % len(body) + body,
    )
    assert b"transfer-encoding" not in old
    assert old.endswith(b"data: [DONE]\n\n")
    expecting = talk(
        upstream,
        b"POST /v1/chat/completions HTTP/1.1\r\nconnection: close\r\n"
        b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(body),
        body,
    )
    assert expecting.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n",
        b"GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000 + b"\r\n\r\n",
    ],
)
def test_no_http_is_refused(upstream, sent):
    assert talk(upstream, sent).startswith(b"HTTP/1.1 400 Bad Request")


def test_it_is_paced_like_a_model():
    with server.DemoServer(pace=1) as upstream:
        began = time.monotonic()
        chunks = events(ask(upstream, stream=True, max_tokens=40))
        assert time.monotonic() - began > 0.3 + 40 / 60
        assert len(chunks) == 22
        began = time.monotonic()
        ask(upstream, max_tokens=50)
        assert time.monotonic() - began > 1.2


def test_hundreds_of_streams_at_once(upstream):
    body = json.dumps(
        {
            "model": "gpt-4o-mini",
            "messages": [{"role": "user", "content": QUESTION}],
            "stream": True,
        }
    ).encode()
    request = (
        b"POST /v1/chat/completions HTTP/1.1\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        % len(body)
        + body
    )

    async def stream():
        reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
        writer.write(request)
        whole = await reader.read()
        writer.close()
        await writer.wait_closed()
        return whole.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")

    async def streams():
        return await asyncio.gather(*(stream() for _ in range(300)))

    assert all(asyncio.run(streams()))


# As a process ------------------------------------------------------------------------------------


@pytest.fixture
def process():
    started = []

    def start(*options):
        child = subprocess.Popen(
            [sys.executable, "-m", "proxy.demo.server", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(child)
        return child

    yield start
    for child in started:
        if child.poll() is None:
            child.kill()
        child.communicate()


def test_its_own_process_says_where_it_listens_records_and_stops(process):
    child = process("--port", "0", "--pace", "0", "--record")
    [port] = re.findall(r"^listening on 127\.0\.0\.1:(\d+)\n$", child.stdout.readline())
    requests.post(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json={"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]},
        timeout=5,
    )
    [seen] = requests.get(f"http://127.0.0.1:{port}/_seen", timeout=5).json()
    assert seen["body"]["messages"] == [{"role": "user", "content": "hi"}]
    assert seen.keys() == {"method", "path", "headers", "body", "at", "closed_early"}
    with socket.create_connection(("127.0.0.1", int(port))):
        child.send_signal(signal.SIGTERM)
        assert child.wait(5) == 0
    assert child.communicate() == ("", "")


def test_a_taken_port_is_one_line(process):
    with server.DemoServer(pace=0) as upstream:
        child = process("--port", str(upstream.port))
        assert child.communicate(timeout=5) == (
            "",
            f"Cannot listen on 127.0.0.1:{upstream.port}: Address already in use.\n",
        )
        assert child.returncode == 1
        with pytest.raises(OSError, match="address already in use"):
            server.DemoServer(port=upstream.port)


def test_it_needs_no_django():
    check = (
        "import sys, proxy.demo.server; "
        "sys.exit(any(name.startswith('django') for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", check], check=True, timeout=20)
