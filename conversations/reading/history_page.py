"""The page of a person's history: all conversations, or those that a search and a filter find."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..ids import parse_uuid
from ..models import Conversation
from ..models.conversation import ConversationQuerySet
from ..patience import TookTooLong, limit_statements
from ..search import find
from .address import parse_moment, query_string
from .call_words import count_tokens, format_cost
from .forms import HistoryForm
from .pages import PageRequest, render_page

PAGE = 25  # conversations
COUNTED = 1000  # conversations that are counted at most
NEWEST = "#newest"  # the last exchange on the page of a conversation

Runs = list[tuple[str, bool]]  # of text, and whether the run matched


@dataclass(slots=True)
class HistoryEntry:
    conversation: Conversation
    title: Runs
    snippet: Runs
    link: str

    @property
    def figures(self) -> str:
        """Answers · tokens · cost, without those that are zero."""
        return " · ".join(self._figures())

    def _figures(self) -> Iterator[str]:
        row = self.conversation
        answers = ngettext("%(count)s answer", "%(count)s answers", row.turns)
        yield answers % {"count": f"{row.turns:,}"} if row.turns else _("no answer")
        if tokens := row.prompt_tokens + row.completion_tokens:
            yield count_tokens(tokens)
        if row.cost:
            yield format_cost(row.cost)


class HistoryPage(NamedTuple):
    entries: list[HistoryEntry]
    older: str = ""  # the query string of the next page
    reach: str = ""  # how far a search came, in words


@render_page
def history(request: PageRequest) -> HttpResponse:
    form = HistoryForm(request.GET, request.user)
    entries: list[HistoryEntry] = []
    older = status = ""
    code = 400 if form.errors else 200
    if form.is_valid():
        rows = Conversation.objects.owned_by(request.user).shown()
        rows = rows.with_call(**form.calls) if form.calls else rows
        read = _search if form.words else _list
        try:
            with limit_statements():
                page = read(request, rows, form)
                entries, older = page.entries, page.older
                if form.words or form.filtered:
                    status = _describe_matches(form, len(entries), has_more=bool(older))
                else:
                    status = _describe_count(request, rows, len(entries), has_more=bool(older))
                status = f"{status} {page.reach}".strip()
        except TookTooLong:
            status, code = _("The search took too long. Add words or fewer days."), 503
    context = {"form": form, "entries": entries, "older": older, "status": status}
    return render(request, "history.html", context, status=code)


def _list(request: PageRequest, rows: ConversationQuerySet, form: HistoryForm) -> HistoryPage:
    """Read a page, newest first."""
    rows = rows.newest_first()
    last = parse_moment(request.GET.get("last"))
    before = parse_uuid(request.GET.get("before"))
    if last and before:
        rows = rows.filter(Q(last__lte=last), Q(last__lt=last) | Q(id__lt=before))
    page = list(rows[: PAGE + 1])
    entries = [
        HistoryEntry(row, [(row.title, False)], [], reverse("conversation", args=[row.id]) + NEWEST)
        for row in page[:PAGE]
    ]
    if len(page) <= PAGE:
        return HistoryPage(entries)
    end = entries[-1].conversation
    older = query_string(**form.parameters, last=end.last.isoformat(), before=end.id)
    return HistoryPage(entries, older)


def _search(request: PageRequest, rows: ConversationQuerySet, form: HistoryForm) -> HistoryPage:
    """Search messages and titles; the conversations that began last come first."""
    before = parse_uuid(request.GET.get("before"))
    found = find.find_hits(form.words, form.scope(request.user.id, before), PAGE + 1)
    hits = {hit.conversation: hit for hit in found.hits}
    titled = rows.filter(title__icontains=form.words).order_by("-id")
    if before:
        titled = titled.filter(id__lt=before)
    ids = sorted({*hits, *titled.values_list("id", flat=True)[: PAGE + 1]}, reverse=True)
    conversations = rows.in_bulk(ids[:PAGE])  # without those removed in the meantime
    entries = [
        _found(conversations[each], hits.get(each), form.words)
        for each in ids[:PAGE]
        if each in conversations
    ]
    older = query_string(**form.parameters, before=ids[PAGE - 1]) if len(ids) > PAGE else ""
    return HistoryPage(entries, older, _describe_reach(found.matches))


def _describe_reach(matches: find.Matches) -> str:
    """Say how far a search came; empty where it looked at all."""
    if day := matches.looked_back_to:
        text = _("The search took too long: it looked at messages since %(day)s, and no further.")
    elif day := matches.since:
        text = _("Messages before %(day)s are still being added to the search.")
    else:
        return ""
    return text % {"day": date_format(timezone.localtime(day), "j F Y")}


def _found(conversation: Conversation, hit: find.Hit | None, query: str) -> HistoryEntry:
    anchor = f"{query_string(at=hit.message)}#m{hit.message}" if hit else NEWEST
    return HistoryEntry(
        conversation,
        _mark(conversation.title, query),
        hit.snippet if hit else [],
        reverse("conversation", args=[conversation.id]) + anchor,
    )


def _describe_matches(form: HistoryForm, count: int, *, has_more: bool) -> str:
    """Tell a screen reader first what the page shows."""
    if form.words and form.filtered:
        wanted = _("“%(words)s” and the filter") % {"words": form.words}
    elif form.words:
        wanted = f"“{form.words}”"
    else:
        wanted = _("the filter")
    if has_more:
        text = ngettext(
            "%(count)s conversation matches %(wanted)s on this page; older ones follow.",
            "%(count)s conversations match %(wanted)s on this page; older ones follow.",
            count,
        )
    elif count:
        text = ngettext(
            "%(count)s conversation matches %(wanted)s.",
            "%(count)s conversations match %(wanted)s.",
            count,
        )
    else:
        text = _("No conversations match %(wanted)s.")
    return text % {"count": count, "wanted": wanted}


def _describe_count(
    request: PageRequest, rows: ConversationQuerySet, count: int, *, has_more: bool
) -> str:
    if "before" in request.GET:
        older = ngettext("%(count)s older conversation.", "%(count)s older conversations.", count)
        return older % {"count": f"{count:,}"}
    if has_more:
        count = rows.order_by()[: COUNTED + 1].count()
    if count > COUNTED:
        return _("More than %(count)s conversations.") % {"count": f"{COUNTED:,}"}
    total = ngettext("%(count)s conversation.", "%(count)s conversations.", count)
    return total % {"count": f"{count:,}"} if count else ""


def _mark(text: str, query: str) -> Runs:
    pieces = re.split(f"({re.escape(query)})", text, flags=re.I)
    return [(piece, i % 2 == 1) for i, piece in enumerate(pieces) if piece]
