"""The chat page: a question goes to a model, and its answer grows on the page of the conversation.

A call that was let through answers with a redirect there, however it ends. One that was refused
leaves the question in its box, with the reason.
"""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone

from conversations.body_limits import QUESTION, takes
from conversations.ids import parse_uuid
from conversations.models import Conversation, Message, Snapshot
from conversations.reading import pages
from conversations.reading.address import parse_number
from conversations.reading.pages import PageRequest, render_page
from conversations.record import attachments, paths, rebuild, threads
from conversations.shape import Json

from ..faults import Fault
from . import asking
from . import live as live_events
from .asking import Question
from .forms import AskForm

REMEMBERED = ("model", "use_case")  # of the last question, until the session ends
NO_QUESTION = Question(model="", messages=[], params={})


@dataclass(frozen=True, slots=True)
class Attempt:
    """A question that was not sent: its form, and the reason where the form is right."""

    form: AskForm | None = None
    fault: Fault | None = None


NO_ATTEMPT = Attempt()


@takes(QUESTION)
@render_page
def chat(request: PageRequest) -> HttpResponseBase:
    models = _list_models(request.user.id)
    if request.method != "POST":
        initial = {name: request.session.get(name) for name in REMEMBERED}
        return _render_chat(request, AskForm(models=models, initial=initial))
    form, fault = AskForm(request.POST, models=models), None
    if form.is_valid():
        try:
            return _ask(request, form, [_message(form)])
        except Fault as refusal:
            fault = refusal
    return _render_chat(request, form, fault)


@takes(QUESTION)
@render_page
def conversation(request: PageRequest, root: UUID) -> HttpResponseBase:
    """Show a conversation; by POST, ask the question that follows the message `parent`."""
    if request.method != "POST":
        return _render_conversation(request, pages.own(request, root))
    form, fault = AskForm(request.POST, models=_list_models(request.user.id)), None
    is_valid = form.is_valid()
    row = _own_to_ask(request, root, form)
    parent = _find_parent(row, form.cleaned_data.get("parent"))
    if is_valid:
        try:
            earlier = _read_messages(parent.id) if parent else []
            last_call = parent.snapshot if parent else None
            return _ask(request, form, [*earlier, _message(form)], root, last_call)
        except Fault as refusal:
            fault = refusal
    at = parent.id if parent else None
    return _render_conversation(request, row, Attempt(form, fault), at=at)


@takes(QUESTION)
@render_page
def again(request: PageRequest, root: UUID) -> HttpResponseBase:
    """Send a call once more with all its parameters; to another `model`, if that is chosen."""
    if request.method != "POST":
        return redirect("conversation", pages.own(request, root).id)
    row = _own_to_ask(request, root)
    call = get_object_or_404(
        row.snapshots.filter(kind__in=[Snapshot.Kind.CHAT, Snapshot.Kind.IMAGE]),
        id=parse_uuid(request.POST.get("call")),
    )
    if call.kind == Snapshot.Kind.IMAGE:
        return redirect("image", call.id)  # its page has a Retry of its own
    params = rebuild.rebuild_request(call)
    messages = params.pop("messages", [])
    for name in ("model", "stream", "stream_options"):
        params.pop(name, None)
    chosen = request.POST.get("model")
    question = Question(
        model=chosen if chosen in _list_models(request.user.id) else call.model,
        messages=messages,
        params=params,
        root=root,
        use_case=call.use_case,
    )
    try:
        return asking.ask(request, question, _turn_renderer_if_live(request))
    except Fault as fault:
        return _render_conversation(request, row, Attempt(fault=fault), at=call.head_id)


@takes(QUESTION)
@render_page
def edit(request: PageRequest, root: UUID, message: UUID) -> HttpResponseBase:
    """Show a question to reword; by POST, ask it as a new branch beside the original."""
    form = (
        AskForm(request.POST, models=_list_models(request.user.id))
        if request.method == "POST"
        else None
    )
    is_valid = form is not None and form.is_valid()
    row = _own_to_ask(request, root, form) if form else pages.own(request, root)
    original = get_object_or_404(
        row.messages.select_related("snapshot").filter(role="user"), id=message
    )
    call = original.snapshot
    if call.kind == Snapshot.Kind.IMAGE:
        return redirect(f"{reverse('images')}?like={original.snapshot_id}")
    content = attachments.restore(threads.put_together(original.role, original.text, original.raw))
    fault = None
    if form and is_valid:
        try:
            reworded = _replace_text(content, form.cleaned_data["message"])
            earlier = _read_messages(original.parent_id)
            return _ask(request, form, [*earlier, reworded], root, call)
        except Fault as refusal:
            fault = refusal
    if form is None:
        initial = AskForm.initial_of(call.model, call.params)
        initial["message"] = threads.extract_text(content)
        form = AskForm(models=_list_models(request.user.id), initial=initial)
    form.follow(call)
    context = {"conversation": row, "form": form, "message": message, "fault": fault}
    return _with_status(render(request, "edit.html", context), form, fault)


@render_page
def live(request: PageRequest, root: UUID, call: UUID) -> HttpResponseBase:
    """Send the events of an answer that grows, or has grown.

    `after`: the characters of it that the page has in closed blocks.
    """
    row = get_object_or_404(
        pages.own(request, root).snapshots.filter(kind=Snapshot.Kind.CHAT), id=call
    )
    after = parse_number(request.GET.get("after"), 0)
    client = request.META.get("gunicorn.socket")
    try:
        answer = live_events.FollowedAnswer(row, _turn_renderer(request), after, client)
    except Fault as fault:
        return HttpResponse(
            fault.text,
            status=fault.status,
            content_type="text/plain",
            headers={"Retry-After": fault.retry_after or "2"},
        )
    return live_events.stream_response(answer)


# Asking


def _ask(
    request: PageRequest,
    form: AskForm,
    messages: list[Json],
    root: UUID | None = None,
    last_call: Snapshot | None = None,
) -> HttpResponseBase:
    """Ask, led by the system prompt of the chosen use case; without one, by that of `last_call`."""
    model, use_case = form.cleaned_data["model"], form.cleaned_data["use_case"]
    for name, chosen in zip(REMEMBERED, (model, use_case and use_case.pk), strict=True):
        if chosen and request.session.get(name) != chosen:
            request.session[name] = chosen
    label, preamble = "", []
    if use_case:
        label, preamble = use_case.name, use_case.preamble
    elif last_call:
        label, preamble = last_call.use_case, _read_messages(last_call.preamble_id)
    question = Question(
        model=model,
        messages=[*preamble, *messages],
        params=form.params,
        root=root,
        use_case=label,
    )
    return asking.ask(request, question, _turn_renderer_if_live(request))


def _own_to_ask(request: PageRequest, root: UUID, form: AskForm | None = None) -> Conversation:
    """Find the person's own conversation; 404 for any other, and the attempt is recorded."""
    try:
        return pages.own(request, root)
    except Http404:
        # One that its owner removed is no attempt at another person's.
        if not Conversation.objects.owned_by(request.user).filter(id=root).exists():
            _record_attempt(request, root, form)
        raise


def _record_attempt(request: PageRequest, root: UUID, form: AskForm | None) -> None:
    question = NO_QUESTION
    if form is not None and form.is_valid():
        question = Question(
            model=form.cleaned_data["model"], messages=[_message(form)], params=form.params
        )
    try:
        asking.ask(request, replace(question, root=root))
    except Fault as fault:
        if fault.status not in (403, 404):
            raise


def _list_models(owner: int) -> list[str]:
    try:
        return asking.list_models(owner)
    except Fault:
        return []  # the form says so, and takes a name


def _message(form: AskForm) -> Json:
    return {"role": "user", "content": form.cleaned_data["message"]}


def _find_parent(row: Conversation, message: UUID | None) -> Message | None:
    """Find the message that the next question follows: the last one that the page showed."""
    if message is None:
        newest = (
            row.snapshots.filter(kind=Snapshot.Kind.CHAT)
            .order_by("-id")
            .values_list("reply_id", "head_id")
            .first()
        )
        message = newest and (newest[0] or newest[1])
    if not message:
        return None
    return get_object_or_404(row.messages.select_related("snapshot"), id=message)


def _read_messages(last: UUID | None) -> list[Json]:
    """Read the messages up to this one, as they were sent."""
    return attachments.restore(paths.read_path(last))


def _replace_text(message: Json, text: str) -> Json:
    """Replace the words of a message; its images and files stay."""
    if not isinstance(parts := message.get("content"), list):
        return message | {"content": text}
    kept = [part for part in parts if not isinstance(part, dict) or part.get("type") != "text"]
    return message | {"content": [{"type": "text", "text": text}, *kept]}


# Answering


def _render_chat(request: PageRequest, form: AskForm, fault: Fault | None = None) -> HttpResponse:
    context = {"form": form, "fault": fault}
    return _with_status(render(request, "chat.html", context), form, fault)


def _turn_renderer(request: PageRequest) -> live_events.RenderTurn:
    """Make a function that renders a conversation's page with its last exchange, as of its call."""
    zone = timezone.get_current_timezone()

    def render_turn(root: UUID, at: UUID | None) -> str:
        with timezone.override(zone):  # the middleware's has ended by then
            page = _render_conversation(request, pages.own(request, root), at=at, count=1)
            return page.content.decode()

    return render_turn


def _turn_renderer_if_live(request: PageRequest) -> live_events.RenderTurn | None:
    return _turn_renderer(request) if live_events.accepts_events(request) else None


def _render_conversation(
    request: PageRequest,
    row: Conversation,
    attempt: Attempt = NO_ATTEMPT,
    at: UUID | None = None,
    count: int | None = None,
) -> HttpResponse:
    context: dict[str, Any] = pages.read_context(request, row, at, count)
    call = context["call"]
    models = _list_models(request.user.id)
    form = attempt.form
    if form is None:
        initial = {"model": request.session.get("model")}
        if call and call.kind == Snapshot.Kind.CHAT:
            initial = AskForm.initial_of(call.model, context["params"])
        form = AskForm(models=models, initial=initial | {"parent": context["last"]})
    if call:
        form.follow(call)
    context |= {"form": form, "fault": attempt.fault, "other_models": models}
    return _with_status(render(request, "conversation.html", context), form, attempt.fault)


def _with_status(response: HttpResponse, form: AskForm, fault: Fault | None) -> HttpResponse:
    if fault:
        response.status_code = fault.status
        if fault.retry_after:
            response["Retry-After"] = fault.retry_after
    elif form.errors:
        response.status_code = 400
    return response
