"""REST for one's own conversations."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import Http404
from rest_framework.response import Response
from rest_framework.views import APIView

from conversations.models import Conversation
from conversations.reading import history
from conversations.shape import Json

from . import rest
from .authentication import KeyOrSession
from .params import date_of, flag_of, given_only, limit_of, text_of, uuid_of


class Own(APIView):
    """What an account, by key or by session, does with its own."""

    authentication_classes = [KeyOrSession]

    def conversation(self, request, name: Any) -> Conversation:
        """The caller's own, by any of its names. Raises Http404: somebody else's is as unknown as none."""
        found = (
            Conversation.objects.of(request.user.owner).named(name)
            if isinstance(name, str)
            else None
        )
        if found is None:
            raise Http404
        return found


class Conversations(Own):
    """The caller's conversations, newest first: `before` (an id), `limit`, `since`, `until` (dates), `model`, `shown`."""

    http_method_names = ["get"]

    def get(self, request) -> Response:
        given_only(request, "before", "limit", "since", "until", "model", "shown")
        given, found = request.GET, Conversation.objects.of(request.user.owner)
        if (before := given.get("before")) is not None:
            found = found.filter(id__lt=uuid_of(before, "before"))
        if (since := given.get("since")) is not None:
            found = found.filter(last__gte=date_of(since, "since"))
        if (until := given.get("until")) is not None:
            found = found.filter(last__lt=date_of(until, "until") + timedelta(days=1))
        if (shown := given.get("shown")) is not None:
            found = found.filter(shown=flag_of(shown, "shown"))
        if (model := given.get("model")) is not None:
            found = found.with_call(model=model.replace("\0", ""))
        limit = limit_of(request, 50)
        rows = list(found.order_by("-id")[: limit + 1])
        return Response(
            {
                "conversations": [summary(row) for row in rows[:limit]],
                "next": str(rows[limit - 1].id) if len(rows) > limit else None,
            }
        )


class OneConversation(Own):
    http_method_names = ["get", "patch", "delete"]

    def get(self, request, name: str) -> Response:
        conversation = self.conversation(request, name)
        return Response(summary(conversation) | history.read_conversation(conversation))

    def patch(self, request, name: str) -> Response:
        conversation = self.conversation(request, name)
        conversation.rename(text_of(rest.parsed(rest.body_of(request)).get("title"), "title"))
        return Response(summary(conversation))

    def delete(self, request, name: str) -> Response:
        self.conversation(request, name).hide()
        return Response(status=204)


def summary(row: Conversation) -> Json:
    return {
        "id": str(row.id),
        "title": row.title,
        "shown": row.shown,
        "started": moment(row.started),
        "last": moment(row.last),
        "turns": row.turns,
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
        "cost_usd": float(row.cost),
    }


def moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
