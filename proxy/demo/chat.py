"""Chat completions of the demo upstream, as JSON and as a stream."""

import re
import secrets
import time
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, NamedTuple

import orjson

from . import answers
from .models import CHAT, find_model
from .questions import (
    Trigger,
    Triggers,
    count_tokens,
    find_question,
    find_subject,
    read_text,
    remove_triggers,
)
from .tools import choose_tool, make_example
from .wire import Problem, Reply, Request, Then

ROLES = ("system", "assistant", "user", "function", "tool", "developer")
BOUNDS = (
    ("temperature", 0, 2),
    ("top_p", 0, 1),
    ("presence_penalty", -2, 2),
    ("frequency_penalty", -2, 2),
    ("n", 1, 128),
)


class Choice(NamedTuple):
    """One answer: a call of a tool, if it is one; its text or arguments; why it ends."""

    call: dict | None
    pieces: list[str]
    finish_reason: str


def complete(request: Request, triggers: Triggers) -> Reply:
    body = request.body
    messages = check_messages(body)
    check_numbers(body)
    model = find_model(body, CHAT)
    if body.get("stream_options") is not None and not body.get("stream"):
        raise Problem(
            400,
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )
    choices = [write_choice(body, messages, triggers, n) for n in range(int(body.get("n") or 1))]
    written = sum(len(choice.pieces) for choice in choices)
    usage = make_usage(count_prompt(messages), written)
    streams = Trigger.SSE in triggers or bool(body.get("stream"))
    if streams and Trigger.JSON not in triggers:
        return stream(body, make_head("chat.completion.chunk", model), choices, usage, triggers)
    if Trigger.ERROR in triggers:
        return Reply.json(Problem.server_error().body)
    reply = make_head("chat.completion", model)
    reply["choices"] = [describe(index, choice) for index, choice in enumerate(choices)]
    if Trigger.NO_USAGE not in triggers:
        reply["usage"] = usage
    return Reply.json(reply, tokens=written)


def make_head(kind: str, model: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{secrets.token_urlsafe(21)}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
        "service_tier": "default",
        "system_fingerprint": "fp_demo000001",
    }


def make_usage(prompt: int, completion: int) -> dict:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def count_prompt(messages: list[dict]) -> int:
    total = 3
    for message in messages:
        total += 4 + count_tokens(read_text(message.get("content")))
        if calls := message.get("tool_calls"):
            total += count_tokens(orjson.dumps(calls).decode())
    return total


# A choice ---------------------------------------------------------------------------------------


def write_choice(body: dict, messages: list[dict], triggers: Triggers, number: int) -> Choice:
    call, text = write(body, messages, triggers, number)
    stops = [body["stop"]] if isinstance(body.get("stop"), str) else body.get("stop") or []
    text = min((text.split(stop)[0] for stop in stops if stop), key=len, default=text)
    pieces = answers.cut_pieces(text)
    most = body.get("max_completion_tokens") or body.get("max_tokens")
    if most and len(pieces) > most:
        return Choice(call, pieces[:most], "length")
    return Choice(call, pieces, "tool_calls" if call else "stop")


def write(
    body: dict, messages: list[dict], triggers: Triggers, number: int
) -> tuple[dict | None, str]:
    """Return the call of a tool, if it is to be one, and its text or arguments."""
    question = find_question(messages)
    if isinstance(tools := body.get("tools"), list) and (
        tool := choose_tool(tools, body.get("tool_choice"), messages)
    ):
        call = {
            "id": f"call_{secrets.token_hex(12)}",
            "type": "function",
            "function": {"name": tool["name"]},
        }
        arguments = make_example(tool.get("parameters"), remove_triggers(question))
        return call, orjson.dumps(arguments).decode()
    shape = body.get("response_format") or {}
    if shape.get("type") == "json_schema":
        example = make_example((shape.get("json_schema") or {}).get("schema"), question)
        return None, orjson.dumps(example).decode()
    if shape.get("type") == "json_object":
        value = {"subject": find_subject(question), "answer": answers.answer(messages, number)}
        return None, orjson.dumps(value).decode()
    if Trigger.LONG in triggers:
        length = int(triggers[Trigger.LONG] or 20_000)
        return None, answers.write_long(remove_triggers(question), length)
    if Trigger.ECHO in triggers:
        return None, re.sub(r"(?<!\S)!echo(?!\S)\s?", "", question, count=1)
    return None, answers.answer(messages, number)


def describe(index: int, choice: Choice) -> dict:
    call, text = choice.call, "".join(choice.pieces)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if call else text,
        "refusal": None,
        "annotations": [],
    }
    if call:
        message["tool_calls"] = [call | {"function": call["function"] | {"arguments": text}}]
    return {
        "index": index,
        "message": message,
        "logprobs": None,
        "finish_reason": choice.finish_reason,
    }


# A stream ---------------------------------------------------------------------------------------


def stream(body: dict, head: dict, choices: list[Choice], usage: dict, triggers: Triggers) -> Reply:
    options = body.get("stream_options")
    counted = isinstance(options, dict) and options.get("include_usage")
    shown = usage if counted and Trigger.NO_USAGE not in triggers else None
    return Reply(
        stream_events(head, choices, shown, triggers),
        kind="text/event-stream; charset=utf-8",
        pause=0.005 if Trigger.LONG in triggers else 0.04,
    )


def stream_events(
    head: dict, choices: list[Choice], usage: dict | None, triggers: Triggers
) -> Iterator[Any]:
    """Send a chunk a few pieces, all choices in turn, as OpenAI does."""
    extra = {} if usage is None else {"usage": None}

    def chunk(index: int, delta: dict, reason: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
        return event(head | {"choices": [choice]} | extra)

    for index, choice in enumerate(choices):
        yield chunk(index, open_delta(choice))
    for index, delta in text_deltas(choices, triggers):
        yield chunk(index, delta)
    if Trigger.STALL in triggers:
        yield Then.SILENCE
    if Trigger.CUT in triggers:
        yield Then.END
    if Trigger.ERROR in triggers:
        yield event(Problem.server_error().body)
        return
    for index, choice in enumerate(choices):
        yield chunk(index, {}, choice.finish_reason)
    if usage is not None:
        yield event(head | {"choices": [], "usage": usage})
    if Trigger.NO_DONE not in triggers:
        yield b"data: [DONE]\n\n"


def open_delta(choice: Choice) -> dict:
    call = choice.call
    delta: dict[str, Any] = {"role": "assistant", "content": None if call else "", "refusal": None}
    if call:
        delta["tool_calls"] = [
            {"index": 0} | call | {"function": call["function"] | {"arguments": ""}}
        ]
    return delta


def text_deltas(choices: list[Choice], triggers: Triggers) -> Iterator[tuple[int, dict]]:
    """Yield the index of a choice and what is added to it; half of it all if it is to break."""
    width = 12 if Trigger.LONG in triggers else 2  # pieces a chunk
    steps = list(zip_longest(*(range(0, len(choice.pieces), width) for choice in choices)))
    if triggers.keys() & {Trigger.STALL, Trigger.CUT, Trigger.ERROR}:
        steps = steps[: min(4, (len(steps) + 1) // 2)]  # in mid-stream, however short the answer
    for step in steps:
        for index, start in enumerate(step):
            if start is None:
                continue
            text = "".join(choices[index].pieces[start : start + width])
            if choices[index].call:
                yield index, {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}
            else:
                yield index, {"content": text}


def event(value: dict) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


# Complaints -------------------------------------------------------------------------------------


def check_messages(body: dict) -> list[dict]:
    """Return the messages, or raise the complaint that OpenAI would make."""
    messages = body.get("messages")
    if messages is None:
        raise Problem.missing("messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise Problem(
            400,
            "Invalid type for 'messages': expected an array of objects.",
            param="messages",
            code="invalid_type",
        )
    if not messages:
        raise Problem(
            400,
            "Invalid 'messages': empty array. Expected an array with minimum length 1, "
            "but got an empty array instead.",
            param="messages",
            code="empty_array",
        )
    called: set[str] = set()
    for n, message in enumerate(messages):
        if message.get("role") not in ROLES:
            names = ", ".join(map(repr, ROLES))
            raise Problem(
                400,
                f"Invalid value: '{message.get('role')}'. Supported values are: {names}.",
                param=f"messages[{n}].role",
                code="invalid_value",
            )
        if message["role"] == "tool" and message.get("tool_call_id") not in called:
            raise Problem(
                400,
                "Invalid parameter: messages with role 'tool' must be a response to a preceeding "
                "message with 'tool_calls'.",
                param=f"messages.[{n}].role",
            )
        called |= {call.get("id") for call in message.get("tool_calls") or []}
    return messages


def check_numbers(body: dict) -> None:
    for name, low, high in BOUNDS:
        value = body.get(name)
        if value is not None and not (isinstance(value, int | float) and low <= value <= high):
            raise Problem(
                400,
                f"Invalid '{name}': expected a value from {low} to {high}, but got {value} "
                "instead.",
                param=name,
                code="invalid_value",
            )
