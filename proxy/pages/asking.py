"""A question from the gateway's own pages. Its answer belongs to the record, not to the connection that asked."""

from collections.abc import Callable, Iterator
from uuid import UUID

from django.http import HttpResponseBase, StreamingHttpResponse
from django.urls import reverse

from conversations import database
from conversations.models import Snapshot
from conversations.people import policy
from conversations.record import CallRequest
from conversations.shape import Json

from .. import faults, tasks, user_token
from ..faults import Fault
from ..providers.base import Endpoint
from ..relay import calls, stream
from ..upstreams import catalogue, routing
from ..upstreams.routing import Way
from . import live


def models(owner: int) -> list[str]:
    """Names of the models that this person may ask for a chat on the pages. Raises Fault."""
    return [model["id"] for model in catalogue.list_models(owner, Endpoint.CHAT)]


def ask(
    request,
    *,
    model: str,
    messages: list[Json],
    params: Json,
    root: UUID | None = None,
    use_case: str = "",
    shown: live.Shown | None = None,
) -> HttpResponseBase:
    """A redirect to the conversation, behind which the answer grows; with `shown`, the events of its growing. Raises Fault,
    the refusal recorded; its status is 404 for a conversation that is not the asker's own."""
    body = {
        "model": model,
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
    } | params
    asked = CallRequest(
        owner=request.user.id,
        kind=Snapshot.Kind.CHAT,
        model=model,
        body=body,
        messages=messages,
        root=root,
        by_content=False,
        use_case=use_case,
        address=request.client_address,
        user_agent=request.META.get("HTTP_USER_AGENT", ""),
    )
    way, token = admitted(request, asked, Endpoint.CHAT)
    exchange = calls.admit(asked, way, stoppable=True, token=token)
    if shown:
        return live.response(live.Asked(exchange, shown, request.META.get("gunicorn.socket")))
    page = (
        f"{reverse('conversation', args=[exchange.call.conversation])}?live=0#m{exchange.call.head}"
    )

    def fetch() -> None:
        stream.KeptStream(exchange, usage_wanted=True).close()
        tasks.title_later(exchange)

    return behind(page, fetch)


def admitted(request, asked: CallRequest, endpoint: Endpoint) -> tuple[Way, str]:
    """Where the call goes, and the asker's own token if that goes along. Raises Fault, the refusal recorded."""
    try:
        if policy.pending_policy(request.user):
            raise faults.policy_not_accepted(policy.ACCEPT_FIRST)
        way = routing.find_way(asked.model, endpoint, asked.owner, asked.body, pages=True)
        return way, user_token.require_token(request, way)
    except Fault as fault:
        raise calls.refuse(asked, fault) from None


def behind(page: str, fetch: Callable[[], object]) -> HttpResponseBase:
    """A redirect to a page that shows what becomes of the call."""
    response = StreamingHttpResponse(Behind(fetch), status=303)
    response["Location"] = page
    response["Content-Length"] = "0"
    return response


class Behind:
    """A response body of nothing. Once the response has left, it is closed, and by the same thread the answer is fetched."""

    def __init__(self, fetch: Callable[[], object]):
        self.fetch = fetch

    def __iter__(self) -> Iterator[bytes]:
        return iter(())

    def close(self) -> None:
        database.release()  # the session was saved after `ask` gave the connection back
        try:
            self.fetch()
        except Fault:
            pass  # the record says so, and the page reads it there
