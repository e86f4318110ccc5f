"""REST for the caller's own conversations."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import Http404
from rest_framework.request import Request
from rest_framework.response import Response

from conversations.models import Conversation
from conversations.reading import history
from conversations.shape import Json

from .. import faults
from ..models import ApiKey
from . import rest
from .authentication import KeyOrSession, get_caller
from .params import read_date, read_flag, read_limit, read_text, read_uuid, refuse_unknown
from .scoped import ScopedView


class OwnView(ScopedView):
    """A view of what belongs to the caller, who comes by key or by session."""

    authentication_classes = [KeyOrSession]

    def get_conversation(self, request: Request, name: Any) -> Conversation:
        """Find a conversation of the caller by any of its names.

        Raises Http404: another owner's conversation is as unknown as none.
        """
        if not isinstance(name, str):
            raise Http404
        conversation = Conversation.objects.owned_by(get_caller(request).owner).find_by_name(name)
        if conversation is None:
            raise Http404
        return conversation


class ConversationList(OwnView):
    """The caller's conversations, newest first.

    Filters: `before` (an id), `limit`, `since` and `until` (dates), `model`, `shown`.
    """

    scopes = {"get": (ApiKey.Scope.HISTORY,)}

    def get(self, request: Request) -> Response:
        refuse_unknown(request, "before", "limit", "since", "until", "model", "shown")
        query, owned = request.GET, Conversation.objects.owned_by(get_caller(request).owner)
        if (before := query.get("before")) is not None:
            owned = owned.filter(id__lt=read_uuid(before, "before"))
        if (since := query.get("since")) is not None:
            owned = owned.filter(last__gte=read_date(since, "since"))
        if (until := query.get("until")) is not None:
            owned = owned.filter(last__lt=read_date(until, "until") + timedelta(days=1))
        if (is_shown := query.get("shown")) is not None:
            owned = owned.filter(shown=read_flag(is_shown, "shown"))
        if (model := query.get("model")) is not None:
            owned = owned.with_call(model=model.replace("\0", ""))
        limit = read_limit(request, 50)
        rows = list(owned.order_by("-id")[: limit + 1])
        return Response(
            {
                "conversations": [summarize(row) for row in rows[:limit]],
                "next": str(rows[limit - 1].id) if len(rows) > limit else None,
            }
        )


class OneConversation(OwnView):
    scopes = {
        "get": (ApiKey.Scope.HISTORY,),
        "patch": (ApiKey.Scope.HISTORY_WRITE,),
        "delete": (ApiKey.Scope.HISTORY_WRITE,),
    }

    def get(self, request: Request, name: str) -> Response:
        """Answer with the conversation, or the page of it that follows the message `after`."""
        conversation = self.get_conversation(request, name)
        after = request.GET.get("after")
        last = None if after is None else read_uuid(after, "after")
        try:
            page = history.read_conversation(conversation, last)
        except KeyError:
            raise faults.invalid_request("after", "`after` must be the `next` of a page.") from None
        return Response(summarize(conversation) | page)

    def patch(self, request: Request, name: str) -> Response:
        conversation = self.get_conversation(request, name)
        conversation.rename(read_text(rest.read_object(request).get("title"), "title"))
        return Response(summarize(conversation))

    def delete(self, request: Request, name: str) -> Response:
        self.get_conversation(request, name).hide()
        return Response(status=204)


def summarize(row: Conversation) -> Json:
    return {
        "id": str(row.id),
        "title": row.title,
        "shown": row.shown,
        "started": format_time(row.started),
        "last": format_time(row.last),
        "turns": row.turns,
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
        "cost_usd": float(row.cost),
    }


def format_time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
