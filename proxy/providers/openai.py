"""OpenAI itself, and what speaks its API: vLLM, llama.cpp, Ollama, LiteLLM, this gateway.

`base_url` is the API's root, or the whole address of chat completions; the credential is the whole Authorization header.
Everything passes as it came, also what only one of these servers knows.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from conversations.shape import Json

from .. import faults
from .base import Endpoint, Form, Sent, Target, encoded, our_headers, renamed, secret

LABEL = "OpenAI, or any server that speaks its API"
STREAMS = True
SERVES = frozenset(Endpoint)


def request(target: Target, endpoint: Endpoint, body: Json | Form) -> Sent:
    data, content_type = encoded(renamed(body, target.model), target.content_type)
    authorization = {"Authorization": value} if (value := secret(target)) else {}
    return Sent(url(target, endpoint), our_headers(content_type, **authorization), data)


def url(target: Target, endpoint: Endpoint) -> str:
    root = target.base_url.removesuffix("/").removesuffix(f"/{Endpoint.CHAT}")
    return target.urls.get(endpoint) or f"{root}/{endpoint}"


def reply(endpoint: Endpoint, body: Json | Form, answer: Any) -> Json:
    if not isinstance(answer, dict):
        raise faults.no_object()
    if (problem := answer.get("error")) and not answer.get("choices"):
        raise faults.failed(problem)
    if not isinstance(answer.get("choices" if endpoint is Endpoint.CHAT else "data"), list):
        raise faults.empty_answer()
    return answer


def error(status: int, headers: Mapping[str, str], data: bytes) -> tuple[int, Json]:
    """OpenAI's shape, or that of what stands before it: {"message"}, {"detail"}. Of any other error the status alone speaks."""
    try:
        answer = orjson.loads(data)
    except ValueError:
        answer = None
    found = (answer.get("error") or answer) if isinstance(answer, dict) else {}
    said = found if isinstance(found, dict) else {"message": found}
    message = said.get("message") or said.get("Message") or said.get("detail")
    kind, param, code = (
        str(said[name])[:200] if said.get(name) else None for name in ("type", "param", "code")
    )
    return status, {
        "message": str(message or f"The model's server answered {status}.")[:2000],
        "type": kind,
        "param": param,
        "code": code,
    }
