"""OpenAI's API as the demo upstream speaks it: a request in, a reply out. Pure but for the clock and random ids."""

import base64
import math
import re
import secrets
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from enum import Enum
from hashlib import sha256
from itertools import zip_longest
from typing import Any
from urllib.parse import unquote

import orjson

from . import answers, picture

CHAT = {  # asked for: served
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "o4-mini": "o4-mini-2025-04-16",
    "gpt-4": "gpt-4-0613",
    "gpt-3.5-turbo": "gpt-3.5-turbo-0125",
}
LISTED = {
    "gpt-4o": 1715367049,
    "gpt-4o-mini": 1721172741,
    "gpt-4.1-mini": 1744318173,
    "o4-mini": 1744225351,
}
EMBEDDING = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}
IMAGE = ("dall-e-2", "dall-e-3", "gpt-image-1")
SIZES = ("256x256", "512x512", "1024x1024", "1536x1024", "1024x1536", "1792x1024", "1024x1792")
GARBAGE = [
    b'data: {"id": "chatcmpl-\n\n',
    b'data: \x1f\xfe{"choices": [{"mess\xff\n\n',
    b"what: is this\n\n",
    b"data: [1, 2\n\n",
]
PAGE = b"<!doctype html><html><head><title>Sign in to the network</title></head><body><p>Please accept the terms of this network.</p></body></html>\n"


class Then(Enum):
    """What follows instead of the rest of a reply."""

    SILENCE = 1
    END = 2


Faults = dict[str, float | None]


class Problem(Exception):
    """An error reply in OpenAI's shape."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.body = (
            status,
            {"error": {"message": message, "type": kind, "param": param, "code": code}},
        )


@dataclass
class Request:
    method: str
    path: str
    version: str
    headers: dict[str, str]
    raw: bytes = b""
    body: Any = None

    def parse(self) -> None:
        kind = self.headers.get("content-type", "")
        if kind.startswith("multipart/"):
            self.body = form(kind, self.raw)
        elif self.raw:
            try:
                self.body = orjson.loads(self.raw)
            except orjson.JSONDecodeError:
                self.body = self.raw


@dataclass
class Reply:
    """A status line's worth, and the body: whole, or a stream's events one by one."""

    body: bytes | Iterator[Any]  # bytes, or a Then
    status: int = 200
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    tokens: int = 0  # how much a model would have had to write
    pause: float = 0.04  # seconds between a stream's events

    @classmethod
    def json(cls, value: Any, status: int = 200, tokens: int = 0) -> "Reply":
        return cls(orjson.dumps(value, option=orjson.OPT_INDENT_2), status, tokens=tokens)


# What each path answers: a request and its triggers in, a reply out -----------------------------------------------


def reply_to(request: Request, faults: Faults) -> Reply:
    try:
        return _route(request, faults)
    except Problem as problem:
        reply = Reply.json(problem.body, problem.status)
        reply.headers = {"retry-after": "2"} if problem.status == 429 else {}
        return reply


def _route(request: Request, faults: Faults) -> Reply:
    path, _, _ = request.path.partition("?")
    made = re.fullmatch(r"/images/([0-9a-f]{64})-(\d{3,4})x(\d{3,4})\.png", path)
    if path == "/v1/models" or path.startswith("/v1/models/"):
        handlers = {"GET": models}
    elif made and f"{made[2]}x{made[3]}" in SIZES:
        handlers = {
            "GET": lambda request, faults: Reply(
                picture.png(bytes.fromhex(made[1]), int(made[2]), int(made[3])), kind="image/png"
            )
        }
    elif path in POSTED:
        handlers = {"POST": POSTED[path]}
    else:
        raise Problem(404, f"Invalid URL ({request.method} {path})")
    if request.method not in handlers:
        message = f"Not allowed to {request.method} on {path}. (HINT: Perhaps you meant to make your HTTP request using a different http method?)"
        raise Problem(405, message, code="method_not_supported")
    if request.method == "POST" and not isinstance(request.body, dict):
        raise Problem(
            400,
            "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly.)",
        )
    if "400" in faults:
        message = "Your request was rejected as a result of our safety system. Your prompt may contain text that is not allowed by our safety system."
        raise Problem(
            400,
            message,
            param="messages" if "messages" in request.body else "prompt",
            code="content_policy_violation",
        )
    if "401" in faults:
        key = request.headers.get("authorization", "").rpartition(" ")[2]
        raise Problem(
            401, f"Incorrect API key provided: {key[:4]}****{key[-2:]}.", code="invalid_api_key"
        )
    if "429" in faults:
        message = f"Rate limit reached for {request.body.get('model')} in organization org-demo on requests per min (RPM): Limit 3. Please try again in 2s."
        raise Problem(429, message, kind="requests", code="rate_limit_exceeded")
    if "500" in faults:
        return Reply.json(dropped(), 500)
    if "html" in faults:
        return Reply(PAGE, kind="text/html; charset=utf-8")
    if "garbage" in faults:
        return (
            Reply(iter(GARBAGE), kind="text/event-stream")
            if request.body.get("stream")
            else Reply(GARBAGE[1])
        )
    try:
        return handlers[request.method](request, faults)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Problem(400, f"Invalid type in the request: {error}.", code="invalid_type") from error


def models(request: Request, faults: Faults) -> Reply:
    known = [
        {"id": name, "object": "model", "created": created, "owned_by": "system"}
        for name, created in LISTED.items()
    ]
    name = unquote(request.path.partition("?")[0].removeprefix("/v1/models").removeprefix("/"))
    if not name:
        return Reply.json({"object": "list", "data": known})
    if name in LISTED:
        return Reply.json(next(model for model in known if model["id"] == name))
    if name in CHAT or name in EMBEDDING or name in IMAGE:
        return Reply.json(
            {"id": name, "object": "model", "created": 1700000000, "owned_by": "system"}
        )
    raise Problem(404, f"The model '{name}' does not exist", param="model", code="model_not_found")


def chat(request: Request, faults: Faults) -> Reply:
    body = request.body
    messages, model = checked(body), served(body, CHAT)
    streams = ("sse" in faults or bool(body.get("stream"))) and "json" not in faults
    options = body.get("stream_options")
    if options is not None and not body.get("stream"):
        raise Problem(
            400,
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )
    replies = [written(body, messages, faults, n) for n in range(int(body.get("n") or 1))]
    prompt = 3 + sum(
        4 + answers.tokens(answers.said(message.get("content"))) + tool_tokens(message)
        for message in messages
    )
    written_tokens = sum(len(parts) for _, parts, _ in replies)
    usage = counted(prompt, written_tokens)
    head = {
        "id": f"chatcmpl-{secrets.token_urlsafe(21)}",
        "object": "chat.completion.chunk" if streams else "chat.completion",
        "created": int(time.time()),
        "model": model,
        "service_tier": "default",
        "system_fingerprint": "fp_demo000001",
    }
    if streams:
        shows = (
            usage
            if isinstance(options, dict)
            and options.get("include_usage")
            and "nousage" not in faults
            else None
        )
        events = streamed(head, replies, shows, faults, 12 if "long" in faults else 2)
        return Reply(
            events,
            kind="text/event-stream; charset=utf-8",
            pause=0.005 if "long" in faults else 0.04,
        )
    choices = []
    for index, (call, parts, reason) in enumerate(replies):
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if call else "".join(parts),
            "refusal": None,
            "annotations": [],
        }
        if call:
            message["tool_calls"] = [
                call | {"function": call["function"] | {"arguments": "".join(parts)}}
            ]
        choices.append(
            {"index": index, "message": message, "logprobs": None, "finish_reason": reason}
        )
    if "error" in faults:
        return Reply.json(dropped())
    counts = {} if "nousage" in faults else {"usage": usage}
    return Reply.json(head | {"choices": choices} | counts, tokens=written_tokens)


def written(
    body: dict, messages: list[dict], faults: Faults, n: int
) -> tuple[dict | None, list[str], str]:
    """One choice: the tool call that it is, if it is one; its text (or arguments) in pieces; why it ends."""
    question = answers.asked(messages)
    tool = (
        answers.tool_for(body["tools"], body.get("tool_choice"), messages)
        if isinstance(body.get("tools"), list)
        else None
    )
    shape = body.get("response_format") or {}
    call = None
    if tool:
        call = {
            "id": f"call_{secrets.token_hex(12)}",
            "type": "function",
            "function": {"name": tool["name"]},
        }
        text = orjson.dumps(
            answers.example(tool.get("parameters"), answers.TRIGGER.sub("", question))
        ).decode()
    elif shape.get("type") == "json_schema":
        text = orjson.dumps(
            answers.example((shape.get("json_schema") or {}).get("schema"), question)
        ).decode()
    elif shape.get("type") == "json_object":
        text = orjson.dumps(
            {"subject": answers.subject(question), "answer": answers.answer(messages, n)}
        ).decode()
    elif "long" in faults:
        text = answers.long(answers.TRIGGER.sub("", question), int(faults["long"] or 20_000))
    elif "echo" in faults:
        text = re.sub(r"(?<!\S)!echo(?!\S)\s?", "", question, count=1)
    else:
        text = answers.answer(messages, n)
    stops = [body["stop"]] if isinstance(body.get("stop"), str) else body.get("stop") or []
    text = min((text.split(stop)[0] for stop in stops if stop), key=len, default=text)
    parts, most = answers.pieces(text), body.get("max_completion_tokens") or body.get("max_tokens")
    if most and len(parts) > most:
        return call, parts[:most], "length"
    return call, parts, "tool_calls" if call else "stop"


def streamed(
    head: dict,
    replies: list[tuple[dict | None, list[str], str]],
    usage: dict | None,
    faults: Faults,
    width: int,
) -> Iterator[Any]:
    """A chunk a few pieces, all choices in turn, as OpenAI sends them."""
    extra = {} if usage is None else {"usage": None}

    def chunk(index: int, delta: dict, reason: str | None = None) -> bytes:
        return event(
            head
            | {
                "choices": [
                    {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
                ]
            }
            | extra
        )

    for index, (call, _, _) in enumerate(replies):
        opening: dict[str, Any] = {
            "role": "assistant",
            "content": None if call else "",
            "refusal": None,
        }
        if call:
            opening["tool_calls"] = [
                {"index": 0} | call | {"function": call["function"] | {"arguments": ""}}
            ]
        yield chunk(index, opening)
    steps = list(zip_longest(*(range(0, len(parts), width) for _, parts, _ in replies)))
    broken = min(4, (len(steps) + 1) // 2)  # in mid-stream, however short the answer
    for done, step in enumerate(steps):
        if done == broken and faults.keys() & {"stall", "cut", "error"}:
            break
        for index, start in enumerate(step):
            if start is not None:
                call, parts, _ = replies[index]
                text = "".join(parts[start : start + width])
                yield chunk(
                    index,
                    {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}
                    if call
                    else {"content": text},
                )
    if "stall" in faults:
        yield Then.SILENCE
    if "cut" in faults:
        yield Then.END
    if "error" in faults:
        yield event(dropped())
        return
    for index, (_, _, reason) in enumerate(replies):
        yield chunk(index, {}, reason)
    if usage is not None:
        yield event(head | {"choices": [], "usage": usage})
    if "nodone" not in faults:
        yield b"data: [DONE]\n\n"


def images(request: Request, faults: Faults) -> Reply:
    """Generations and edits: pictures drawn from the prompt, and from what was uploaded."""
    body = request.body
    uploads: list[bytes] = []
    if request.path.partition("?")[0].endswith("/edits"):
        uploads = [
            part["bytes"]
            for name in ("image", "image[]")
            for part in several(body.get(name))
            if isinstance(part, dict)
        ]
        if not uploads:
            raise Problem(
                400,
                "Missing required parameter: 'image'.",
                param="image",
                code="missing_required_parameter",
            )
        if not all(
            upload.startswith((b"\x89PNG\r\n", b"\xff\xd8\xff", b"RIFF")) for upload in uploads
        ):
            raise Problem(
                400,
                "Invalid image file or mode for image 1, please check your image file.",
                param="image",
                code="invalid_image_file",
            )
    model = served({"model": body.get("model") or "dall-e-2"}, {name: name for name in IMAGE})
    prompt, size = body.get("prompt"), body.get("size") or "1024x1024"
    if not isinstance(prompt, str) or not prompt:
        raise Problem(
            400,
            "Missing required parameter: 'prompt'.",
            param="prompt",
            code="missing_required_parameter",
        )
    size = "1024x1024" if size == "auto" else size
    if size not in SIZES:
        raise Problem(
            400,
            f"Invalid value: '{size}'. Supported values are: {', '.join(map(repr, SIZES))}.",
            param="size",
            code="invalid_value",
        )
    count = int(body.get("n") or 1)
    if not 1 <= count <= 10:
        raise Problem(
            400,
            f"Invalid 'n': expected a value from 1 to 10, but got {count} instead.",
            param="n",
            code="integer_above_max_value",
        )
    newer = model == "gpt-image-1"
    if newer and "response_format" in body:
        raise Problem(
            400,
            "Unknown parameter: 'response_format'.",
            param="response_format",
            code="unknown_parameter",
        )
    width, height = map(int, size.split("x"))
    digests = [picture.digest(prompt, *uploads, b"%d" % n) for n in range(count)]
    if newer or body.get("response_format") == "b64_json":
        data = [
            {"b64_json": base64.b64encode(picture.png(digest, width, height)).decode()}
            for digest in digests
        ]
    else:
        host = request.headers.get("host", "127.0.0.1")
        data = [{"url": f"http://{host}/images/{digest.hex()}-{size}.png"} for digest in digests]
    reply: dict[str, Any] = {"created": int(time.time())}
    if newer:
        text, drawn = answers.tokens(prompt), 1056 * count
        reply |= {"background": "opaque", "output_format": "png", "quality": "medium", "size": size}
        reply["usage"] = {
            "input_tokens": text,
            "input_tokens_details": {"image_tokens": 0, "text_tokens": text},
            "output_tokens": drawn,
            "total_tokens": text + drawn,
        }
    if "nousage" in faults:
        reply.pop("usage", None)
    return Reply.json(reply | {"data": data}, tokens=100)


def embeddings(request: Request, faults: Faults) -> Reply:
    body = request.body
    model = served(body, {name: name for name in EMBEDDING})
    inputs = body.get("input")
    if isinstance(inputs, str) or (
        isinstance(inputs, list) and inputs and isinstance(inputs[0], int)
    ):
        inputs = [inputs]
    if not isinstance(inputs, list) or not inputs or any(one in ("", []) for one in inputs):
        raise Problem(
            400,
            "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.",
        )
    if len(inputs) > 2048:
        raise Problem(
            400,
            "'input' array too long. Expected an array with maximum length 2048.",
            param="input",
            code="array_above_max_length",
        )
    width = body.get("dimensions") or EMBEDDING[model]
    if not isinstance(width, int) or not 1 <= width <= EMBEDDING[model]:
        raise Problem(
            400,
            f"Invalid value for 'dimensions' = {width}. Must be between 1 and {EMBEDDING[model]}.",
            param="dimensions",
        )
    data = []
    for index, one in enumerate(inputs):
        vector = embedded(one, width)
        coded = (
            base64.b64encode(struct.pack(f"<{width}f", *vector)).decode()
            if body.get("encoding_format") == "base64"
            else vector
        )
        data.append({"object": "embedding", "index": index, "embedding": coded})
    used = sum(answers.tokens(one) if isinstance(one, str) else len(one) for one in inputs)
    counts = {} if "nousage" in faults else {"usage": {"prompt_tokens": used, "total_tokens": used}}
    return Reply.json({"object": "list", "data": data, "model": model} | counts)


POSTED = {
    "/v1/chat/completions": chat,
    "/v1/embeddings": embeddings,
    "/v1/images/generations": images,
    "/v1/images/edits": images,
}


def checked(body: dict) -> list[dict]:
    """The messages, or the complaint that OpenAI would make."""
    messages = body.get("messages")
    if messages is None:
        raise Problem(
            400,
            "Missing required parameter: 'messages'.",
            param="messages",
            code="missing_required_parameter",
        )
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
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            param="messages",
            code="empty_array",
        )
    roles = ("system", "assistant", "user", "function", "tool", "developer")
    called: set[str] = set()
    for n, message in enumerate(messages):
        if message.get("role") not in roles:
            names = ", ".join(map(repr, roles))
            raise Problem(
                400,
                f"Invalid value: '{message.get('role')}'. Supported values are: {names}.",
                param=f"messages[{n}].role",
                code="invalid_value",
            )
        if message["role"] == "tool" and message.get("tool_call_id") not in called:
            raise Problem(
                400,
                "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.",
                param=f"messages.[{n}].role",
            )
        called |= {call.get("id") for call in message.get("tool_calls") or []}
    for name, low, high in (
        ("temperature", 0, 2),
        ("top_p", 0, 1),
        ("presence_penalty", -2, 2),
        ("frequency_penalty", -2, 2),
        ("n", 1, 128),
    ):
        value = body.get(name)
        if value is not None and not (isinstance(value, int | float) and low <= value <= high):
            raise Problem(
                400,
                f"Invalid '{name}': expected a value from {low} to {high}, but got {value} instead.",
                param=name,
                code="invalid_value",
            )
    return messages


def served(body: dict, names: dict[str, str]) -> str:
    """The model that answers to a name; a served name answers to itself."""
    asked = body.get("model")
    if not isinstance(asked, str) or not asked:
        raise Problem(400, "you must provide a model parameter")
    if asked not in names and asked not in names.values():
        raise Problem(
            404,
            f"The model `{asked}` does not exist or you do not have access to it.",
            code="model_not_found",
        )
    return names.get(asked, asked)


def counted(prompt: int, completion: int) -> dict:
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


def embedded(text: Any, width: int) -> list[float]:
    """A unit vector; texts that share words lie close together."""
    vector = [0.0] * width
    for word in re.findall(r"\w+", text.lower()) or [text] if isinstance(text, str) else text:
        hashed = sha256(str(word).encode(errors="replace")).digest()
        for place in struct.unpack(">8I", hashed):
            vector[place % width] += 1.0 if place & 0x80000000 else -1.0
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector] if length else [1.0, *vector[1:]]


def dropped() -> dict:
    """OpenAI's own 500, as it comes in mid-stream too."""
    return Problem(
        500,
        "The server had an error while processing your request. Sorry about that!",
        kind="server_error",
    ).body


def event(value: dict) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def tool_tokens(message: dict) -> int:
    return (
        answers.tokens(orjson.dumps(message["tool_calls"]).decode())
        if message.get("tool_calls")
        else 0
    )


def several(value: Any) -> list:
    return value if isinstance(value, list) else [] if value is None else [value]


def form(kind: str, raw: bytes) -> dict[str, Any]:
    """A multipart body: text fields as strings, files as dicts, a repeated name as a list."""
    fields: dict[str, Any] = {}
    for part in (
        BytesParser(policy=HTTP)
        .parsebytes(b"Content-Type: " + kind.encode("latin-1") + b"\r\n\r\n" + raw)
        .iter_parts()
    ):
        name, content = (
            str(part.get_param("name", header="content-disposition")),
            part.get_payload(decode=True),
        )
        assert isinstance(content, bytes)
        value: Any = content.decode(errors="replace")
        if part.get_filename() is not None:
            value = {
                "filename": part.get_filename(),
                "content_type": part.get_content_type(),
                "bytes": content,
            }
        fields[name] = [*several(fields[name]), value] if name in fields else value
    return fields


def faults_of(body: Any) -> Faults:
    """The triggers in what the caller says last."""
    if not isinstance(body, dict):
        return {}
    messages, given = body.get("messages"), body.get("prompt") or body.get("input")
    if isinstance(messages, list):
        return answers.triggers(
            answers.asked([message for message in messages if isinstance(message, dict)])
        )
    return answers.triggers(" ".join(one for one in several(given) if isinstance(one, str)))
