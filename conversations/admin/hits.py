"""The search that a page was opened from: it goes along, and leads to its next conversation."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils.translation import gettext as _

from ..models import AuditEvent, Conversation
from ..patience import TookTooLong, limit_statements
from ..people import audit
from ..people.identity import hides_people
from ..search import hits
from ..search.box import parse_box
from ..search.calls import ID
from ..search.conversations import ConversationFilter
from ..search.hits import Snippet
from ..search.query import LONGEST, parse
from .patience import show_stopped

FILTER = "_changelist_filters"  # Django's name for the query of the list that leads to a page
HERE = "here"  # the anchor of the message that a transcript is opened at


def read_query(request: HttpRequest) -> str:
    """Return the query string of the list that the page was opened from."""
    return request.POST.get(FILTER) or request.GET.get(FILTER) or ""


def read_queue(request: HttpRequest) -> str:
    """Return the queue that the page was opened from, as its address names it."""
    return request.POST.get("of") or request.GET.get("of") or ""


def read_words(request: HttpRequest) -> str:
    """Return the words that were searched there; none where an id was. Costs no query."""
    box = parse_box(QueryDict(read_query(request)).get("q", "")[:LONGEST].replace("\0", " "))
    is_id = "id" in box.fields or ID.fullmatch(box.words)
    return "" if box.problems or is_id else box.words


def with_hits(request: HttpRequest, rows: QuerySet[Conversation]) -> QuerySet[Conversation]:
    """Load the ids of the messages that hold the words, as `hits`."""
    query = parse(read_words(request))
    if not query:
        return rows
    found = hits.select_messages(query, hides_people=hides_people(request.user))
    return rows.annotate(hits=found)


def transcript_url(pk: UUID, query: str = "", **place: Any) -> str:
    """Return the address of a transcript that goes on with the list of this query string."""
    address = reverse("admin:conversations_conversation_change", args=[pk])
    fields = {name: value for name, value in {**place, FILTER: query}.items() if value}
    return f"{address}?{urlencode(fields)}" if fields else address


def next_url(request: HttpRequest, pk: UUID) -> str:
    """Return the address that leads to the conversation after this one in that list."""
    address = reverse("admin:conversations_conversation_next", args=[pk])
    fields = {"of": read_queue(request), FILTER: read_query(request)}
    return f"{address}?{urlencode(fields)}"


def find_place(snippet: Snippet | None) -> dict[str, UUID]:
    """Return what opens a transcript at a hit: its message, or its call where it is beside any."""
    if snippet is None:
        return {}
    return {"at": snippet.message} if snippet.message else {"call": snippet.call}


def go_to_next(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Go to the conversation after this one in the list that the page was opened from.

    Finding it is on the trail as a search. At the end of the list, go back to it.
    """
    query = read_query(request)
    search = ConversationFilter(QueryDict(query), request.user)
    search.before = pk
    try:
        with limit_statements():
            rows = search.conversations().filter(is_one_call=False)
            after = rows.filter(pk__lt=pk).order_by("-pk")
            found = after.values_list("pk", flat=True).first()
            end = search.cut_in_words
    except TookTooLong:
        _record(request, search, stopped=True)
        return show_stopped(request, _("Conversations"), search, _list_url())
    _record(request, search, after=pk, found=found)
    if found:
        address = transcript_url(found, query, of=read_queue(request))
        return HttpResponseRedirect(f"{address}#{HERE}")
    messages.info(request, _("That was the last conversation of this list."))
    if end:
        messages.warning(request, end)
    return HttpResponseRedirect(f"{_list_url()}?{QueryDict(query).urlencode()}")


def _list_url() -> str:
    return reverse("admin:conversations_conversation_changelist")


def _record(request: HttpRequest, search: ConversationFilter, **detail: Any) -> None:
    action = AuditEvent.Action.SEARCH if search.terms else AuditEvent.Action.LIST
    audit.record(request, action, Conversation, terms=search.terms, filter=search.chosen, **detail)
