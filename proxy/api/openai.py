"""/v1: OpenAI's API. Few fields are read; all others travel as they came."""

import base64
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from io import BytesIO
from typing import Any, NamedTuple, NoReturn, TypeVar
from uuid import UUID

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, QueryDict, StreamingHttpResponse
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.http.response import HttpResponseBase
from django.utils.datastructures import MultiValueDict
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from conversations import exact_json
from conversations.body_limits import InMemoryUpload
from conversations.models import Snapshot
from conversations.record import CallRequest
from conversations.record.rows import clean
from conversations.shape import Json
from conversations.speech import dialects

from .. import faults
from ..faults import Fault
from ..models import ApiKey
from ..providers.base import Endpoint, Form
from ..relay import calls
from ..relay.exchange import CallerLink, Exchange
from ..relay.stream import Stream
from ..upstreams import catalogue, routing
from . import paths, rest
from .authentication import Caller, describe_sender, get_caller
from .scoped import ScopedView

DEFAULT_IMAGE_MODEL = "dall-e-2"
LONGEST_END_USER = 200  # characters
LONGEST_SESSION = 200
# By which a program names its conversation: our own, Claude Code's, Codex's. The first counts.
SESSION_HEADERS = ("x-session-id", "x-claude-code-session-id", "session-id")
R = TypeVar("R", bound=HttpResponseBase)


class CallView(ScopedView):
    """A call that is recorded and forwarded; a subclass for each kind."""

    kind: str
    endpoint: Endpoint
    form: Form | None = None  # the body as it is sent, where it is not JSON
    streams = False  # the caller wants events
    usage_wanted = True  # among them, by the caller; the record counts in any case

    def post(self, request: Request) -> HttpResponseBase:
        caller = get_caller(request)
        call_request = self.new_request(request)
        try:
            self.read(request, call_request)
            self.set_conversation(request, call_request)
            set_end_user(caller, call_request)
            call_request.is_retry = read_retry(request.META)
            self.way = routing.find_way(
                call_request.model, self.endpoint, caller.owner, self.form or call_request.body
            )
        except Fault as fault:
            raise calls.refuse(call_request, fault) from None
        return self.forward(request, call_request)

    def refuse(self, request: Request, fault: Fault) -> Fault:
        """Record the refusal with what was asked, as far as it can be read."""
        call_request = self.new_request(request)
        with suppress(Fault):
            self.read(request, call_request)
        return calls.refuse(call_request, fault)

    def new_request(self, request: Request) -> CallRequest:
        return CallRequest(
            owner=get_caller(request).owner,
            kind=self.kind,
            model="",
            body={},
            **describe_sender(request),
        )

    def read(self, request: Request, call_request: CallRequest) -> None:
        """Fill in body, model and messages. Raises Fault."""
        call_request.body = read_object(request, call_request)
        call_request.model = read_model(call_request.body)

    def set_conversation(self, request: Request, call_request: CallRequest) -> None:
        """Fill in the conversation that the caller names, if any. Raises Fault."""
        set_conversation(request.META, call_request)

    def pass_on(self, data: bytes, exchange: Exchange) -> bytes:
        """Return the upstream's document as the caller gets it."""
        return data

    def read_stream(self, body: Json) -> Json:
        """Note whether the caller wants events. Return the body, which says so in JSON's words.

        Raises Fault.
        """
        stream = body.get("stream")
        if stream is None:
            return body
        self.streams = read_switch(stream, "stream")
        return body | {"stream": self.streams}

    def forward(self, request: Request, call_request: CallRequest) -> HttpResponseBase:
        socket = request.META.get("gunicorn.socket")
        caller = CallerLink(socket, cancellable=self.streams)
        exchange = calls.admit(call_request, self.way, caller)
        try:
            if self.streams:
                return self.stream(exchange)
            data = calls.fetch(exchange)
        except Fault as fault:
            raise fault.about(exchange.call.id, exchange.call.conversation) from None
        data = self.pass_on(data, exchange)
        response = HttpResponse(
            data, content_type="application/json", headers={"Content-Length": len(data)}
        )
        return with_ids(response, exchange)

    def stream(self, exchange: Exchange) -> HttpResponseBase:
        """Pass the answer on as it arrives. Raises Fault."""
        stream = Stream(exchange, usage_wanted=self.usage_wanted)
        response = StreamingHttpResponse(stream, content_type="text/event-stream")
        response["Cache-Control"] = "no-store, no-transform"
        response["X-Accel-Buffering"] = "no"
        return with_ids(response, exchange)


class ChatCompletions(CallView):
    kind = Snapshot.Kind.CHAT
    scopes = {"post": (ApiKey.Scope.CHAT,)}
    endpoint = Endpoint.CHAT
    usage_wanted = False

    def read(self, request: Request, call_request: CallRequest) -> None:
        super().read(request, call_request)
        call_request.messages = read_messages(call_request.body)
        body = call_request.body = self.read_stream(call_request.body)
        if self.streams:
            options = body.get("stream_options") or {}
            if not isinstance(options, dict):
                raise faults.invalid_request(
                    "stream_options", "`stream_options` must be an object."
                )
            if (wanted := options.get("include_usage")) is not None:
                self.usage_wanted = read_switch(wanted, "stream_options.include_usage")
            call_request.body = body | {"stream_options": options | {"include_usage": True}}

    def forward(self, request: Request, call_request: CallRequest) -> HttpResponseBase:
        self.way.adds_usage = self.streams and not self.usage_wanted
        return super().forward(request, call_request)


class ImageGenerations(CallView):
    kind = Snapshot.Kind.IMAGE
    scopes = {"post": (ApiKey.Scope.IMAGES,)}
    endpoint = Endpoint.IMAGES

    def read(self, request: Request, call_request: CallRequest) -> None:
        call_request.body = read_object(request, call_request)
        call_request.model = read_model(call_request.body, DEFAULT_IMAGE_MODEL)
        call_request.messages = [{"role": "user", "content": read_prompt(call_request.body)}]
        call_request.body = self.read_stream(call_request.body)


class ImageEdits(CallView):
    """A multipart call: its parts are parsed, recorded, and written anew for the upstream."""

    kind = Snapshot.Kind.IMAGE
    scopes = {"post": (ApiKey.Scope.IMAGES,)}
    endpoint = Endpoint.EDITS

    def read(self, request: Request, call_request: CallRequest) -> None:
        with rest.hold_room(request):
            body = rest.read_body(request, call_request)
            if not request.META.get("CONTENT_TYPE", "").startswith("multipart/form-data"):
                raise faults.unsupported_media_type()
            fields, files = parse_multipart(request, body)
        refuse_reserved({**fields, **files})
        call_request.body = {
            name: values[0] if len(values) == 1 else values for name, values in fields.lists()
        }
        parts: Form = [(name, value) for name, values in fields.lists() for value in values]
        content: list[Json] = []
        for name, uploads in files.lists():
            pictures = [read_picture(upload) for upload in uploads]
            parts += [(name, picture.part) for picture in pictures]
            call_request.body[name] = [
                {"filename": picture.name, "url": picture.url} for picture in pictures
            ]
            content += [
                {"type": "image_url", "image_url": {"url": picture.url}} for picture in pictures
            ]
        if deployment := request.META.get(paths.DEPLOYMENT):
            parts = [part for part in parts if part[0] != "model"] + [("model", deployment)]
            call_request.body["model"] = deployment
        if "stream" in call_request.body:
            call_request.body = self.read_stream(call_request.body)
            parts = [part for part in parts if part[0] != "stream"]
            parts.append(("stream", "true" if self.streams else "false"))
        call_request.model = read_model(call_request.body, DEFAULT_IMAGE_MODEL)
        prompt = {"type": "text", "text": read_prompt(call_request.body)}
        call_request.messages = [{"role": "user", "content": [prompt, *content]}]
        if not content:
            raise faults.invalid_request("image", "Send at least one file as `image` or `image[]`.")
        self.form = parts


class Picture(NamedTuple):
    """An uploaded file: for the record, and as the part that is sent."""

    name: str | None
    url: str
    part: tuple[str | None, bytes, str | None]  # file name, bytes, content type


def parse_multipart(request: Request, body: bytes) -> tuple[QueryDict, MultiValueDict]:
    """Parse fields and files. Raises Fault."""
    meta = request.META | {"CONTENT_LENGTH": str(len(body))}
    try:
        return MultiPartParser(meta, BytesIO(body), [InMemoryUpload()], "utf-8").parse()
    except (MultiPartParserError, SuspiciousOperation):
        raise faults.invalid_request(None, "The multipart body cannot be read.") from None


def read_picture(upload: UploadedFile) -> Picture:
    data = upload.read()
    content_type = upload.content_type or "application/octet-stream"
    url = f"data:{content_type};base64,{base64.b64encode(data).decode()}"
    return Picture(upload.name, url, (upload.name, data, upload.content_type))


class Embeddings(CallView):
    kind = Snapshot.Kind.EMBEDDING
    scopes = {"post": (ApiKey.Scope.EMBEDDINGS,)}
    endpoint = Endpoint.EMBEDDINGS

    def read(self, request: Request, call_request: CallRequest) -> None:
        super().read(request, call_request)
        if not call_request.body.get("input"):
            raise faults.invalid_request("input", "`input` is missing: a text, or a list of texts.")


class ModelList(ScopedView):
    scopes = {"get": ()}

    def get(self, request: Request) -> Response:
        return Response(
            {"object": "list", "data": catalogue.list_models(get_caller(request).owner)}
        )


class OneModel(ScopedView):
    scopes = {"get": ()}

    def get(self, request: Request, name: str) -> Response:
        owner = get_caller(request).owner
        if not is_model_name(name):
            raise faults.model_not_found()
        routing.find_listed(name, owner)  # what may be asked is there, in a list or not
        with suppress(Fault):
            for model in catalogue.list_models(owner):
                if model["id"] == name:
                    return Response(catalogue.describe(name) | model)
        return Response(catalogue.describe(name))


class UnknownPath(ScopedView):
    """A path that has no endpoint here."""

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> NoReturn:
        raise exceptions.NotFound("There is no such endpoint here.")


def with_ids(response: R, exchange: Exchange) -> R:
    """Name the snapshot and its conversation in the response's headers."""
    response["x-request-id"] = str(exchange.call.id)
    if exchange.call.conversation:
        response["x-conversation-id"] = str(exchange.call.conversation)
    return response


def read_object(request: Request, call_request: CallRequest) -> Json:
    """Read a JSON body; a path as Azure's names the model. Raises Fault."""
    body = rest.read_object(request, call_request)
    refuse_reserved(body)
    deployment = request.META.get(paths.DEPLOYMENT)
    return body | {"model": deployment} if deployment else body


def refuse_reserved(body: Json) -> None:
    """Refuse names that are the record's own. Raises Fault."""
    if path := dialects.find_reserved(body):
        raise faults.invalid_request(
            path, f"`{path}`: a field or role that begins with `$` cannot be sent."
        )


def read_model(body: Json, default: str | None = None) -> str:
    model = body.get("model")
    model = default if model is None else model
    if not isinstance(model, str) or not is_model_name(model):
        raise faults.invalid_request(
            "model", "`model` is missing: name the model that you want to ask."
        )
    return model


def is_model_name(name: str) -> bool:
    return 0 < len(name) <= 200 and name.isprintable()


def read_switch(value: Any, param: str) -> bool:
    """Read what some clients write in place of true and false. Raises Fault."""
    word = str(value).lower()
    if word not in ("true", "false", "1", "0", ""):
        raise faults.invalid_request(param, f"`{param}` must be true or false.")
    return word in ("true", "1")


def read_messages(body: Json) -> list[Json]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise faults.invalid_request(
            "messages", "`messages` must be a list with at least one message."
        )
    if len(messages) > settings.MAX_MESSAGES:
        raise faults.invalid_request(
            "messages", f"More than {settings.MAX_MESSAGES:,} messages: begin a new conversation."
        )
    for i, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise faults.invalid_request(
                f"messages[{i}]", "Each message must be an object with a `role`."
            )
    return messages


def read_prompt(body: Json) -> str:
    prompt = body.get("prompt")
    if not isinstance(prompt, str) or not prompt:
        raise faults.invalid_request(
            "prompt", "`prompt` is missing: say what the picture shall show."
        )
    return prompt


def set_conversation(meta: Mapping[str, Any], call_request: CallRequest) -> None:
    """Fill in the conversation that the headers name, or the caller's own name for one.

    Raises Fault.
    """
    if root := meta.get("HTTP_X_CONVERSATION_ID", ""):
        try:
            call_request.root = UUID(root)
        except ValueError:
            raise faults.conversation_not_found() from None
        return
    for name in SESSION_HEADERS:
        if not (key := meta.get(f"HTTP_{name.upper().replace('-', '_')}")):
            continue
        if len(key) > LONGEST_SESSION or not key.isprintable():
            raise faults.invalid_request(
                name, f"A session id has at most {LONGEST_SESSION} printable characters."
            )
        call_request.session_key = key
        return


def read_retry(meta: Mapping[str, Any]) -> bool | None:
    """Tell whether the client says that it sends this again; None where it may, without a word.

    OpenAI's SDKs count; but a program around them may begin anew, and others count nothing.
    """
    return meta.get("HTTP_X_STAINLESS_RETRY_COUNT", "0") not in ("", "0") or None


def set_end_user(caller: Caller, call_request: CallRequest) -> None:
    """Fill in for whom a shared key speaks, as the body says; else do not thread by content."""
    if not caller.shared:
        return
    said = (call_request.body.get(name) for name in ("user", "safety_identifier"))
    end_user = next((value for value in said if value not in (None, "")), "")
    call_request.end_user = name_end_user(end_user)
    call_request.threads_by_content = bool(call_request.end_user)


def name_end_user(value: Any) -> str:
    """Return a name that no other value has: two of them are two people."""
    text = value if isinstance(value, str) else exact_json.dumps(value).decode()
    name = clean(text, LONGEST_END_USER)
    if name == text:
        return name
    digest = sha256(text.encode(errors="replace")).hexdigest()[:32]
    return f"{name[: LONGEST_END_USER - 33]} {digest}"
