"""The demo upstream over real sockets: completions of OpenAI's shape, and tools."""

import base64
import json
import math
import time

import pytest

from proxy.tests.demo.questions import QUESTION, ask, events, joined, said


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
    assert time.monotonic() - began < 10


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
