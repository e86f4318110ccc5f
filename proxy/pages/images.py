"""A person's images: the form with its prices, the images so far, and the page of one call.

Calls are reached through _own_calls, files through their conversation, so a stranger's are not
there at all.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.db.models import QuerySet
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from conversations import exact_json
from conversations.body_limits import QUESTION, takes
from conversations.ids import parse_uuid
from conversations.models import Attachment, Message, Snapshot
from conversations.models.snapshot import octets
from conversations.packs import pack
from conversations.reading import portions
from conversations.reading.address import parse_number
from conversations.reading.call_words import CallProblem, describe_problem, format_cost
from conversations.reading.pages import PageRequest, render_page
from conversations.reading.turn_pieces import Files, TurnPiece, split_message
from conversations.record import threads
from conversations.shape import Json

from ..faults import Fault
from . import image_asking
from .forms import number_field

PAGE = 12  # calls
# Characters of a prompt: the shortest of the providers' limits is 1,000, the longest 32,000.
LONGEST = 4000
KIND = "{} {}"  # model, size
NOT_OFFERED = gettext_lazy("There is no price for an image of this size by this model.")


class ImageForm(forms.Form):
    prompt = forms.CharField(
        label=gettext_lazy("Describe the image"),
        max_length=LONGEST,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": gettext_lazy("Describe the image first.")},
    )
    kind = forms.ChoiceField(
        label=gettext_lazy("Model and size"),
        error_messages={
            "required": gettext_lazy("Choose a model and a size."),
            "invalid_choice": NOT_OFFERED,
        },
    )
    count = number_field(
        gettext_lazy("Number of images"),
        1,
        image_asking.MOST,
        format_lazy(gettext_lazy("1 to {most}"), most=image_asking.MOST),
        whole=True,
    )

    def __init__(self, *args: Any, offered: image_asking.ImagePrices, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offered: dict[str, tuple[str, str]] = {}
        self.prices: dict[str, float] = {}
        groups = []
        for model, sizes in offered.items():
            group = []
            for size, price in sizes.items():
                kind = KIND.format(model, size)
                self.offered[kind] = (model, size)
                self.prices[kind] = float(price)
                group.append((kind, _describe_price(model, size, format_cost(price))))
            groups.append((model, group))
        self.fields["kind"].choices = groups  # type: ignore[attr-defined]
        count = self.fields["count"]
        count.required, count.initial = True, 1
        count.error_messages["required"] = _("Enter the number of images.")

    def clean_prompt(self) -> str:
        return self.cleaned_data["prompt"].replace("\r\n", "\n")

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of image_asking.ask."""
        model, size = self.offered[self.cleaned_data["kind"]]
        return {
            "model": model,
            "size": size,
            "count": self.cleaned_data["count"],
            "prompt": self.cleaned_data["prompt"],
        }


def _describe_price(model: str, size: str, price: str) -> str:
    text = _("%(size)s · %(price)s each")
    if model == image_asking.COUNTED:
        text = _("%(size)s · about %(price)s each")
    return text % {"size": size, "price": price}


@dataclass(slots=True)
class ImageCall:
    """A call for images as its pages show it."""

    call: Snapshot
    prompt: str
    left_out: int  # characters of a prompt that is too long for a page
    pieces: list[TurnPiece]
    problem: CallProblem | None
    fields: dict[str, Any]  # of the form that asks for the same again

    @property
    def pending(self) -> bool:
        return self.call.status == Snapshot.Status.PENDING

    @property
    def progress(self) -> str:
        """The words for images that are pending."""
        if self.call.stop:
            return _("Stopping…")
        count = self.fields["count"]
        text = ngettext(
            "Creating %(count)s image… This may take a minute; you can leave this page.",
            "Creating %(count)s images… This may take a minute; you can leave this page.",
            count if isinstance(count, int) else 0,
        )
        return text % {"count": count}

    @property
    def figures(self) -> str:
        cost = format_cost(self.call.cost) if self.call.cost is not None else ""
        return " · ".join(part for part in (self.fields["kind"].strip(), cost) if part)


@takes(QUESTION)
@render_page
def images(request: PageRequest) -> HttpResponseBase:
    """Show the form and the images so far; by POST, ask for images.

    `like` is a call whose prompt begins the form; the list shows those before the call `before`.
    """
    offered = image_asking.list_prices(request.user.id)
    fault = None
    if request.method == "POST":
        form = ImageForm(request.POST, offered=offered)
        if form.is_valid():
            try:
                return image_asking.ask(request, **form.arguments)
            except Fault as refusal:
                fault = refusal
    else:
        form = ImageForm(offered=offered, initial=_initial_like(request))
    calls = _own_calls(request)
    if before := parse_uuid(request.GET.get("before")):
        calls = calls.filter(id__lt=before)
    page, has_older = _choose_page(calls)
    context = {
        "form": form,
        "fault": fault,
        "images": _read_image_calls(list(calls.filter(id__in=page))),
        "older": page[-1] if has_older else None,
    }
    response = render(request, "images.html", context)
    if fault:
        response.status_code = fault.status
        if fault.retry_after:
            response["Retry-After"] = fault.retry_after
    elif form.errors:
        response.status_code = 400
    return response


def _initial_like(request: PageRequest) -> dict[str, Any]:
    like = parse_uuid(request.GET.get("like"))
    if not like:
        return {}
    [image_call] = _read_image_calls([get_object_or_404(_own_calls(request), id=like)])
    return image_call.fields


@render_page
def image(request: PageRequest, call: UUID) -> HttpResponse:
    """Show the images of one call; while they are pending, say when to look again."""
    [image_call] = _read_image_calls([get_object_or_404(_own_calls(request), id=call)])
    again = f"?live={parse_number(request.GET.get('live'), 0) + 1}"
    response = render(request, "image.html", {"image": image_call, "again": again})
    if image_call.pending:
        response["Retry-After"] = "2"
    return response


def _own_calls(request: PageRequest) -> QuerySet[Snapshot]:
    """Select the person's calls, newest first, without those of removed conversations."""
    calls = Snapshot.objects.filter(
        owner=request.user, kind=Snapshot.Kind.IMAGE, conversation__shown=True
    ).order_by("-id")
    return calls.select_related("head", "reply").defer("response", "salt", "commitment", "classic")


def _choose_page(calls: QuerySet[Snapshot]) -> tuple[list[UUID], bool]:
    """Choose the newest calls, as many as a page holds by number and bytes; and if more follow."""
    size = octets("params") + octets("head__text") + octets("head__raw")
    sizes = list(calls.annotate(size=size).values_list("id", "size")[: PAGE + 1])
    shown = next(pack(sizes[:PAGE], lambda call: call[1], portions.BYTES), [])
    return [call for call, _size in shown], len(shown) < len(sizes)


def _read_image_calls(calls: list[Snapshot]) -> list[ImageCall]:
    """Read the calls' files, in one query."""
    files: dict[UUID | None, Files] = defaultdict(dict)
    for file in Attachment.objects.filter(
        conversation__in=[call.conversation_id for call in calls]
    ):
        files[file.conversation_id][bytes(file.sha256).hex()] = file
    return [_image_call(call, files[call.conversation_id]) for call in calls]


def _image_call(call: Snapshot, files: Files) -> ImageCall:
    whole = threads.extract_text(_message(call.head)).strip()
    prompt = whole[: portions.SHOWN]
    params = exact_json.loads(call.params)
    pieces = split_message(_message(call.reply), files, as_markdown=False) if call.reply else []
    for piece in pieces:
        piece.alt = prompt[:300] or _("An image without a description")
    fields = {
        "prompt": prompt,
        "kind": KIND.format(call.model, str(params.get("size") or "")[:20]),
        "count": params.get("n") or 1,
    }
    left_out = len(whole) - len(prompt)
    return ImageCall(call, prompt, left_out, pieces, describe_problem(call), fields)


def _message(row: Message | None) -> Json:
    return threads.put_together(row.role, row.text, row.raw) if row else {}
