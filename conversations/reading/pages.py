"""The pages of a person's own conversation: read, rename, remove, stop, export, attachments.

Every row is reached through Conversation.objects.owned_by(request.user), so a stranger's
conversation is not there at all.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AnonymousUser
from django.db.models import TextField, Value
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from ..downloads import download_headers
from ..gateway_request import GatewayRequest
from ..ids import parse_uuid
from ..models import Conversation, Message, Snapshot, Usage, User
from ..packs import pack
from ..people import policy
from ..record import attachments, growth, rebuild, threads
from ..shape import Json
from . import attachment_response, download, lines, portions
from .address import parse_number, query_string
from .call_words import format_cost
from .forms import RenameForm
from .portions import BYTES, PROMPT, Portion
from .tree import Node, Tree, build_tree
from .turn_pieces import split_message
from .turns import PageTurn, TurnContent, TurnKind, build_turns

RECENT = 12  # conversations in the sidebar
EXCHANGES = 15  # on the page of a conversation
RESPONSE = "response of a call"
PARAMS = "params of the call"  # no role of a message


class PageRequest(GatewayRequest):
    """A request as the views get it that render_page guards: its person is signed in."""

    user: User


def shell(request: HttpRequest) -> dict[str, Any]:
    """Fill the frame of every page. Costs no query until a template reads it."""
    return {
        "demo": settings.DEMO,
        "frame": "shell.html" if settings.CHAT_PAGES else "bare.html",
        "recent": lambda: _recent(request.user),
        "policy_url": lambda: settings.USAGE_POLICY_URL or reverse("policy"),
        "policy_to_accept": lambda: policy.pending_policy(request.user),
        "cost_this_month": lambda: _cost_this_month(request.user),
    }


def _recent(user: User | AnonymousUser) -> list[Conversation]:
    if not user.is_authenticated:
        return []
    rows = Conversation.objects.owned_by(user).shown().newest_first()
    return list(rows.only("id", "title")[:RECENT])


def _cost_this_month(user: User | AnonymousUser) -> str:
    if not user.is_authenticated:
        return ""
    return format_cost(Usage.objects.cost_this_month(user), in_cents=True)


def render_page(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Guard a view: for people who are signed in, and kept by no cache.

    The browser's back button does not show it after sign-out either.
    """
    return wraps(view)(login_required(never_cache(view)))


def own(request: PageRequest, root: UUID) -> Conversation:
    return get_object_or_404(Conversation.objects.owned_by(request.user).shown(), id=root)


def read_context(
    request: HttpRequest,
    conversation: Conversation,
    at: UUID | None = None,
    count: int | None = None,
) -> dict[str, Any]:
    """Read what the page of a conversation shows, or the last `count` exchanges of it.

    Those that one portion holds: links lead to what is before and behind it. Costs four queries at
    any length, and one more for files.
    """
    at = at or parse_uuid(request.GET.get("at"))
    rows = conversation.messages.for_owner().without_texts()
    calls = list(
        conversation.snapshots.filter(kind__in=[Snapshot.Kind.CHAT, Snapshot.Kind.IMAGE])
        .with_thought()
        .defer("params", "response", "salt", "commitment", "classic")
    )
    tree = build_tree(rows, calls)
    at, at_preamble = _beside_preamble(tree, calls, at)
    line = lines.trace(tree, at)
    count = count or parse_number(request.GET.get("shown"), EXCHANGES)
    portion = _choose_portion(request, line, calls, count)
    preamble = tree.path_to(line.call.preamble_id) if line.call else []
    prompt = next(pack(preamble, lambda node: node.message.size, BYTES, PROMPT), [])  # type: ignore[attr-defined]
    nodes = [*line.nodes[portion.first : portion.end], *prompt]
    content, params = _read_content(conversation, nodes, line.call)
    turns = build_turns(tree, line, portion.first, portion.end, content)
    growing = next((turn.call for turn in turns if turn.pending and turn.call), None)
    live = parse_number(request.GET.get("live"), 0)
    return {
        "conversation": conversation,
        "turns": turns,
        "preamble": [
            split_message(content.messages[node.message.id], content.files, as_markdown=False)
            for node in prompt
        ],
        "preamble_left_out": len(preamble) - len(prompt),
        "preamble_open": at_preamble,
        "earlier": _earlier(portion, at, count),
        "later": "" if portion.later is None else query_string(at=at, **{"from": portion.later}),
        "newest": _newest_question(turns),
        "last": line.nodes[-1].message.id if line.nodes else None,
        "call": line.call,
        "params": params,
        "growing": growing,
        "again": query_string(at=at, live=live + 1) if growing else "",
    }


def _choose_portion(
    request: HttpRequest, line: lines.TreeLine, calls: list[Snapshot], count: int
) -> Portion:
    """Choose the messages of the page: those `from` a place on, else the last exchanges."""
    thoughts = {call.id: call.thought for call in calls}  # type: ignore[attr-defined]
    sizes = [
        node.message.size  # type: ignore[attr-defined]
        + (thoughts.get(node.message.snapshot_id, 0) if node.message.role == "assistant" else 0)
        for node in line.nodes
    ]
    place = parse_number(request.GET.get("from"), len(sizes))
    if place < len(sizes):
        return portions.find_portion(sizes, place)
    target = line.nodes.index(line.target) if line.target in line.nodes else None
    return portions.find_tail(sizes, line.start_of_last(count), target)


def _earlier(portion: Portion, at: UUID | None, count: int) -> str:
    """Write the address of what is before a portion: more exchanges, or the portion before."""
    if portion.earlier is not None:
        return query_string(at=at, **{"from": portion.earlier})
    return query_string(at=at, shown=count + EXCHANGES) if portion.first else ""


def _read_content(
    conversation: Conversation, nodes: list[Node], call: Snapshot | None
) -> tuple[TurnContent, str]:
    """Read the messages of these nodes with their files, and the parameters of `call` as JSON."""
    wanted = [node.message.id for node in nodes]
    texts = Message.objects.filter(id__in=wanted).values_list("id", "role", "text", "raw")
    if call:
        params_row = Snapshot.objects.filter(id=call.id).values_list(
            "id", Value(PARAMS), "params", Value(None, TextField())
        )
        texts = texts.union(params_row, all=True)
    brought = [node.message.snapshot_id for node in nodes if node.message.role == "assistant"]
    response_rows = (
        Snapshot.objects.with_reasoning()
        .filter(id__in=brought)
        .values_list("id", Value(RESPONSE), "response", Value(None, TextField()))
    )
    texts = texts.union(response_rows, all=True)
    contents: dict[UUID, Json] = {}
    params, reasoning = "{}", dict[UUID, str]()
    for row_id, role, text, raw in texts:
        if role == PARAMS:
            params = text or params
        elif role == RESPONSE:
            reasoning |= rebuild.find_reasoning(text or "{}")
        else:
            contents[row_id] = threads.put_together(role, text, raw)
    for row_id in reasoning.keys() & contents.keys():
        contents[row_id]["reasoning_content"] = reasoning[row_id]
    files = {}
    if attachments.list_references(list(contents.values())):
        files = {bytes(file.sha256).hex(): file for file in conversation.attachments.all()}
    return TurnContent(contents, files, growth.read_growth), params


def _newest_question(turns: list[PageTurn]) -> UUID | None:
    return next((turn.anchor for turn in reversed(turns) if turn.kind == TurnKind.QUESTION), None)


def _beside_preamble(
    tree: Tree, calls: list[Snapshot], at: UUID | None
) -> tuple[UUID | None, bool]:
    """Replace a system message, which stands beside the line, by the newest call that it led.

    Beside the message to show: whether the prompt is unfolded.
    """
    path = tree.path_to(at)
    if not path or path[0] not in tree.preambles:
        return at, False
    led = [call for call in calls if path[-1] in tree.path_to(call.preamble_id)]
    return (led[-1].reply_id or led[-1].head_id, True) if led else (None, False)


@render_page
def rename(request: PageRequest, root: UUID) -> HttpResponse:
    conversation = own(request, root)
    form = RenameForm(
        request.POST if request.method == "POST" else None, initial={"title": conversation.title}
    )
    if request.method == "POST" and form.is_valid():
        conversation.rename(form.cleaned_data["title"])
        messages.success(request, _("Conversation renamed."))
        return redirect("conversation", root)
    return render(
        request,
        "rename.html",
        {"conversation": conversation, "form": form},
        status=400 if form.errors else 200,
    )


@render_page
def remove(request: PageRequest, root: UUID) -> HttpResponse:
    conversation = own(request, root)
    if request.method != "POST":
        return render(request, "remove.html", {"conversation": conversation})
    conversation.hide()
    removed = _("Removed “%(title)s” from your history. It stays in the log.")
    title = conversation.title or _("Untitled conversation")
    messages.success(request, removed % {"title": title})
    return redirect("history")


@render_page
def stop(request: PageRequest, root: UUID) -> HttpResponse:
    conversation = own(request, root)
    if request.method != "POST":
        return redirect("conversation", root)
    call = get_object_or_404(conversation.snapshots, id=parse_uuid(request.POST.get("call")))
    growth.ask_to_stop(call.id)
    if call.kind == Snapshot.Kind.IMAGE:
        return redirect("image", call.id)
    return redirect(reverse("conversation", args=[root]) + query_string(live=0))


@render_page
def export(request: PageRequest, root: UUID, suffix: str) -> StreamingHttpResponse:
    """Send a file to save: a browser that showed it would show nothing of it as a page of ours."""
    conversation = own(request, root)
    if suffix == "json":
        pieces, content_type = download.stream_json(conversation), "application/json"
    else:
        pieces = download.stream_markdown(conversation, parse_uuid(request.GET.get("at")))
        content_type = "text/markdown; charset=utf-8"
    headers = download_headers(download.make_file_name(conversation.title, suffix))
    return StreamingHttpResponse(pieces, content_type=content_type, headers=headers)


@render_page
def attachment(request: PageRequest, root: UUID, number: int) -> FileResponse:
    return attachment_response.file_response(
        get_object_or_404(own(request, root).attachments, pk=number)
    )
