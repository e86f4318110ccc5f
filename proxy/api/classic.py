"""/api: the classic gateway's calls, word for word, over the same relay and record as /v1."""

from datetime import UTC, datetime, timedelta

import orjson
from django.http import Http404, HttpResponse
from rest_framework.response import Response

from conversations.models import Conversation, Snapshot
from conversations.reading import history
from conversations.record import CallRequest, rebuild

from .. import faults, prices
from ..faults import Fault
from ..jobs import metadata, titles
from ..models import ApiKey
from ..relay.calls import refuse
from ..relay.exchange import Exchange
from . import rest
from .authentication import KeyOrSession
from .conversations import Own
from .errors import as_fault
from .openai import ChatCompletions, ImageGenerations, invalid, messages_of, model_of, named
from .params import given_only, limit_of, text_of, uuid_of

POLLED = timedelta(minutes=15)  # how old a call may be that checkchat finds


class Chat(ChatCompletions):
    """The upstream's reply, with `uuid` (this snapshot) and `root_uuid` (its conversation)."""

    authentication_classes = [KeyOrSession]

    def read(self, request, asked: CallRequest) -> None:
        super().read(request, asked)
        self.root = asked.body.pop("root_id", None)
        asked.title = (
            text_of(asked.body.pop("convo_title", None), "convo_title")
            if asked.body.get("convo_title")
            else ""
        )

    def place(self, request, asked: CallRequest) -> None:
        asked.by_content = False  # without a root id it is a new conversation
        if self.root in (None, "", "string"):  # the last: what the old page sends first
            return
        found = (
            Conversation.objects.of(asked.owner).named(self.root)
            if isinstance(self.root, str)
            else None
        )
        if found is None:
            raise faults.conversation_not_found()
        asked.root = found.id

    def pass_on(self, data: bytes, exchange: Exchange) -> bytes:
        return orjson.dumps(
            orjson.loads(data) | history.call_names(exchange.call.id, exchange.call.conversation)
        )


class CheckChat(Own):
    """For a client whose own connection was cut: the reply to its newest equal request. Never asks the upstream."""

    http_method_names = ["post"]

    def post(self, request) -> HttpResponse:
        body = rest.parsed(rest.body_of(request))
        found = history.newest_equal(
            request.user.owner, model_of(body), messages_of(body), since=datetime.now(UTC) - POLLED
        )
        if found is None or found.status == Snapshot.Status.PENDING:
            raise faults.not_yet()
        if found.status != Snapshot.Status.OK:
            raise faults.recorded(found.error_code, found.error)
        return Response(
            (rebuild.rebuild_response(found) or {})
            | history.call_names(found.id, found.conversation_id)
        )


class UpdateTitle(Own):
    http_method_names = ["post"]

    def post(self, request) -> Response:
        body = rest.parsed(rest.body_of(request))
        title = text_of(body.get("convo_title"), "convo_title")
        self.conversation(request, body.get("root_id")).rename(title)
        return Response({"message": "The conversation has a new title.", "new_title": title})


class UpdateTitleByModel(Own):
    """The title that a model makes of what the caller said. The call is on record, in no conversation."""

    http_method_names = ["post"]

    def post(self, request) -> Response:
        caller, body = request.user, rest.parsed(rest.body_of(request))
        sent_by = {
            "key": caller.key,
            "address": request._request.client_address,
            "user_agent": request.META.get("HTTP_USER_AGENT", ""),
        }
        try:
            if ApiKey.Scope.CHAT not in caller.scopes:
                raise faults.scope_missing("This API key may not be used for chat.")
            conversation = self.conversation(request, body.get("root_id"))
            asked = titles.build_request(conversation, **sent_by)
        except (Fault, Http404) as problem:
            raise refuse(
                CallRequest(
                    owner=caller.owner, kind=Snapshot.Kind.TITLE, model="", body=body, **sent_by
                ),
                as_fault(problem),
            ) from None
        title, exchange = titles.write(conversation, asked, request.META.get("gunicorn.socket"))
        return named(
            Response(
                {
                    "message": "The conversation has a new title.",
                    "new title": title,
                    "new_title": title,
                }
            ),
            exchange,
        )


class MetadataCheck(Own):
    """What a model says about the caller's conversation, as JSON text. The call is on record, in no conversation."""

    http_method_names = ["post"]

    def post(self, request) -> Response:
        caller, body = request.user, rest.parsed(rest.body_of(request))
        sent_by = {
            "key": caller.key,
            "address": request._request.client_address,
            "user_agent": request.META.get("HTTP_USER_AGENT", ""),
        }
        try:
            metadata.refuse_unless_on()
            if ApiKey.Scope.CHAT not in caller.scopes:
                raise faults.scope_missing("This API key may not be used for chat.")
            asked = metadata.build_request(
                self.conversation(request, body.get("root_id")), **sent_by
            )
        except (Fault, Http404) as problem:
            raise refuse(
                CallRequest(
                    owner=caller.owner, kind=Snapshot.Kind.METADATA, model="", body=body, **sent_by
                ),
                as_fault(problem),
            ) from None
        text, exchange = metadata.assess(asked, request.META.get("gunicorn.socket"))
        return named(
            Response({"message": "The conversation was assessed.", "metadata": text}), exchange
        )


class RemoveConversation(Own):
    http_method_names = ["post"]

    def post(self, request) -> Response:
        self.conversation(request, rest.parsed(rest.body_of(request)).get("root_id")).hide()
        return Response({"message": "The conversation is gone from your history. The log stays."})


class History(Own):
    """All rows of the caller, newest first; a page ends at `limit` rows or 20 MB, and `next` is the `before` of the one after."""

    http_method_names = ["get"]
    key = "Historical_list"

    def get(self, request) -> Response:
        given_only(request, "limit", "before")
        calls = self.calls(
            Snapshot.objects.filter(
                owner=request.user.owner,
                status=Snapshot.Status.OK,
                kind__in=[Snapshot.Kind.CHAT, Snapshot.Kind.TITLE],
            )
        )
        if (before := request.GET.get("before")) is not None:
            calls = calls.filter(id__lt=uuid_of(before, "before"))
        rows, following = history.read_page(calls, limit_of(request, 200))
        return Response({self.key: rows, "next": following})

    def calls(self, calls):
        return calls


class HistoryOfConversations(History):
    """The newest row of each shown conversation."""

    key = "Historical_Conversations"

    def calls(self, calls):
        shown = (
            calls.filter(conversation__shown=True)
            .order_by("conversation_id", "-id")
            .distinct("conversation_id")
        )
        return Snapshot.objects.filter(id__in=shown.values("id"))


class ImageGeneration(ImageGenerations):
    """The upstream's reply. A size without a price is refused."""

    authentication_classes = [KeyOrSession]

    def read(self, request, asked: CallRequest) -> None:
        super().read(request, asked)
        if prices.image_cost(asked.body) is None:
            sizes = ", ".join(prices.IMAGE)
            raise invalid(
                "size",
                f"There is no price for a picture of this size by this model. Sizes: {sizes}.",
            )
