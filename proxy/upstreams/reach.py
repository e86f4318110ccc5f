"""Whether an upstream answers: it is asked for its models, with the credential that calls go out with. Costs nothing."""

from typing import Any

from conversations import database

from ..providers import base
from ..providers.base import Endpoint
from . import client, endpoints
from .routing import ENVIRONMENT, Route, Way

QUESTION = {
    "model": "test",
    "messages": [{"role": "user", "content": "test"}],
}  # never sent: it tells address and credentials


def test_upstream(route: Route) -> str:
    """What it says, in a sentence. Raises Fault."""
    database.release()
    if route.upstream == ENVIRONMENT:
        return listed(client.fetch_json(endpoints.models_url()))
    sent = Way(Endpoint.CHAT, QUESTION, (route,)).first()
    if route.target.kind in ("openai", "azure"):
        fields = {name: value for name, value in sent.headers.items() if name != "Content-Type"}
        return listed(client.fetch_json(address_of_models(sent.url), fields))
    with client.send(
        "GET", route.target.base_url, base.make_headers("application/json"), timeout=5
    ) as reply:
        return f"It answers, with status {reply.status_code} to a plain request. Whether it takes the credential, a call will tell."


def address_of_models(chat: str) -> str:
    address, _, query = chat.partition("?")
    root, deployments, _ = address.partition("/openai/deployments/")
    root = f"{root}/openai" if deployments else address.removesuffix(f"/{Endpoint.CHAT}")
    return f"{root}/models" + (f"?{query}" if query else "")


def listed(answer: Any) -> str:
    models = answer.get("data")
    count = len(models) if isinstance(models, list) else 0
    return f"It answers, and lists {count:,} {'model' if count == 1 else 'models'}."
