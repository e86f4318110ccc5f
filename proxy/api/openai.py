"""/v1: OpenAI's API. Few fields are read, all others travel as they came."""

import base64
from io import BytesIO
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.files.uploadhandler import MemoryFileUploadHandler
from django.http import HttpResponse, StreamingHttpResponse
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import APIView

from conversations.models import Snapshot
from conversations.record import CallRequest
from conversations.shape import Json

from .. import faults
from ..faults import Fault
from ..models import ApiKey
from ..providers.base import Endpoint, Form
from ..relay import calls
from ..relay.exchange import Exchange
from ..relay.stream import Stream
from ..upstreams import catalogue, routing
from . import rest


class Passage(APIView):
    """A call that is recorded and forwarded: what its kinds share."""

    http_method_names = ["post"]
    kind: str
    scope: str
    endpoint: Endpoint
    form: Form | None = None  # what is sent, where it is no JSON

    def post(self, request) -> HttpResponse:
        caller = request.user
        asked = CallRequest(
            owner=caller.owner,
            kind=self.kind,
            model="",
            body={},
            key=caller.key,
            address=request._request.client_address,
        )
        asked.user_agent = request.META.get("HTTP_USER_AGENT", "")
        try:
            self.read(request, asked)
            if self.scope not in caller.scopes:
                raise faults.scope_missing(f"This API key may not be used for {self.scope}.")
            self.place(request, asked)
            speak_for(caller, asked)
            asked.retried = request.META.get("HTTP_X_STAINLESS_RETRY_COUNT", "0") not in ("", "0")
            self.way = routing.find_way(
                asked.model, self.endpoint, caller.owner, self.form or asked.body
            )
        except Fault as fault:
            raise calls.refuse(asked, fault) from None
        return self.forward(request, asked)

    def read(self, request, asked: CallRequest) -> None:
        """Fill in body, model and messages. Raises Fault."""
        asked.body = rest.parsed(rest.body_of(request))
        asked.model = model_of(asked.body)

    def place(self, request, asked: CallRequest) -> None:
        """The conversation that the caller names, if any. Raises Fault."""
        place(request.META, asked)

    def pass_on(self, data: bytes, exchange: Exchange) -> bytes:
        """The upstream's document as the caller gets it."""
        return data

    def forward(self, request, asked: CallRequest) -> HttpResponse:
        exchange = calls.admit(asked, self.way, request.META.get("gunicorn.socket"))
        try:
            data = calls.fetch(exchange)
        except Fault as fault:
            raise fault.about(exchange.call.id, exchange.call.conversation) from None
        data = self.pass_on(data, exchange)
        return named(
            HttpResponse(
                data, content_type="application/json", headers={"Content-Length": len(data)}
            ),
            exchange,
        )


class ChatCompletions(Passage):
    kind, scope, endpoint = Snapshot.Kind.CHAT, ApiKey.Scope.CHAT, Endpoint.CHAT
    usage_wanted = False

    def read(self, request, asked: CallRequest) -> None:
        super().read(request, asked)
        body = asked.body
        asked.messages = messages_of(body)
        if body.get("stream"):
            options = body.get("stream_options") or {}
            if not isinstance(options, dict):
                raise invalid("stream_options", "`stream_options` must be an object.")
            self.usage_wanted = bool(options.get("include_usage"))
            asked.body = body | {
                "stream_options": options | {"include_usage": True}
            }  # the record counts, whether the caller does or not

    def forward(self, request, asked: CallRequest) -> HttpResponse:
        if not asked.body.get("stream"):
            return super().forward(request, asked)
        exchange = calls.admit(
            asked, self.way, request.META.get("gunicorn.socket"), cancellable=True
        )
        try:
            stream = Stream(exchange, usage_wanted=self.usage_wanted)
        except Fault as fault:
            raise fault.about(exchange.call.id, exchange.call.conversation) from None
        response = StreamingHttpResponse(stream, content_type="text/event-stream")
        response["Cache-Control"] = "no-store, no-transform"
        response["X-Accel-Buffering"] = "no"
        return named(response, exchange)


class ImageGenerations(Passage):
    kind, scope, endpoint = Snapshot.Kind.IMAGE, ApiKey.Scope.IMAGES, Endpoint.IMAGES

    def read(self, request, asked: CallRequest) -> None:
        asked.body = rest.parsed(rest.body_of(request))
        asked.model = model_of(asked.body, "dall-e-2")
        asked.messages = [{"role": "user", "content": prompt_of(asked.body)}]
        whole(asked.body)


class ImageEdits(Passage):
    """Multipart: fields and files are parsed, recorded, and written anew for the upstream."""

    kind, scope, endpoint = Snapshot.Kind.IMAGE, ApiKey.Scope.IMAGES, Endpoint.EDITS

    def read(self, request, asked: CallRequest) -> None:
        body = rest.body_of(request)
        if not request.META.get("CONTENT_TYPE", "").startswith("multipart/form-data"):
            raise faults.unsupported_media_type()
        meta = request.META | {"CONTENT_LENGTH": str(len(body))}
        try:
            fields, files = MultiPartParser(meta, BytesIO(body), [InMemory()], "utf-8").parse()
        except (MultiPartParserError, SuspiciousOperation):
            raise invalid(None, "The multipart body cannot be read.") from None
        parts: Form = [(name, value) for name, values in fields.lists() for value in values]
        asked.body = {
            name: values[0] if len(values) == 1 else values for name, values in fields.lists()
        }
        pictures = []
        for name, uploads in files.lists():
            urls = []
            for upload in uploads:
                data = upload.read()
                parts.append((name, (upload.name, data, upload.content_type)))
                urls.append(
                    {
                        "filename": upload.name,
                        "url": f"data:{upload.content_type or 'application/octet-stream'};base64,{base64.b64encode(data).decode()}",
                    }
                )
            asked.body[name] = urls
            pictures += [{"type": "image_url", "image_url": {"url": url["url"]}} for url in urls]
        asked.model = model_of(asked.body, "dall-e-2")
        asked.messages = [
            {
                "role": "user",
                "content": [{"type": "text", "text": prompt_of(asked.body)}, *pictures],
            }
        ]
        if not pictures:
            raise invalid("image", "Send at least one file as `image` or `image[]`.")
        whole(asked.body)
        self.form = parts


class InMemory(MemoryFileUploadHandler):
    """Django would put larger files on disk; a request is smaller than MAX_BODY, and evidence goes to its own storage."""

    def handle_raw_input(self, *args, **kwargs) -> None:
        self.activated = True


class Embeddings(Passage):
    kind, scope, endpoint = Snapshot.Kind.EMBEDDING, ApiKey.Scope.EMBEDDINGS, Endpoint.EMBEDDINGS

    def read(self, request, asked: CallRequest) -> None:
        super().read(request, asked)
        if not asked.body.get("input"):
            raise invalid("input", "`input` is missing: a text, or a list of texts.")


class Models(APIView):
    http_method_names = ["get"]

    def get(self, request) -> Response:
        return Response({"object": "list", "data": catalogue.list_models(request.user.owner)})


class Model(APIView):
    http_method_names = ["get"]

    def get(self, request, name: str) -> Response:
        for model in catalogue.list_models(request.user.owner):
            if model["id"] == name:
                return Response(model)
        raise faults.model_not_found()


class Nowhere(APIView):
    """A path of OpenAI's that we do not have, or nobody has."""

    def http_method_not_allowed(self, request, *args, **kwargs):
        raise exceptions.NotFound("There is no such endpoint here.")

    options = http_method_not_allowed


def named(response: Any, exchange: Exchange) -> Any:
    response["x-request-id"] = str(exchange.call.id)
    if exchange.call.conversation:
        response["x-conversation-id"] = str(exchange.call.conversation)
    return response


def invalid(param: str | None, text: str) -> Fault:
    return faults.invalid_request(param, text)


def model_of(body: Json, otherwise: str | None = None) -> str:
    model = body.get("model")
    model = otherwise if model is None else model
    if not isinstance(model, str) or not 0 < len(model) <= 200 or not model.isprintable():
        raise invalid("model", "`model` is missing: name the model that you want to ask.")
    return model


def messages_of(body: Json) -> list[Json]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise invalid("messages", "`messages` must be a list with at least one message.")
    if len(messages) > settings.MAX_MESSAGES:
        raise invalid(
            "messages", f"More than {settings.MAX_MESSAGES:,} messages: begin a new conversation."
        )
    for i, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise invalid(f"messages[{i}]", "Each message must be an object with a `role`.")
    return messages


def prompt_of(body: Json) -> str:
    prompt = body.get("prompt")
    if not isinstance(prompt, str) or not prompt:
        raise invalid("prompt", "`prompt` is missing: say what the picture shall show.")
    return prompt


def whole(body: Json) -> None:
    if body.get("stream") not in (None, False, "false"):
        raise invalid("stream", "Images are not streamed here: leave `stream` out.")


def place(meta: dict, asked: CallRequest) -> None:
    """The conversation that the caller names, or the caller's own name for one."""
    if named := meta.get("HTTP_X_CONVERSATION_ID", ""):
        try:
            asked.root = UUID(named)
        except ValueError:
            raise faults.conversation_not_found() from None
        return
    key = meta.get("HTTP_X_SESSION_ID") or meta.get("HTTP_X_CLAUDE_CODE_SESSION_ID")
    if key:
        if len(key) > 200 or not key.isprintable():
            raise invalid("x-session-id", "A session id has at most 200 printable characters.")
        asked.session_key = key


def speak_for(caller, asked: CallRequest) -> None:
    """A shared key speaks for many: the body says for whom, or nothing is threaded by content."""
    if not caller.shared:
        return
    end_user = asked.body.get("user") or asked.body.get("safety_identifier") or ""
    asked.end_user = end_user[:200] if isinstance(end_user, str) else ""
    asked.by_content = bool(asked.end_user)
