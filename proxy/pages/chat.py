"""The chat page: a question goes to a model, and its answer grows on the page of the conversation.

A call that was let through answers with a redirect there, whatever becomes of it. One that was not leaves the question
in its box, with the reason.
"""

from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone

from conversations.models import Conversation, Message, Snapshot
from conversations.reading import pages as reading
from conversations.reading.pages import render_page
from conversations.record import attachments, rebuild, threads
from conversations.shape import Json

from ..faults import Fault
from . import asking as passage
from . import live as live_events
from .forms import AskForm


@render_page
def chat(request) -> HttpResponseBase:
    if request.method != "POST":
        return _chat(
            request,
            AskForm(
                models=_models(request.user.id),
                initial={name: request.session.get(name) for name in REMEMBERED},
            ),
        )
    form, fault = AskForm(request.POST, models=_models(request.user.id)), None
    if form.is_valid():
        try:
            return _ask(request, form, [_said(form)])
        except Fault as problem:
            fault = problem
    return _chat(request, form, fault)


@render_page
def conversation(request, root: UUID) -> HttpResponseBase:
    """Its page; by POST, the question that follows the message `parent`."""
    if request.method != "POST":
        return _conversation(request, reading.own(request, root))
    form, fault = AskForm(request.POST, models=_models(request.user.id)), None
    asked = form.is_valid()
    found = _own_to_ask(request, root, form)
    parent = _parent(found, form.cleaned_data.get("parent"))
    if asked:
        try:
            before = _turns(parent.id) if parent else []
            return _ask(
                request, form, [*before, _said(form)], root, parent.snapshot if parent else None
            )
        except Fault as problem:
            fault = problem
    return _conversation(request, found, form, fault, at=parent.id if parent else None)


@render_page
def again(request, root: UUID) -> HttpResponseBase:
    """What one call asked is asked once more, with all its parameters; of another `model`, if that is chosen."""
    if request.method != "POST":
        return redirect("conversation", reading.own(request, root).id)
    found = _own_to_ask(request, root)
    call = get_object_or_404(
        found.snapshots.filter(kind__in=[Snapshot.Kind.CHAT, Snapshot.Kind.IMAGE]),
        id=reading.as_uuid(request.POST.get("call")),
    )
    if call.kind == Snapshot.Kind.IMAGE:
        return redirect("image", call.id)  # its page has a Retry of its own
    params = rebuild.rebuild_request(call)
    messages = params.pop("messages", [])
    for name in ("model", "stream", "stream_options"):
        params.pop(name, None)
    chosen = request.POST.get("model")
    model = chosen if chosen in _models(request.user.id) else call.model
    try:
        shown = _shown_live(request)
        return passage.ask(
            request,
            model=model,
            messages=messages,
            params=params,
            root=root,
            use_case=call.use_case,
            shown=shown,
        )
    except Fault as fault:
        return _conversation(request, found, None, fault, at=call.head_id)


@render_page
def edit(request, root: UUID, message: UUID) -> HttpResponseBase:
    """A question in other words, beside the one that was asked: a new branch."""
    form = (
        AskForm(request.POST, models=_models(request.user.id)) if request.method == "POST" else None
    )
    asked = form is not None and form.is_valid()
    found = _own_to_ask(request, root, form) if form else reading.own(request, root)
    row = get_object_or_404(
        found.messages.select_related("snapshot").filter(role="user"), id=message
    )
    if row.snapshot.kind == Snapshot.Kind.IMAGE:
        return redirect(f"{reverse('images')}?like={row.snapshot_id}")
    old = attachments.restore(threads.put_together(row.role, row.text, row.raw))
    fault = None
    if form and asked:
        try:
            return _ask(
                request,
                form,
                [*_turns(row.parent_id), _reworded(old, form.cleaned_data["message"])],
                root,
                row.snapshot,
            )
        except Fault as problem:
            fault = problem
    if form is None:
        initial = AskForm.as_asked(row.snapshot.model, row.snapshot.params) | {
            "message": threads.plain_text(old)
        }
        form = AskForm(models=_models(request.user.id), initial=initial)
    form.follow(row.snapshot)
    return _answered(
        render(
            request,
            "edit.html",
            {"conversation": found, "form": form, "message": message, "fault": fault},
        ),
        form,
        fault,
    )


@render_page
def live(request, root: UUID, call: UUID) -> HttpResponseBase:
    """The events of an answer that grows, or has grown; `after`: the characters of it that the page has in closed blocks."""
    row = get_object_or_404(
        reading.own(request, root).snapshots.filter(kind=Snapshot.Kind.CHAT), id=call
    )
    try:
        followed = live_events.Followed(
            row,
            _shown(request),
            reading.as_number(request.GET.get("after"), 0),
            request.META.get("gunicorn.socket"),
        )
    except Fault as fault:
        return HttpResponse(
            fault.text,
            status=fault.status,
            content_type="text/plain",
            headers={"Retry-After": fault.retry_after or "2"},
        )
    return live_events.response(followed)


REMEMBERED = ("model", "use_case")  # of the last question, until the session ends
NO_QUESTION: Json = {"model": "", "messages": [], "params": {}}

# Asking ---------------------------------------------------------------------------------------------------------


def _ask(
    request,
    form: AskForm,
    turns: list[Json],
    root: UUID | None = None,
    before: Snapshot | None = None,
) -> HttpResponseBase:
    """Led by the system prompt of the use case that was chosen; without one, by that of the call `before`."""
    model, use_case = form.cleaned_data["model"], form.cleaned_data["use_case"]
    for name, chosen in zip(REMEMBERED, (model, use_case and use_case.pk), strict=True):
        if chosen and request.session.get(name) != chosen:
            request.session[name] = chosen
    if use_case:
        label, preamble = use_case.name, use_case.preamble
    else:
        label, preamble = (before.use_case, _turns(before.preamble_id)) if before else ("", [])
    shown = _shown_live(request)
    return passage.ask(
        request,
        model=model,
        messages=[*preamble, *turns],
        params=form.params,
        root=root,
        use_case=label,
        shown=shown,
    )


def _shown_live(request) -> live_events.Shown | None:
    return _shown(request) if live_events.wanted(request) else None


def _own_to_ask(request, root: UUID, form: AskForm | None = None) -> Conversation:
    """The asker's own conversation; 404 for any other, and the attempt is on record."""
    try:
        return reading.own(request, root)
    except Http404:
        if (
            not Conversation.objects.of(request.user).filter(id=root).exists()
        ):  # and not one that its owner removed
            valid = form is not None and form.is_valid()
            question = (
                {
                    "model": form.cleaned_data["model"],
                    "messages": [_said(form)],
                    "params": form.params,
                }
                if form and valid
                else NO_QUESTION
            )
            try:
                passage.ask(request, root=root, **question)
            except Fault as fault:
                if fault.status not in (403, 404):
                    raise
        raise


def _models(owner: int) -> list[str]:
    try:
        return passage.models(owner)
    except Fault:
        return []  # the form says so, and takes a name


def _said(form: AskForm) -> Json:
    return {"role": "user", "content": form.cleaned_data["message"]}


def _parent(found: Conversation, id: UUID | None) -> Message | None:
    """The message that the next question follows: the one that the page showed last."""
    if id is None:
        newest = (
            found.snapshots.filter(kind=Snapshot.Kind.CHAT)
            .order_by("-id")
            .values_list("reply_id", "head_id")
            .first()
        )
        id = newest and (newest[0] or newest[1])
    return get_object_or_404(found.messages.select_related("snapshot"), id=id) if id else None


def _turns(last: UUID | None) -> list[Json]:
    """The messages up to this one, as they were sent."""
    return attachments.restore(rebuild.read_path(last))


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
            return _conversation(
                request, reading.own(request, root), at=at, count=1
            ).content.decode()

    return shown


def _conversation(
    request,
    found: Conversation,
    form: AskForm | None = None,
    fault: Fault | None = None,
    at: UUID | None = None,
    count: int | None = None,
) -> HttpResponse:
    shown: dict[str, Any] = reading.conversation(request, found, at, count)
    call = shown["call"]
    models = _models(request.user.id)
    if form is None:
        asked = (
            AskForm.as_asked(call.model, shown["params"])
            if call and call.kind == Snapshot.Kind.CHAT
            else {"model": request.session.get("model")}
        )
        form = AskForm(models=models, initial=asked | {"parent": shown["last"]})
    if call:
        form.follow(call)
    return _answered(
        render(
            request,
            "conversation.html",
            shown | {"form": form, "fault": fault, "other_models": models},
        ),
        form,
        fault,
    )


def _answered(response: HttpResponse, form: AskForm, fault: Fault | None) -> HttpResponse:
    if fault:
        response.status_code = fault.status
        if fault.retry_after:
            response["Retry-After"] = fault.retry_after
    elif form.errors:
        response.status_code = 400
    return response
