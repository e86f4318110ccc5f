"""OpenAI's API as the demo upstream speaks it: a request in, a reply out.

Pure but for the clock and random ids.
"""

import base64
import math
import re
import struct
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from . import chat, models, picture
from .models import EMBEDDING, IMAGE, find_model
from .questions import Trigger, Triggers, count_tokens, find_question, find_triggers
from .wire import Problem, Reply, Request, as_list

SIZES = ("256x256", "512x512", "1024x1024", "1536x1024", "1024x1536", "1792x1024", "1024x1792")
GARBAGE = [
    b'data: {"id": "chatcmpl-\n\n',
    b'data: \x1f\xfe{"choices": [{"mess\xff\n\n',
    b"what: is this\n\n",
    b"data: [1, 2\n\n",
]
PAGE = (
    b"<!doctype html><html><head><title>Sign in to the network</title></head>"
    b"<body><p>Please accept the terms of this network.</p></body></html>\n"
)
Handler = Callable[[Request, Triggers], Reply]


def reply_to(request: Request, triggers: Triggers) -> Reply:
    try:
        return _reply(request, triggers)
    except Problem as problem:
        reply = Reply.json(problem.body, problem.status)
        reply.headers = {"retry-after": "2"} if problem.status == 429 else {}
        return reply


def read_triggers(body: Any) -> Triggers:
    """Return the triggers in what the caller says last."""
    if not isinstance(body, dict):
        return {}
    messages = body.get("messages")
    if isinstance(messages, list):
        text = find_question([message for message in messages if isinstance(message, dict)])
    else:
        texts = as_list(body.get("prompt") or body.get("input"))
        text = " ".join(part for part in texts if isinstance(part, str))
    return find_triggers(text)


def _reply(request: Request, triggers: Triggers) -> Reply:
    handler = _find_handler(request)
    if request.method == "POST" and not isinstance(request.body, dict):
        raise Problem(
            400,
            "We could not parse the JSON body of your request. (HINT: This likely means you "
            "aren't using your HTTP library correctly.)",
        )
    _complain(request, triggers)
    if Trigger.SERVER_ERROR in triggers:
        return Reply.json(Problem.server_error().body, 500)
    if Trigger.HTML in triggers:
        return Reply(PAGE, kind="text/html; charset=utf-8")
    if Trigger.GARBAGE in triggers:
        if request.body.get("stream"):
            return Reply(iter(GARBAGE), kind="text/event-stream")
        return Reply(GARBAGE[1])
    try:
        return handler(request, triggers)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Problem(400, f"Invalid type in the request: {error}.", code="invalid_type") from error


def _find_handler(request: Request) -> Handler:
    path = request.bare_path
    drawn = re.fullmatch(r"/images/[0-9a-f]{64}-(\d{3,4}x\d{3,4})\.png", path)
    handlers: dict[str, Handler]
    if path == "/v1/models" or path.startswith("/v1/models/"):
        handlers = {"GET": models.list_models}
    elif drawn and drawn[1] in SIZES:
        handlers = {"GET": show_image}
    elif path in POSTED:
        handlers = {"POST": POSTED[path]}
    else:
        raise Problem(404, f"Invalid URL ({request.method} {path})")
    if request.method not in handlers:
        message = (
            f"Not allowed to {request.method} on {path}. (HINT: Perhaps you meant to make your "
            "HTTP request using a different http method?)"
        )
        raise Problem(405, message, code="method_not_supported")
    return handlers[request.method]


def _complain(request: Request, triggers: Triggers) -> None:
    """Raise the problem that a trigger asks for."""
    if Trigger.CONTENT_POLICY in triggers:
        raise Problem(
            400,
            "Your request was rejected as a result of our safety system. Your prompt may contain "
            "text that is not allowed by our safety system.",
            param="messages" if "messages" in request.body else "prompt",
            code="content_policy_violation",
        )
    if Trigger.WRONG_KEY in triggers:
        key = request.headers.get("authorization", "").rpartition(" ")[2]
        message = f"Incorrect API key provided: {key[:4]}****{key[-2:]}."
        raise Problem(401, message, code="invalid_api_key")
    if Trigger.RATE_LIMIT in triggers:
        message = (
            f"Rate limit reached for {request.body.get('model')} in organization org-demo on "
            "requests per min (RPM): Limit 3. Please try again in 2s."
        )
        raise Problem(429, message, kind="requests", code="rate_limit_exceeded")


# Images -----------------------------------------------------------------------------------------


def show_image(request: Request, triggers: Triggers) -> Reply:
    name = request.bare_path.removeprefix("/images/").removesuffix(".png")
    digest, size = name.split("-")
    return Reply(picture.png(bytes.fromhex(digest), *_sides(size)), kind="image/png")


def make_images(request: Request, triggers: Triggers) -> Reply:
    """Draw pictures from the prompt, and from what was uploaded to be edited."""
    body = request.body
    edits = request.bare_path.endswith("/edits")
    uploads = _read_uploads(body) if edits else []
    model = find_model({"model": body.get("model") or "dall-e-2"}, {name: name for name in IMAGE})
    prompt, size = _read_prompt(body), _read_size(body)
    count = _read_count(body)
    is_newer = model == "gpt-image-1"
    if is_newer and "response_format" in body:
        raise Problem(
            400,
            "Unknown parameter: 'response_format'.",
            param="response_format",
            code="unknown_parameter",
        )
    digests = [picture.digest(prompt, *uploads, b"%d" % n) for n in range(count)]
    data = [{"url": _address(request, digest, size)} for digest in digests]
    if is_newer or body.get("response_format") == "b64_json":
        drawn = [picture.png(digest, *_sides(size)) for digest in digests]
        data = [{"b64_json": base64.b64encode(png).decode()} for png in drawn]
    reply: dict[str, Any] = {"created": int(time.time())}
    if is_newer:
        reply |= {"background": "opaque", "output_format": "png", "quality": "medium", "size": size}
        if Trigger.NO_USAGE not in triggers:
            reply["usage"] = _image_usage(count_tokens(prompt), 1056 * count)
    return Reply.json(reply | {"data": data}, tokens=100)


def _read_uploads(body: dict) -> list[bytes]:
    parts = as_list(body.get("image")) + as_list(body.get("image[]"))
    uploads = [part["bytes"] for part in parts if isinstance(part, dict)]
    if not uploads:
        raise Problem.missing("image")
    if not all(upload.startswith((b"\x89PNG\r\n", b"\xff\xd8\xff", b"RIFF")) for upload in uploads):
        raise Problem(
            400,
            "Invalid image file or mode for image 1, please check your image file.",
            param="image",
            code="invalid_image_file",
        )
    return uploads


def _read_prompt(body: dict) -> str:
    prompt = body.get("prompt")
    if not isinstance(prompt, str) or not prompt:
        raise Problem.missing("prompt")
    return prompt


def _read_size(body: dict) -> str:
    size = body.get("size") or "1024x1024"
    size = "1024x1024" if size == "auto" else size
    if size not in SIZES:
        raise Problem(
            400,
            f"Invalid value: '{size}'. Supported values are: {', '.join(map(repr, SIZES))}.",
            param="size",
            code="invalid_value",
        )
    return size


def _read_count(body: dict) -> int:
    count = int(body.get("n") or 1)
    if not 1 <= count <= 10:
        raise Problem(
            400,
            f"Invalid 'n': expected a value from 1 to 10, but got {count} instead.",
            param="n",
            code="integer_above_max_value",
        )
    return count


def _sides(size: str) -> tuple[int, int]:
    width, height = size.split("x")
    return int(width), int(height)


def _address(request: Request, digest: bytes, size: str) -> str:
    host = request.headers.get("host", "127.0.0.1")
    return f"http://{host}/images/{digest.hex()}-{size}.png"


def _image_usage(text: int, drawn: int) -> dict:
    return {
        "input_tokens": text,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": text},
        "output_tokens": drawn,
        "total_tokens": text + drawn,
    }


# Embeddings -------------------------------------------------------------------------------------


def make_embeddings(request: Request, triggers: Triggers) -> Reply:
    body = request.body
    model = find_model(body, {name: name for name in EMBEDDING})
    inputs = _read_inputs(body)
    width = body.get("dimensions") or EMBEDDING[model]
    if not isinstance(width, int) or not 1 <= width <= EMBEDDING[model]:
        raise Problem(
            400,
            f"Invalid value for 'dimensions' = {width}. Must be between 1 and {EMBEDDING[model]}.",
            param="dimensions",
        )
    data = []
    for index, text in enumerate(inputs):
        vector: Any = embed(text, width)
        if body.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack(f"<{width}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    reply: dict[str, Any] = {"object": "list", "data": data, "model": model}
    if Trigger.NO_USAGE not in triggers:
        used = sum(count_tokens(text) if isinstance(text, str) else len(text) for text in inputs)
        reply["usage"] = {"prompt_tokens": used, "total_tokens": used}
    return Reply.json(reply)


def _read_inputs(body: dict) -> list:
    """Return texts, or lists of tokens."""
    inputs = body.get("input")
    if isinstance(inputs, str) or (
        isinstance(inputs, list) and inputs and isinstance(inputs[0], int)
    ):
        inputs = [inputs]
    if not isinstance(inputs, list) or not inputs or any(text in ("", []) for text in inputs):
        raise Problem(
            400,
            "'$.input' is invalid. Please check the API reference: "
            "https://platform.openai.com/docs/api-reference.",
        )
    if len(inputs) > 2048:
        raise Problem(
            400,
            "'input' array too long. Expected an array with maximum length 2048.",
            param="input",
            code="array_above_max_length",
        )
    return inputs


def embed(text: Any, width: int) -> list[float]:
    """Return a unit vector; texts that share words lie close together."""
    words = re.findall(r"\w+", text.lower()) or [text] if isinstance(text, str) else text
    vector = [0.0] * width
    for word in words:
        hashed = sha256(str(word).encode(errors="replace")).digest()
        for place in struct.unpack(">8I", hashed):
            vector[place % width] += 1.0 if place & 0x80000000 else -1.0
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector] if length else [1.0, *vector[1:]]


POSTED: dict[str, Handler] = {
    "/v1/chat/completions": chat.complete,
    "/v1/embeddings": make_embeddings,
    "/v1/images/generations": make_images,
    "/v1/images/edits": make_images,
}
