"""OpenAI itself, and what speaks its API: vLLM, llama.cpp, Ollama, LiteLLM, this gateway.

`base_url` is the API's root, or the full address of chat completions; the credential is the value
of the Authorization header. Everything passes as it came, also what only one of these servers
knows.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from conversations.shape import Json

from .. import faults
from .base import Endpoint, Form, Sent, Target, encode_body, make_headers, rename_model

LABEL = "OpenAI, or any server that speaks its API"
STREAMS = True
SERVES = frozenset(Endpoint)


def request(target: Target, endpoint: Endpoint, body: Json | Form) -> Sent:
    data, content_type = encode_body(rename_model(body, target.model), target.content_type)
    url = find_url(target, endpoint)
    return Sent(url, make_headers(content_type, **authorize(target, url)), data)


def authorize(target: Target, url: str) -> dict[str, str]:
    secret = target.secret_for(url)
    return {"Authorization": secret} if secret else {}


def find_url(target: Target, endpoint: Endpoint) -> str:
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
    """Read OpenAI's shape, or that of a proxy before it: {"message"}, {"detail"}.

    Any other error is told by its status alone.
    """
    try:
        answer = orjson.loads(data)
    except ValueError:
        answer = None
    problem = (answer.get("error") or answer) if isinstance(answer, dict) else {}
    fields = problem if isinstance(problem, dict) else {"message": problem}
    message = fields.get("message") or fields.get("Message") or fields.get("detail")
    return status, {
        "message": str(message or f"The model's server answered {status}.")[:2000],
        "type": _short(fields.get("type")),
        "param": _short(fields.get("param")),
        "code": _short(fields.get("code")),
    }


def _short(value: Any) -> str | None:
    return str(value)[:200] if value else None
