"""/api: the classic gateway's calls, word for word, over the same relay and record as /v1."""

from datetime import UTC, datetime, timedelta

from django.http import Http404
from rest_framework.request import Request
from rest_framework.response import Response

from conversations import exact_json
from conversations.models import Conversation, Snapshot
from conversations.models.snapshot import SnapshotQuerySet
from conversations.reading import history
from conversations.record import CallRequest, rebuild
from conversations.shape import Json

from .. import faults, prices
from ..faults import Fault
from ..jobs import metadata, titles
from ..relay.calls import refuse
from ..relay.exchange import Exchange
from . import rest
from .authentication import KeyOrSession, describe_sender, get_caller
from .conversations import OwnView
from .errors import find_request_fault
from .openai import (
    ChatCompletions,
    ImageGenerations,
    read_messages,
    read_model,
    set_end_user,
    with_ids,
)
from .params import read_limit, read_text, read_uuid, refuse_unknown
from .scoped import Scope

POLL_AGE = timedelta(minutes=15)  # of the oldest call that checkchat finds


class Chat(ChatCompletions):
    """The upstream's reply, with `uuid` (this snapshot) and `root_uuid` (its conversation)."""

    authentication_classes = [KeyOrSession]

    def read(self, request: Request, call_request: CallRequest) -> None:
        super().read(request, call_request)
        self.root = call_request.body.pop("root_id", None)
        if call_request.body.get("convo_title"):
            call_request.title = read_text(call_request.body.pop("convo_title"), "convo_title")

    def set_conversation(self, request: Request, call_request: CallRequest) -> None:
        call_request.threads_by_content = False  # without a root id it is a new conversation
        if self.root in (None, "", "string"):  # the last: what the old page sends first
            return
        conversation = None
        if isinstance(self.root, str):
            conversation = Conversation.objects.owned_by(call_request.owner).find_by_name(self.root)
        if conversation is None:
            raise faults.conversation_not_found()
        call_request.root = conversation.id

    def pass_on(self, data: bytes, exchange: Exchange) -> bytes:
        names = history.call_names(exchange.call.id, exchange.call.conversation)
        return exact_json.dumps(exact_json.loads(data) | names)


class CheckChat(OwnView):
    """The reply to the caller's newest equal request, whose own connection was cut.

    It comes from the record: the upstream is not asked.
    """

    scopes = {"post": (Scope.HISTORY,)}

    def post(self, request: Request) -> Response:
        body, caller = rest.read_object(request), get_caller(request)
        asked = CallRequest(
            owner=caller.owner,
            kind=Snapshot.Kind.CHAT,
            model=read_model(body),
            body=body,
            messages=read_messages(body),
        )
        set_end_user(caller, asked)
        call = history.newest_equal(asked, since=datetime.now(UTC) - POLL_AGE)
        if call is None or call.status == Snapshot.Status.PENDING:
            raise faults.not_yet()
        if call.status != Snapshot.Status.OK:
            raise faults.recorded(call.error_code, call.error)
        names = history.call_names(call.id, call.conversation_id)
        return Response((rebuild.rebuild_response(call) or {}) | names)


class UpdateTitle(OwnView):
    scopes = {"post": (Scope.HISTORY_WRITE,)}

    def post(self, request: Request) -> Response:
        body = rest.read_object(request)
        title = read_text(body.get("convo_title"), "convo_title")
        self.get_conversation(request, body.get("root_id")).rename(title)
        return Response({"message": "The conversation has a new title.", "new_title": title})


class OfAModel(OwnView):
    """What a model is asked about the caller's conversation, by a call in no conversation."""

    kind: str

    def refuse(self, request: Request, fault: Fault) -> Fault:
        return self.record_refusal(request, rest.read_object(request), fault)

    def record_refusal(self, request: Request, body: Json, problem: Exception) -> Fault:
        call_request = CallRequest(
            owner=get_caller(request).owner,
            kind=self.kind,
            model="",
            body=body,
            **describe_sender(request),
        )
        return refuse(call_request, find_request_fault(problem))


class UpdateTitleByModel(OfAModel):
    """The title that a model makes of what the caller said."""

    scopes = {"post": (Scope.CHAT, Scope.HISTORY, Scope.HISTORY_WRITE)}
    kind = Snapshot.Kind.TITLE

    def post(self, request: Request) -> Response:
        body = rest.read_object(request)
        try:
            conversation = self.get_conversation(request, body.get("root_id"))
            call_request = titles.build_request(conversation, **describe_sender(request))
        except (Fault, Http404) as problem:
            raise self.record_refusal(request, body, problem) from None
        title, exchange = titles.write(
            conversation, call_request, request.META.get("gunicorn.socket")
        )
        message = "The conversation has a new title."
        response = Response({"message": message, "new title": title, "new_title": title})
        return with_ids(response, exchange)


class MetadataCheck(OfAModel):
    """A model's assessment of the caller's conversation, as JSON text."""

    scopes = {"post": (Scope.CHAT, Scope.HISTORY)}
    kind = Snapshot.Kind.METADATA

    def post(self, request: Request) -> Response:
        body = rest.read_object(request)
        try:
            metadata.refuse_unless_on()
            conversation = self.get_conversation(request, body.get("root_id"))
            call_request = metadata.build_request(conversation, **describe_sender(request))
        except (Fault, Http404) as problem:
            raise self.record_refusal(request, body, problem) from None
        text, exchange = metadata.assess(call_request, request.META.get("gunicorn.socket"))
        response = Response({"message": "The conversation was assessed.", "metadata": text})
        return with_ids(response, exchange)


class RemoveConversation(OwnView):
    scopes = {"post": (Scope.HISTORY_WRITE,)}

    def post(self, request: Request) -> Response:
        body = rest.read_object(request)
        self.get_conversation(request, body.get("root_id")).hide()
        return Response({"message": "The conversation is gone from your history. The log stays."})


class History(OwnView):
    """All rows of the caller, newest first.

    A page ends at `limit` rows or 20 MB, and its `next` is the `before` of the following page.
    """

    scopes = {"get": (Scope.HISTORY,)}
    key = "Historical_list"

    def get(self, request: Request) -> Response:
        refuse_unknown(request, "limit", "before")
        calls = self.choose(
            Snapshot.objects.filter(
                owner=get_caller(request).owner,
                status=Snapshot.Status.OK,
                kind__in=[Snapshot.Kind.CHAT, Snapshot.Kind.TITLE],
            )
        )
        if (before := request.GET.get("before")) is not None:
            calls = calls.filter(id__lt=read_uuid(before, "before"))
        rows, next_before = history.read_page(calls, read_limit(request, 200))
        return Response({self.key: rows, "next": next_before})

    def choose(self, calls: SnapshotQuerySet) -> SnapshotQuerySet:
        """Return those of the caller's calls that are listed."""
        return calls


class HistoryOfConversations(History):
    """The newest row of each shown conversation."""

    key = "Historical_Conversations"

    def choose(self, calls: SnapshotQuerySet) -> SnapshotQuerySet:
        newest = (
            calls.filter(conversation__shown=True)
            .order_by("conversation_id", "-id")
            .distinct("conversation_id")
        )
        return Snapshot.objects.filter(id__in=newest.values("id"))


class ImageGeneration(ImageGenerations):
    """The upstream's reply. A size without a price is refused."""

    authentication_classes = [KeyOrSession]

    def read(self, request: Request, call_request: CallRequest) -> None:
        super().read(request, call_request)
        if prices.image_cost(call_request.body) is None:
            sizes = ", ".join(prices.IMAGE)
            raise faults.invalid_request(
                "size",
                f"There is no price for a picture of this size by this model. Sizes: {sizes}.",
            )
