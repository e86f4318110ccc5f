"""Whether an upstream answers: it is asked for its models, which costs nothing.

The request carries the credential that calls go out with.
"""

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from conversations import database

from ..providers import azure, base, openai
from ..providers.base import Endpoint
from . import catalogue, client, endpoints
from .routing import ENVIRONMENT, Route, Way

# Never sent: the request that is made of it has the address and the credentials.
QUESTION = {"model": "test", "messages": [{"role": "user", "content": "test"}]}

# Of the kinds that have a list of models: the headers that a request for it goes out with.
AUTHORIZE = {"openai": openai.authorize, "azure": azure.authorize}


def test_upstream(route: Route) -> str:
    """Return its answer in a sentence. Raises Fault."""
    database.release()
    if route.upstream == ENVIRONMENT:
        return describe_models(client.fetch_json(endpoints.models_url()))
    request = Way(Endpoint.CHAT, QUESTION, (route,)).first()
    headers = base.make_headers("application/json")
    if authorize := AUTHORIZE.get(route.target.kind):
        url = find_models_url(request.url)
        headers |= authorize(route.target, url)
        return describe_models(client.fetch_json(url, headers))
    with client.get(route.target.base_url, headers, timeout=5) as reply:
        return _(
            "The server answers, with status %(status)s to a simple request. Only a real call "
            "will show whether it accepts the credential."
        ) % {"status": reply.status_code}


def find_models_url(chat: str) -> str:
    address, query = chat.partition("?")[::2]
    resource, deployment = address.partition("/openai/deployments/")[::2]
    root = f"{resource}/openai" if deployment else address.removesuffix(f"/{Endpoint.CHAT}")
    return f"{root}/models?{query}" if query else f"{root}/models"


def describe_models(answer: Any) -> str:
    count = len(catalogue.read_models(answer))
    text = ngettext(
        "The server answers and lists %(count)s model.",
        "The server answers and lists %(count)s models.",
        count,
    )
    return text % {"count": f"{count:,}"}
