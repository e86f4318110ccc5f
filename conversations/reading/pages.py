"""A person's own conversations: history and search, one conversation, rename, remove, stop, export, attachments.

Every row is reached through Conversation.objects.of(request.user), so a stranger's conversation is not there at all.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Q, TextField, Value
from django.http import FileResponse, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.http import content_disposition_header
from django.views.decorators.cache import never_cache

from ..models import Conversation, Message, Snapshot, Usage
from ..models.conversation import ConversationQuerySet
from ..people import policy
from ..record import attachments, growth, threads
from ..search import index
from . import attachment_response, tree, turns
from . import download as exports
from .forms import HistoryForm, RenameForm

RECENT = 12  # conversations in the sidebar
PAGE = 25  # conversations on a page of the history
COUNTED = 1000  # conversations that are counted at most
SHOWN = 15  # exchanges on the page of a conversation
PARAMS = "params of the call"  # no role of a message
NEWEST = "#newest"  # where the last exchange begins on the page of a conversation


def shell(request) -> dict[str, Any]:
    """For the frame of every page. Costs no query until a template reads it."""
    return {
        "demo": settings.DEMO,
        "recent": lambda: _recent(request.user),
        "policy_url": lambda: settings.USAGE_POLICY_URL or reverse("policy"),
        "policy_to_accept": lambda: policy.pending_policy(request.user),
        "cost_this_month": lambda: turns.money(
            Usage.objects.cost_this_month(request.user), in_cents=True
        ),
    }


def _recent(user) -> list[Conversation]:
    return (
        list(Conversation.objects.of(user).shown().newest_first().only("id", "title")[:RECENT])
        if user.is_authenticated
        else []
    )


def render_page(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """For people who are signed in; kept by no cache, and not by the browser's back button after sign-out."""
    return wraps(view)(login_required(never_cache(view)))


def own(request, root: UUID) -> Conversation:
    return get_object_or_404(Conversation.objects.of(request.user).shown(), id=root)


# One conversation -----------------------------------------------------------------------------------------------


def conversation(
    request, conversation: Conversation, at: UUID | None = None, count: int | None = None
) -> dict[str, Any]:
    """What the page of a conversation shows, or the last `count` exchanges of it, in four queries at any length, and one more for files."""
    at = at or as_uuid(request.GET.get("at"))
    rows = conversation.messages.for_owner().defer("text", "raw")
    calls = conversation.snapshots.filter(kind__in=[Snapshot.Kind.CHAT, Snapshot.Kind.IMAGE]).defer(
        "params", "response", "salt", "commitment"
    )
    grown = tree.build_tree(rows, snapshots := list(calls))
    at, in_preamble = _beside_preamble(grown, snapshots, at)
    line = turns.line(grown, at)
    count = count or as_number(request.GET.get("shown"), SHOWN)
    first = line.first_of(count)
    preamble = grown.path_to(line.call.preamble_id) if line.call else []
    wanted = [node.message.id for node in [*line.nodes[first:], *preamble]]
    texts = Message.objects.filter(id__in=wanted).values_list("id", "role", "text", "raw")
    if line.call:
        asked = Snapshot.objects.filter(id=line.call.id).values_list(
            "id", Value(PARAMS), "params", Value(None, TextField())
        )
        texts = texts.union(asked, all=True)
    said, params = {}, "{}"
    for id, role, text, raw in texts:
        if role == PARAMS:
            params = text or params
        else:
            said[id] = threads.put_together(role, text, raw)
    files = (
        {bytes(file.sha256).hex(): file for file in conversation.attachments.all()}
        if attachments.list_references(list(said.values()))
        else {}
    )
    shown = turns.turns(grown, line, first, said, files, growth.read_growth)
    growing = next((turn.call for turn in shown if turn.pending and turn.call), None)
    return {
        "conversation": conversation,
        "turns": shown,
        "preamble": [
            turns.pieces(said[node.message.id], files, as_markdown=False) for node in preamble
        ],
        "preamble_open": in_preamble,
        "earlier": _query(at=at, shown=count + SHOWN) if first else "",
        "newest": next((turn.anchor for turn in reversed(shown) if turn.kind == "question"), None),
        "last": line.nodes[-1].message.id if line.nodes else None,
        "call": line.call,
        "params": params,
        "growing": growing,
        "again": _query(at=at, live=as_number(request.GET.get("live"), 0) + 1) if growing else "",
    }


def _beside_preamble(
    grown: tree.Tree, calls: list[Snapshot], at: UUID | None
) -> tuple[UUID | None, bool]:
    """A system message stands beside the line: the newest call that it led is shown instead, and the prompt unfolded."""
    path = grown.path_to(at)
    if not path or path[0] not in grown.preambles:
        return at, False
    led = [call for call in calls if path[-1] in grown.path_to(call.preamble_id)]
    return (led[-1].reply_id or led[-1].head_id, True) if led else (None, False)


@render_page
def rename(request, root: UUID) -> HttpResponse:
    found = own(request, root)
    form = RenameForm(
        request.POST if request.method == "POST" else None, initial={"title": found.title}
    )
    if request.method == "POST" and form.is_valid():
        found.rename(form.cleaned_data["title"])
        messages.success(request, "Renamed.")
        return redirect("conversation", root)
    return render(
        request,
        "rename.html",
        {"conversation": found, "form": form},
        status=400 if form.errors else 200,
    )


@render_page
def remove(request, root: UUID) -> HttpResponse:
    found = own(request, root)
    if request.method != "POST":
        return render(request, "remove.html", {"conversation": found})
    found.hide()
    messages.success(
        request,
        f"Removed “{found.title or 'Untitled conversation'}” from your history. The log stays.",
    )
    return redirect("history")


@render_page
def stop(request, root: UUID) -> HttpResponse:
    found = own(request, root)
    if request.method != "POST":
        return redirect("conversation", root)
    call = get_object_or_404(found.snapshots, id=as_uuid(request.POST.get("call")))
    growth.ask_to_stop(call.id)
    if call.kind == Snapshot.Kind.IMAGE:
        return redirect("image", call.id)
    return redirect(reverse("conversation", args=[root]) + _query(live=0))


@render_page
def export(request, root: UUID, suffix: str) -> HttpResponse:
    """To be saved, not shown: a page of ours is made of nothing in it."""
    found = own(request, root)
    data = (
        exports.as_json(found)
        if suffix == "json"
        else exports.as_markdown(found, as_uuid(request.GET.get("at")))
    )
    answer = HttpResponse(
        data,
        content_type="application/json" if suffix == "json" else "text/markdown; charset=utf-8",
    )
    answer["Content-Disposition"] = (
        content_disposition_header(True, exports.name(found.title, suffix)) or "attachment"
    )
    answer["X-Content-Type-Options"] = "nosniff"
    return answer


@render_page
def attachment(request, root: UUID, number: int) -> FileResponse:
    return attachment_response.file_response(
        get_object_or_404(own(request, root).attachments, pk=number)
    )


# History --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class HistoryEntry:
    conversation: Conversation
    title: list[tuple[str, bool]]  # runs of text, and whether the run matched
    snippet: list[tuple[str, bool]]
    link: str

    @property
    def figures(self) -> str:
        row = self.conversation
        tokens = row.prompt_tokens + row.completion_tokens
        answers = turns.count(row.turns, "answer") if row.turns else "no answer"
        return " · ".join(
            part
            for part in (
                answers,
                tokens and turns.count(tokens, "token"),
                row.cost and turns.money(row.cost),
            )
            if part
        )


@render_page
def history(request) -> HttpResponse:
    form = HistoryForm(request.GET, request.user)
    entries: list[HistoryEntry] = []
    older = status = ""
    if form.is_valid():
        rows = Conversation.objects.of(request.user).shown()
        rows = rows.with_call(**form.calls) if form.calls else rows
        entries, older = _found(request, rows, form) if form.words else _all(request, rows, form)
        status = _status(request, rows, form, entries, bool(older))
    shown = {"form": form, "entries": entries, "older": older, "status": status}
    return render(request, "history.html", shown, status=400 if form.errors else 200)


def _all(request, rows: ConversationQuerySet, form: HistoryForm) -> tuple[list[HistoryEntry], str]:
    """Newest first, after the conversation that the last page ended with."""
    rows = rows.newest_first()
    last, id = as_moment(request.GET.get("last")), as_uuid(request.GET.get("before"))
    if last and id:
        rows = rows.filter(Q(last__lte=last), Q(last__lt=last) | Q(id__lt=id))
    found = list(rows[: PAGE + 1])
    entries = [
        HistoryEntry(row, [(row.title, False)], [], reverse("conversation", args=[row.id]) + NEWEST)
        for row in found[:PAGE]
    ]
    end = entries[-1].conversation if len(found) > PAGE else None
    return entries, _query(**form.given, last=end.last.isoformat(), before=end.id) if end else ""


def _found(
    request, rows: ConversationQuerySet, form: HistoryForm
) -> tuple[list[HistoryEntry], str]:
    """By what was said, and by title; those begun last first."""
    query = form.words
    before = as_uuid(request.GET.get("before"))
    hits = {
        hit.conversation: hit
        for hit in index.find_conversations(
            query, owner=request.user.id, limit=PAGE + 1, before=before, **form.calls
        )
    }
    titled = rows.filter(title__icontains=query).order_by("-id")
    if before:
        titled = titled.filter(id__lt=before)
    ids = sorted({*hits, *titled.values_list("id", flat=True)[: PAGE + 1]}, reverse=True)
    kept = rows.in_bulk(ids[:PAGE])
    entries = []
    for id in ids[:PAGE]:
        if id in kept:  # and not removed meanwhile
            hit = hits.get(id)
            link = reverse("conversation", args=[id]) + (
                f"{_query(at=hit.message)}#m{hit.message}" if hit else NEWEST
            )
            entries.append(
                HistoryEntry(
                    kept[id], _marked(kept[id].title, query), hit.snippet if hit else [], link
                )
            )
    return entries, _query(**form.given, before=ids[PAGE - 1]) if len(ids) > PAGE else ""


def _status(
    request, rows: ConversationQuerySet, form: HistoryForm, entries: list[HistoryEntry], more: bool
) -> str:
    """What a screen reader hears first."""
    count, chosen = (
        len(entries),
        " and ".join([f"“{form.words}”"] * bool(form.words) + ["the filter"] * bool(form.filtered)),
    )
    if chosen:
        matches = f"conversation{'s' * (count != 1)} match{'es' * (count == 1)} {chosen}"
        return (
            f"{count} {matches} on this page; older ones follow."
            if more
            else f"{count or 'No'} {matches}."
        )
    if "before" in request.GET:
        return f"{turns.count(count, 'older conversation')}."
    if more:
        count = rows.order_by()[: COUNTED + 1].count()
    return (
        f"{'More than ' * (count > COUNTED)}{turns.count(min(count, COUNTED), 'conversation')}."
        if count
        else ""
    )


def _marked(text: str, query: str) -> list[tuple[str, bool]]:
    pieces = re.split(f"({re.escape(query)})", text, flags=re.I)
    return [(piece, i % 2 == 1) for i, piece in enumerate(pieces) if piece]


# What stands in an address --------------------------------------------------------------------------------------


def as_uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None


def as_number(text: str | None, otherwise: int) -> int:
    return int(text) if text and re.fullmatch(r"[0-9]{1,6}", text) else otherwise


def as_moment(text: str | None) -> datetime | None:
    try:
        moment = parse_datetime(text) if text else None
    except ValueError:
        return None
    return moment if moment and timezone.is_aware(moment) else None


def _query(**values: Any) -> str:
    return "?" + urlencode({key: value for key, value in values.items() if value is not None})
