"""Amazon SageMaker's runtime: a chat model that reads a list of messages and writes one answer.

`base_url` is https://runtime.sagemaker.<region>.amazonaws.com, whose endpoint is the model, or the
full address of the invocations of one. The credential is `ACCESS_KEY_ID:SECRET_ACCESS_KEY`, or with
`:SESSION_TOKEN`. The model is asked for text with a few parameters; it cannot stream, counts no
tokens and does not say why it stopped.
"""

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
import uuid_utils

from conversations import exact_json
from conversations.record.threads import is_empty
from conversations.shape import Json

from .. import faults, outcome
from . import openai, sigv4
from .base import Endpoint, Form, Sent, Target, make_headers, quote_step, read_model

LABEL = "Amazon SageMaker's runtime, signed"
STREAMS = False
SERVES = frozenset({Endpoint.CHAT})

# Where the caller says nothing; the containers' own defaults stop after a few words.
DEFAULTS = {"max_new_tokens": 512, "top_p": 0.9, "temperature": 0.6}
PARAMETERS = {  # OpenAI's names and the containers' own → the containers' names
    "max_tokens": "max_new_tokens",
    "max_completion_tokens": "max_new_tokens",
    "max_new_tokens": "max_new_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop": "stop",
    "seed": "seed",
    "repetition_penalty": "repetition_penalty",
}
IGNORED = {  # they change no answer
    "model",
    "messages",
    "stream",
    "stream_options",
    "user",
    "safety_identifier",
    "metadata",
    "prompt_cache_key",
}
NEUTRAL = {  # values that ask for what happens anyway
    "n": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logprobs": False,
    "store": False,
    "tool_choice": "none",
    "response_format": {"type": "text"},
    "modalities": ["text"],
}
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
# Fields of a message that the model reads, or that only comment on an earlier answer.
MESSAGE_FIELDS = {"role", "content", "annotations", "reasoning", "reasoning_content"}

STATUSES = {  # of AWS's errors that may come as 400
    "ThrottlingException": 429,
    "AccessDeniedException": 403,
    "NotAuthorized": 403,
    "IncompleteSignature": 403,
    "InvalidSignatureException": 403,
    "MissingAuthenticationToken": 403,
    "UnrecognizedClientException": 403,
    "ExpiredTokenException": 403,
}


def request(target: Target, endpoint: Endpoint, body: Json | Form) -> Sent:
    address = target.base_url.rstrip("/")
    if not address.endswith("/invocations"):
        address += f"/endpoints/{quote_step(target.model or read_model(body))}/invocations"
    headers = make_headers(
        target.content_type, **{"X-Amzn-SageMaker-Custom-Attributes": "accept_eula=true"}
    )
    data, now = exact_json.dumps(make_inputs(body)), datetime.now(UTC)
    keys, scope = read_keys(target, address), sigv4.Scope(find_region(target), "sagemaker", now)
    unsigned = sigv4.Unsigned("POST", address, headers, data)
    return Sent(address, sigv4.sign(unsigned, keys, scope), data)


def read_keys(target: Target, url: str) -> sigv4.Keys:
    parts = target.secret_for(url).split(":", 2)
    if len(parts) < 2 or not all(parts):
        raise faults.credentials_missing(
            "The gateway has no AWS keys for this model: ACCESS_KEY_ID:SECRET_ACCESS_KEY."
        )
    return sigv4.Keys(*parts)


def find_region(target: Target) -> str:
    host = urlsplit(target.base_url).hostname or ""
    in_host = re.search(r"runtime(-fips)?\.sagemaker\.([a-z0-9-]+)\.", host)
    region = target.region or (in_host[2] if in_host else "")
    if not region:
        raise faults.upstream_misconfigured("The gateway does not know this model's AWS region.")
    return region


def make_inputs(body: Json | Form) -> Json:
    """Return what the container reads. Raises Fault for anything it has no word for."""
    if not isinstance(body, dict):
        raise faults.unsupported_parameter(None, "This model reads no forms.")
    parameters: Json = dict(DEFAULTS)
    for name, value in body.items():
        if name in IGNORED or is_empty(value) or (name in NEUTRAL and value == NEUTRAL[name]):
            continue
        if name not in PARAMETERS:
            raise faults.unsupported_parameter(name, f"This model knows no `{name}`.")
        is_one_stop = name == "stop" and isinstance(value, str)
        parameters[PARAMETERS[name]] = [value] if is_one_stop else value
    messages = [make_message(said, f"messages[{n}]") for n, said in enumerate(body["messages"])]
    return {"inputs": [messages], "parameters": parameters}


def make_message(message: Json, where: str) -> Json:
    """Return a message of text alone; `where` is the parameter that a Fault names."""
    if message["role"] not in ROLES:
        raise faults.unsupported_parameter(
            f"{where}.role", f"This model knows no role `{message['role']}`."
        )
    for name, value in message.items():
        if name not in MESSAGE_FIELDS and not is_empty(value):
            raise faults.unsupported_parameter(
                f"{where}.{name}", f"This model knows no `{name}` in a message."
            )
    content = message.get("content")
    if isinstance(content, list) and all(
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
        for part in content
    ):
        content = "\n".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise faults.unsupported_parameter(f"{where}.content", "This model reads text only.")
    return {"role": ROLES[message["role"]], "content": content}


def reply(endpoint: Endpoint, body: Json | Form, answer: Any) -> Json:
    """Read [{"generation": {"role", "content"}}], or a less nested form of it.

    That is one object, the text alone in it, or `generated_text`.
    """
    first = answer[0] if isinstance(answer, list) and answer else answer
    fields = first if isinstance(first, dict) else {}
    text = fields.get("generation", fields.get("generated_text"))
    text = text.get("content") if isinstance(text, dict) else text
    if not isinstance(text, str):
        if problem := fields.get("errorMessage"):  # a Lambda that failed, at 200
            raise faults.upstream_failed(str(problem)[:2000])
        raise faults.empty_answer()
    assert isinstance(body, dict)
    message = {"role": "assistant", "content": text}
    return {
        "id": f"chatcmpl-{uuid_utils.uuid7().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": read_model(body),
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": outcome.estimate_usage(body, [message]),
    }


def error(status: int, headers: Mapping[str, str], data: bytes) -> tuple[int, Json]:
    """Read AWS's own errors, and those of the model's container, which come inside a 424."""
    _, problem = openai.error(status, headers, data)
    code = headers.get("x-amzn-errortype", "").partition(":")[0][:200] or problem["code"]
    problem["code"] = code
    if code in STATUSES:
        return STATUSES[code], problem
    try:
        answer = orjson.loads(data)
        inner, message = answer["OriginalStatusCode"], answer.get("OriginalMessage")
    except (ValueError, KeyError, TypeError):
        return status, problem
    problem["message"] = str(message or problem["message"])[:2000]
    return inner if type(inner) is int and 400 <= inner < 600 else status, problem
