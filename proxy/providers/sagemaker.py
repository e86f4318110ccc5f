"""Amazon SageMaker's runtime: a chat model behind an endpoint, which reads a list of messages and writes one answer.

`base_url` is https://runtime.sagemaker.<region>.amazonaws.com, whose endpoint is the model, or the whole address of one's
invocations. The credential is `ACCESS_KEY_ID:SECRET_ACCESS_KEY`, or with `:SESSION_TOKEN`. The model is asked for text with a few
parameters; it cannot stream, counts no tokens and does not say why it stopped.
"""

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
import uuid_utils

from conversations.record.threads import is_empty
from conversations.shape import Json

from .. import faults, outcome
from . import openai, sigv4
from .base import Endpoint, Form, Sent, Target, model_of, our_headers, secret, step

LABEL = "Amazon SageMaker's runtime, signed"
STREAMS = False
SERVES = frozenset({Endpoint.CHAT})

DEFAULTS = {
    "max_new_tokens": 512,
    "top_p": 0.9,
    "temperature": 0.6,
}  # where the caller says nothing; the containers' own stop after a few words
PARAMETERS = {  # OpenAI's, or the containers' own → how the containers call them
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
LABELS = {
    "model",
    "messages",
    "stream",
    "stream_options",
    "user",
    "safety_identifier",
    "metadata",
    "prompt_cache_key",
}  # they change no answer
NEUTRAL = {  # what is so anyway
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
PAST = {
    "role",
    "content",
    "annotations",
    "reasoning",
    "reasoning_content",
}  # fields of a message that are said, or are comments on what was

MEANT = {  # AWS's errors that may come as 400
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
        address += f"/endpoints/{step(target.model or model_of(body))}/invocations"
    headers = our_headers(
        target.content_type, **{"X-Amzn-SageMaker-Custom-Attributes": "accept_eula=true"}
    )
    data, now = orjson.dumps(inputs(body)), datetime.now(UTC)
    return Sent(
        address,
        sigv4.signed(
            "POST",
            address,
            headers,
            data,
            keys(target),
            region=region(target),
            service="sagemaker",
            now=now,
        ),
        data,
    )


def keys(target: Target) -> sigv4.Keys:
    parts = secret(target).split(":", 2)
    if len(parts) < 2 or not all(parts):
        raise faults.credentials_missing(
            "The gateway has no AWS keys for this model: ACCESS_KEY_ID:SECRET_ACCESS_KEY."
        )
    return sigv4.Keys(*parts)


def region(target: Target) -> str:
    named = re.search(
        r"runtime(-fips)?\.sagemaker\.([a-z0-9-]+)\.", urlsplit(target.base_url).hostname or ""
    )
    if not (found := target.region or (named[2] if named else "")):
        raise faults.upstream_misconfigured("The gateway does not know this model's AWS region.")
    return found


def inputs(body: Json | Form) -> Json:
    """What the container reads. Raises Fault for whatever it has no words for."""
    if not isinstance(body, dict):
        raise faults.unsupported_parameter(None, "This model reads no forms.")
    parameters: Json = dict(DEFAULTS)
    for name, value in body.items():
        if name in LABELS or is_empty(value) or (name in NEUTRAL and value == NEUTRAL[name]):
            continue
        if name not in PARAMETERS:
            raise faults.unsupported_parameter(name, f"This model knows no `{name}`.")
        parameters[PARAMETERS[name]] = (
            [value] if name == "stop" and isinstance(value, str) else value
        )
    return {
        "inputs": [[said(message, f"messages[{i}]") for i, message in enumerate(body["messages"])]],
        "parameters": parameters,
    }


def said(message: Json, where: str) -> Json:
    if message["role"] not in ROLES:
        raise faults.unsupported_parameter(
            f"{where}.role", f"This model knows no role `{message['role']}`."
        )
    for name, value in message.items():
        if name not in PAST and not is_empty(value):
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
    """[{"generation": {"role", "content"}}], or less wrapped: one object, the text alone, `generated_text`."""
    found = answer[0] if isinstance(answer, list) and answer else answer
    found = found if isinstance(found, dict) else {}
    text = found.get("generation", found.get("generated_text"))
    text = text.get("content") if isinstance(text, dict) else text
    if not isinstance(text, str):
        if problem := found.get("errorMessage"):  # a Lambda that failed, at 200
            raise faults.upstream_failed(str(problem)[:2000])
        raise faults.empty_answer()
    assert isinstance(body, dict)
    message = {"role": "assistant", "content": text}
    return {
        "id": f"chatcmpl-{uuid_utils.uuid7().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model_of(body),
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": outcome.estimate_usage(body["messages"], [message]),
    }


def error(status: int, headers: Mapping[str, str], data: bytes) -> tuple[int, Json]:
    """AWS's own, and those of the model's container, which come inside a 424."""
    _, found = openai.error(status, headers, data)
    found["code"] = headers.get("x-amzn-errortype", "").partition(":")[0][:200] or found["code"]
    if found["code"] in MEANT:
        return MEANT[found["code"]], found
    try:
        answer = orjson.loads(data)
        inner, words = answer["OriginalStatusCode"], answer.get("OriginalMessage")
    except (ValueError, KeyError, TypeError):
        return status, found
    found["message"] = str(words or found["message"])[:2000]
    return inner if type(inner) is int and 400 <= inner < 600 else status, found
