"""A person's images: the form that asks for them with its prices, those made before, and the page of one call that can be reloaded.

Calls are reached through _own, files through their conversation, so a stranger's are not there at all.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from django import forms
from django.db.models import QuerySet
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render

from conversations import shape
from conversations.models import Attachment, Message, Snapshot
from conversations.reading import pages as reading
from conversations.reading import turns
from conversations.reading.pages import render_page
from conversations.record import threads

from ..faults import Fault
from . import image_asking as passage
from .forms import number

PAGE = 12  # calls
LONGEST = 4000  # characters of a prompt: the shortest of the providers' limits is 1,000, the longest 32,000
KIND = "{} {}"  # model, size
NOT_OFFERED = "There is no price for a picture of this size by this model."


class ImageForm(forms.Form):
    prompt = forms.CharField(
        label="What it shall show",
        max_length=LONGEST,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": "Say what the image shall show."},
    )
    kind = forms.ChoiceField(
        label="Model and size",
        error_messages={"required": "Choose a model and a size.", "invalid_choice": NOT_OFFERED},
    )
    count = number("How many", 1, passage.MOST, f"1 to {passage.MOST}", whole=True)

    def __init__(self, *args: Any, offered: passage.Offered, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offered = {
            KIND.format(model, size): (model, size)
            for model, sizes in offered.items()
            for size in sizes
        }
        self.prices = {
            KIND.format(model, size): float(price)
            for model, sizes in offered.items()
            for size, price in sizes.items()
        }
        self.fields["kind"].choices = [  # type: ignore[attr-defined]
            (
                model,
                [
                    (
                        KIND.format(model, size),
                        f"{size} · {'about ' * (model == passage.COUNTED)}{turns.money(price)} each",
                    )
                    for size, price in sizes.items()
                ],
            )
            for model, sizes in offered.items()
        ]
        self.fields["count"].required, self.fields["count"].initial = True, 1
        self.fields["count"].error_messages["required"] = "Say how many."

    def clean_prompt(self) -> str:
        return self.cleaned_data["prompt"].replace("\r\n", "\n")

    @property
    def asked(self) -> dict[str, Any]:
        model, size = self.offered[self.cleaned_data["kind"]]
        return {
            "model": model,
            "size": size,
            "count": self.cleaned_data["count"],
            "prompt": self.cleaned_data["prompt"],
        }


@dataclass(slots=True)
class Made:
    """A call for images as its pages show it."""

    call: Snapshot
    prompt: str
    pieces: list[turns.TurnPiece]
    problem: turns.Problem | None
    fields: dict[str, Any]  # of the form that asks the same again

    @property
    def pending(self) -> bool:
        return self.call.status == Snapshot.Status.PENDING

    @property
    def figures(self) -> str:
        cost = turns.money(self.call.cost) if self.call.cost is not None else ""
        return " · ".join(part for part in (self.fields["kind"].strip(), cost) if part)


@render_page
def images(request) -> HttpResponseBase:
    """By POST, images are asked for. `like` names a call whose words begin the form, `before` one that the list goes on after."""
    offered = passage.offered(request.user.id)
    fault = None
    if request.method == "POST":
        form = ImageForm(request.POST, offered=offered)
        if form.is_valid():
            try:
                return passage.ask(request, **form.asked)
            except Fault as problem:
                fault = problem
    else:
        like = reading.as_uuid(request.GET.get("like"))
        form = ImageForm(
            offered=offered,
            initial=_made([get_object_or_404(_own(request), id=like)])[0].fields if like else {},
        )
    calls = _own(request)
    if before := reading.as_uuid(request.GET.get("before")):
        calls = calls.filter(id__lt=before)
    found = list(calls[: PAGE + 1])
    shown = {
        "form": form,
        "fault": fault,
        "made": _made(found[:PAGE]),
        "older": found[PAGE - 1].id if len(found) > PAGE else None,
    }
    response = render(
        request, "images.html", shown, status=fault.status if fault else 400 if form.errors else 200
    )
    if fault and fault.retry_after:
        response["Retry-After"] = fault.retry_after
    return response


@render_page
def image(request, call: UUID) -> HttpResponse:
    """While the images are on their way it says when to look again."""
    [made] = _made([get_object_or_404(_own(request), id=call)])
    again = f"?live={reading.as_number(request.GET.get('live'), 0) + 1}"
    response = render(request, "image.html", {"made": made, "again": again})
    if made.pending:
        response["Retry-After"] = "2"
    return response


def _own(request) -> QuerySet[Snapshot]:
    """Newest first; none of a conversation that its owner removed."""
    calls = Snapshot.objects.filter(
        owner=request.user, kind=Snapshot.Kind.IMAGE, conversation__shown=True
    ).order_by("-id")
    return calls.select_related("head", "reply").defer("response", "salt", "commitment", "classic")


def _made(calls: list[Snapshot]) -> list[Made]:
    """In one query more for their files."""
    files: dict[UUID | None, dict[str, Attachment]] = defaultdict(dict)
    for file in Attachment.objects.filter(
        conversation__in=[call.conversation_id for call in calls]
    ):
        files[file.conversation_id][bytes(file.sha256).hex()] = file
    return [_one(call, files[call.conversation_id]) for call in calls]


def _one(call: Snapshot, files: dict[str, Attachment]) -> Made:
    prompt = threads.plain_text(_said(call.head)).strip()
    params = orjson.loads(call.params)
    pieces = turns.pieces(_said(call.reply), files, as_markdown=False) if call.reply else []
    for piece in pieces:
        piece.alt = prompt[:300] or "An image without words"
    fields = {
        "prompt": prompt,
        "kind": KIND.format(call.model, str(params.get("size") or "")[:20]),
        "count": params.get("n") or 1,
    }
    return Made(call, prompt, pieces, turns.problem(call), fields)


def _said(row: Message | None) -> shape.Json:
    return threads.put_together(row.role, row.text, row.raw) if row else {}
