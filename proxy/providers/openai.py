"""OpenAI itself, and what speaks its API: vLLM, llama.cpp, Ollama, LiteLLM, this gateway.

`base_url` is the API's root, or the full address of chat completions; the credential is the value
of the Authorization header. Everything passes as it came, also what only one of these servers
knows.
"""

from collections.abc import Mapping
from typing import Any

from conversations.shape import Json

from .. import faults
from ..protocols import chat, errors, events
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
    is_chat = endpoint is Endpoint.CHAT
    is_answer = chat.has_choice(answer) if is_chat else isinstance(answer.get("data"), list)
    if is_answer:
        return answer  # also one that failed on its way: what came of it is kept
    said = (answer.get(name) for name in errors.WORDS)
    says = any(isinstance(each, str) and each for each in said)
    if problem := errors.find(answer, is_failed=says):
        raise faults.failed(problem)
    raise faults.empty_answer()


def error(status: int, headers: Mapping[str, str], data: bytes) -> tuple[int, Json]:
    """Read an error in whatever spelling it comes; one without words is told by its status."""
    framed = [said for _, said, _, _ in events.read(data)] if events.is_stream(data) else []
    found = errors.parse(framed[0] if framed else data.removeprefix(events.BOM))
    found = {name: found[name] for name in errors.OURS}
    return status, found | {"message": found["message"] or errors.tell_status(status)}
