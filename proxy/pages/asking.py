"""A question from the gateway's own pages. Its answer is finished whether the page waits or not."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

from django.http import HttpResponseBase, StreamingHttpResponse
from django.urls import reverse

from conversations import database
from conversations.models import Snapshot
from conversations.people import policy
from conversations.reading.pages import PageRequest
from conversations.record import CallRequest
from conversations.shape import Json

from .. import faults, tasks, user_token
from ..faults import Fault
from ..providers.base import Endpoint
from ..relay import calls, stream
from ..relay.exchange import CallerLink
from ..upstreams import catalogue, routing
from ..upstreams.routing import Way
from . import live


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The content of a chat call; `root` is the conversation that it continues."""

    model: str
    messages: list[Json]
    params: Json
    root: UUID | None = None
    use_case: str = ""


def list_models(owner: int) -> list[str]:
    """List the models that this person may use for a chat on the pages. Raises Fault."""
    return [model["id"] for model in catalogue.list_models(owner, Endpoint.CHAT)]


def ask(
    request: PageRequest, question: Question, render_turn: live.RenderTurn | None = None
) -> HttpResponseBase:
    """Answer with a redirect to the conversation, where the answer grows.

    With `render_turn`, with the events of its growth. Raises Fault, the refusal recorded; its
    status is 404 for a conversation that is not the person's own.
    """
    body = {
        "model": question.model,
        "messages": question.messages,
        "stream": True,
        "stream_options": {"include_usage": True},
    } | question.params
    call = CallRequest(
        owner=request.user.id,
        kind=Snapshot.Kind.CHAT,
        model=question.model,
        body=body,
        messages=question.messages,
        root=question.root,
        threads_by_content=False,
        use_case=question.use_case,
        address=request.client_address,
        user_agent=request.META.get("HTTP_USER_AGENT", ""),
    )
    way, token = find_way(request, call, Endpoint.CHAT)
    way.adds_usage = True
    exchange = calls.admit(call, way, CallerLink(stoppable=True, token=token))
    if render_turn:
        client = request.META.get("gunicorn.socket")
        return live.stream_response(live.AskedAnswer(exchange, render_turn, client))
    opened = exchange.call
    page = f"{reverse('conversation', args=[opened.conversation])}?live=0#m{opened.head}"

    def fetch() -> None:
        stream.KeptStream(exchange, usage_wanted=True).close()
        tasks.title_later(exchange)

    return redirect_and_fetch(page, fetch)


def find_way(request: PageRequest, call: CallRequest, endpoint: Endpoint) -> tuple[Way, str]:
    """Find the upstream of a call, and the person's own token if it goes along.

    Raises Fault, the refusal recorded.
    """
    try:
        if policy.pending_policy(request.user):
            raise faults.policy_not_accepted(policy.ACCEPT_FIRST)
        way = routing.find_way(call.model, endpoint, call.owner, call.body, pages=True)
        return way, user_token.require_token(request, way)
    except Fault as fault:
        raise calls.refuse(call, fault) from None


def redirect_and_fetch(page: str, fetch: Callable[[], object]) -> HttpResponseBase:
    """Redirect to a page that shows the call, and fetch its answer once the response has left."""
    response = StreamingHttpResponse(FetchOnClose(fetch), status=303)
    response["Location"] = page
    response["Content-Length"] = "0"
    return response


class FetchOnClose:
    """An empty response body. The thread that closes it after the response fetches the answer."""

    def __init__(self, fetch: Callable[[], object]) -> None:
        self.fetch = fetch

    def __iter__(self) -> Iterator[bytes]:
        return iter(())

    def close(self) -> None:
        database.release()  # the session was saved after `ask` gave the connection back
        try:
            self.fetch()
        except Fault:
            pass  # the record says so, and the page reads it there
