"""The chat page: a question goes to a model, and its answer grows on the page of the conversation.

A call that was let through answers with a redirect there, whatever becomes of it. One that was not leaves the question
in its box, with the reason.
"""

from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone

from conversations import attachments, record, threading
from conversations import pages as reading
from conversations.models import Conversation, Message, Snapshot
from conversations.pages import page
from conversations.threading import Json

from . import chat as passage
from . import live as live_events
from .forms import AskForm
from .upstream import Fault


@page
def chat(request) -> HttpResponseBase:
    if request.method != "POST":
        return _chat(request, AskForm(models=_models(), initial={"model": request.session.get("model")}))
    form, fault = AskForm(request.POST, models=_models()), None
    if form.is_valid():
        try:
            return _ask(request, form, [_said(form)])
        except Fault as problem:
            fault = problem
    return _chat(request, form, fault)


@page
def conversation(request, root: UUID) -> HttpResponseBase:
    """Its page; by POST, the question that follows the message `parent`."""
    if request.method != "POST":
        return _conversation(request, reading.own(request, root))
    form, fault = AskForm(request.POST, models=_models()), None
    asked = form.is_valid()
    found = _own_to_ask(request, root, form)
    parent = _parent(found, form.cleaned_data.get("parent"))
    if asked:
        try:
            return _ask(request, form, [*_history(parent), _said(form)], root)
        except Fault as problem:
            fault = problem
    return _conversation(request, found, form, fault, at=parent.id if parent else None)


@page
def again(request, root: UUID) -> HttpResponseBase:
    """What one call asked is asked once more, with all its parameters."""
    if request.method != "POST":
        return redirect("conversation", reading.own(request, root).id)
    found = _own_to_ask(request, root)
    call = get_object_or_404(found.snapshots.filter(kind=Snapshot.Kind.CHAT), id=reading.as_uuid(request.POST.get("call")))
    params = record.rebuild(call)
    messages = params.pop("messages", [])
    for name in ("model", "stream", "stream_options"):
        params.pop(name, None)
    try:
        return passage.ask(request, model=call.model, messages=messages, params=params, root=root)
    except Fault as fault:
        return _conversation(request, found, None, fault, at=call.head_id)


@page
def edit(request, root: UUID, message: UUID) -> HttpResponseBase:
    """A question in other words, beside the one that was asked: a new branch."""
    form = AskForm(request.POST, models=_models()) if request.method == "POST" else None
    asked = form is not None and form.is_valid()
    found = _own_to_ask(request, root, form) if form else reading.own(request, root)
    row = get_object_or_404(found.messages.select_related("snapshot").filter(role="user"), id=message)
    old = attachments.restore(threading.put_together(row.role, row.text, row.raw))
    fault = None
    if form and asked:
        before = attachments.restore(record.messages_to(row.snapshot.preamble_id) + record.messages_to(row.parent_id))
        try:
            return _ask(request, form, [*before, _reworded(old, form.cleaned_data["message"])], root)
        except Fault as problem:
            fault = problem
    if form is None:
        initial = AskForm.as_asked(row.snapshot.model, row.snapshot.params) | {"message": threading.plain_text(old)}
        form = AskForm(models=_models(), initial=initial)
    return _answered(render(request, "edit.html", {"conversation": found, "form": form, "message": message, "fault": fault}), form, fault)


@page
def live(request, root: UUID, call: UUID) -> HttpResponseBase:
    """The events of an answer that grows, or has grown; `after`: the characters of it that the page has in closed blocks."""
    row = get_object_or_404(reading.own(request, root).snapshots.filter(kind=Snapshot.Kind.CHAT), id=call)
    try:
        followed = live_events.Followed(row, _shown(request), reading.as_number(request.GET.get("after"), 0), request.META.get("gunicorn.socket"))
    except Fault as fault:
        return HttpResponse(fault.text, status=fault.status, content_type="text/plain", headers={"Retry-After": fault.retry_after or "2"})
    return live_events.response(followed)


NO_QUESTION: Json = {"model": "", "messages": [], "params": {}}

# Asking ---------------------------------------------------------------------------------------------------------


def _ask(request, form: AskForm, messages: list[Json], root: UUID | None = None) -> HttpResponseBase:
    model = form.cleaned_data["model"]
    if request.session.get("model") != model:
        request.session["model"] = model
    shown = _shown(request) if live_events.wanted(request) else None
    return passage.ask(request, model=model, messages=messages, params=form.params, root=root, shown=shown)


def _own_to_ask(request, root: UUID, form: AskForm | None = None) -> Conversation:
    """The asker's own conversation; 404 for any other, and the attempt is on record."""
    try:
        return reading.own(request, root)
    except Http404:
        if not Conversation.objects.of(request.user).filter(id=root).exists():  # and not one that its owner removed
            valid = form is not None and form.is_valid()
            question = {"model": form.cleaned_data["model"], "messages": [_said(form)], "params": form.params} if form and valid else NO_QUESTION
            try:
                passage.ask(request, root=root, **question)
            except Fault as fault:
                if fault.status not in (403, 404):
                    raise
        raise


def _models() -> list[str]:
    try:
        return passage.models()
    except Fault:
        return []  # the form says so, and takes a name


def _said(form: AskForm) -> Json:
    return {"role": "user", "content": form.cleaned_data["message"]}


def _parent(found: Conversation, id: UUID | None) -> Message | None:
    """The message that the next question follows: the one that the page showed last."""
    if id is None:
        newest = found.snapshots.filter(kind=Snapshot.Kind.CHAT).order_by("-id").values_list("reply_id", "head_id").first()
        id = newest and (newest[0] or newest[1])
    return get_object_or_404(found.messages.select_related("snapshot"), id=id) if id else None


def _history(parent: Message | None) -> list[Json]:
    if parent is None:
        return []
    return attachments.restore(record.messages_to(parent.snapshot.preamble_id) + record.messages_to(parent.id))


def _reworded(message: Json, text: str) -> Json:
    """Pictures and files stay; the words are replaced."""
    if not isinstance(parts := message.get("content"), list):
        return message | {"content": text}
    kept = [part for part in parts if not isinstance(part, dict) or part.get("type") != "text"]
    return message | {"content": [{"type": "text", "text": text}, *kept]}


# Answering ------------------------------------------------------------------------------------------------------


def _chat(request, form: AskForm, fault: Fault | None = None) -> HttpResponse:
    return _answered(render(request, "chat.html", {"form": form, "fault": fault}), form, fault)


def _shown(request) -> live_events.Shown:
    """The page of a conversation with its last exchange, as it stands when it is asked for."""
    zone = timezone.get_current_timezone()

    def shown(root: UUID, at: UUID | None) -> str:
        with timezone.override(zone):  # the middleware's has ended by then
            return _conversation(request, reading.own(request, root), at=at, count=1).content.decode()

    return shown


def _conversation(
    request, found: Conversation, form: AskForm | None = None, fault: Fault | None = None, at: UUID | None = None, count: int | None = None
) -> HttpResponse:
    shown: dict[str, Any] = reading.conversation(request, found, at, count)
    if form is None:
        call = shown["call"]
        asked = AskForm.as_asked(call.model, call.params) if call and call.kind == Snapshot.Kind.CHAT else {"model": request.session.get("model")}
        form = AskForm(models=_models(), initial=asked | {"parent": shown["last"]})
    return _answered(render(request, "conversation.html", shown | {"form": form, "fault": fault}), form, fault)


def _answered(response: HttpResponse, form: AskForm, fault: Fault | None) -> HttpResponse:
    if fault:
        response.status_code = fault.status
        if fault.retry_after:
            response["Retry-After"] = fault.retry_after
    elif form.errors:
        response.status_code = 400
    return response
