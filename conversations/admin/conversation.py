"""Conversations: a list, and the transcript of each."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import admin
from django.contrib.postgres.expressions import ArraySubquery
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import review
from ..figures import count, dollars
from ..ids import parse_uuid
from ..models import Attachment, AuditEvent, Conversation, Review, Snapshot
from ..models.review import calls_unseen
from ..people import audit
from ..people.access import Account, may, readable
from ..people.identity import Names
from ..people.persons import fit_column
from ..reading import attachment_response
from ..search.conversations import ConversationFilter
from ..search.hits import Snippet
from ..templatetags.review import minute, visible
from . import hits, queue, transcript
from .changelist import RowCount
from .rows import CHANGES, RowsAdmin, decide_no_issue, show_snippet

MODELS = 3  # of a conversation, in the list
NEW = 99  # calls since a decision that are counted
ASSESSMENTS = 10  # of one conversation, beside it
REMOVED = SafeString(' <span class="gw-note">removed by its owner</span>')
COLUMNS = (
    "title",
    "shown",
    "end_user",
    "started",
    "last",
    "turns",
    "prompt_tokens",
    "completion_tokens",
    "cost",
    "owner__username",
    "owner__department",
    "owner__job_title",
    "review__state",
    "review__source",
    "review__lease",
    "review__assignee__username",
    "review__decision__disposition",
)


@admin.register(Conversation)
class ConversationAdmin(RowsAdmin):
    list_display = (
        "name",
        "who",
        "when",
        "count_of_turns",
        "models_used",
        "tokens",
        "price",
        "reviewed",
        "assigned",
    )
    list_display_links = None  # a name has its link beside the snippet's
    filter_form = ConversationFilter
    exported = "conversations"
    csv_rows = gettext_lazy("one row per call in these conversations")
    with_calls = "with calls"
    # Not from a list of calls: it does not show how far their conversations have come.
    changes = {**CHANGES, "no-issue": decide_no_issue}

    def get_rows(self, form: ConversationFilter) -> QuerySet[Conversation]:
        return form.conversations().filter(is_one_call=False)

    def get_calls(self, form: ConversationFilter) -> QuerySet[Snapshot]:
        return form.calls_of_conversations()

    def find_url(self, row: Conversation, query: str, snippet: Snippet | None = None) -> str:
        return hits.transcript_url(row.pk, query, **hits.find_place(snippet))

    def describe_row(self, row: Conversation) -> str:
        return row.title or "Untitled"

    def find_conversations(self, rows: QuerySet[Conversation]) -> list[Conversation]:
        return list(rows.select_related("owner"))

    def find_calls(self, rows: QuerySet[Conversation]) -> QuerySet[Snapshot]:
        return Snapshot.objects.filter(conversation__in=rows)

    def sign_rows(self, request: HttpRequest, event: AuditEvent, rows: list[Any]) -> str:
        if not may(request.user, "lead"):
            return ""
        bases = {row.pk: review.Basis(row.calls, queue.find_latest(row)) for row in rows}
        return queue.sign_list(request, event, bases)

    def with_counts(self, rows: QuerySet[Conversation], reader: Account) -> QuerySet[Conversation]:
        if not may(reader, "lead"):
            return rows
        calls = Snapshot.objects.closed_of(OuterRef("pk"))
        return rows.annotate(calls=RowCount(calls.order_by().values("pk")))

    def select_columns(self, rows: QuerySet[Conversation]) -> QuerySet[Conversation]:
        models = (
            Snapshot.objects.filter(conversation=OuterRef("pk"))
            .order_by()
            .values_list("model")
            .distinct()[: MODELS + 1]
        )
        new = RowCount(calls_unseen("review__decision", conversation="pk").values("pk")[: NEW + 1])
        rows = rows.select_related("owner", "review__assignee", "review__decision").only(*COLUMNS)
        return rows.annotate(models=ArraySubquery(models), new=new, fit=fit_column())

    @admin.display(description="conversation")
    def name(self, conversation: Conversation) -> SafeString:
        note = "" if conversation.shown else REMOVED
        return format_html(
            '<a href="{}">{}</a>{}{}',
            conversation.url,  # type: ignore[attr-defined]
            visible(conversation.title or "Untitled"),
            note,
            show_snippet(conversation),
        )

    @admin.display(description=gettext_lazy("user"))
    def who(self, conversation: Conversation) -> SafeString:
        names: Names = conversation.names  # type: ignore[attr-defined]
        beneath = (names.claim(conversation), names.job_title(conversation.owner))
        return format_html(
            '{}<span class="gw-line gw-quiet">{}</span>',
            visible(names.person(conversation)),
            visible(", ".join(filter(None, beneath))),
        )

    @admin.display(description=gettext_lazy("started, last active"))
    def when(self, conversation: Conversation) -> SafeString:
        started = minute(conversation.started)
        if conversation.last == conversation.started:
            return started
        last = minute(conversation.last)
        return format_html('{}<span class="gw-line gw-quiet">{}</span>', started, last)

    @admin.display(description="turns")
    def count_of_turns(self, conversation: Conversation) -> str:
        return count(conversation.turns)

    @admin.display(description="models")
    def models_used(self, conversation: Conversation) -> SafeString | str:
        models = sorted(filter(None, conversation.models))  # type: ignore[attr-defined]
        lines = [visible(model) for model in models[:MODELS]]
        if len(models) > MODELS:
            lines.append(visible("and more"))
        return join_lines("gw-line", lines) or "–"

    @admin.display(description="tokens")
    def tokens(self, conversation: Conversation) -> str:
        return count(conversation.prompt_tokens + conversation.completion_tokens)

    @admin.display(description="cost")
    def price(self, conversation: Conversation) -> str:
        return dollars(conversation.cost)

    @admin.display(description="review")
    def reviewed(self, conversation: Conversation) -> SafeString:
        review, new = getattr(conversation, "review", None), conversation.new  # type: ignore[attr-defined]
        if review is None:
            return format_html('<span class="gw-quiet">{}</span>', "not reviewed")
        first, *others = describe_review(review)
        lines = join_lines("gw-line gw-quiet", others)
        if not new:
            return format_html("{}{}", first, lines)
        number = f"{NEW}+" if new > NEW else new
        mark = '{}{}<span class="gw-mark">{} new since the review</span>'
        return format_html(mark, first, lines, number)

    @admin.display(description=gettext_lazy("assigned to"))
    def assigned(self, conversation: Conversation) -> SafeString | str:
        review = getattr(conversation, "review", None)
        if review is None or review.free(timezone.now()):
            return "–"
        return visible(review.assignee.username)

    # One conversation -----------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        return [
            path(
                "<uuid:pk>/a/<int:file>",
                self.admin_site.admin_view(self.file_view),
                name="conversations_conversation_file",
            ),
            path(
                "<uuid:pk>/next/",
                self.admin_site.admin_view(self.next_view),
                name="conversations_conversation_next",
            ),
            *super().get_urls(),
        ]

    def select_page(
        self, request: HttpRequest, rows: QuerySet[Conversation]
    ) -> QuerySet[Conversation]:
        rows = rows.select_related("owner").annotate(fit=fit_column())
        rows = transcript.with_files(queue.with_review(request, rows))
        return hits.with_hits(request, rows)

    def show_row(self, request: HttpRequest, conversation: Conversation) -> HttpResponse:
        if conversation.is_one_call:
            call = reverse("admin:conversations_snapshot_change", args=[conversation.pk])
            return HttpResponseRedirect(f"{call}?{request.GET.urlencode()}")
        names = Names(request.user, about=conversation.pk)
        names.load([conversation])
        words = hits.read_words(request)
        place = transcript.Place(
            at=parse_uuid(request.GET.get("at", "")),
            call=parse_uuid(request.GET.get("call", "")),
            first=parse_number(request.GET.get("from", "")),
        )
        found = transcript.Found(words, getattr(conversation, "hits", ()))
        page = transcript.read(conversation, names, place, found)
        shown = page.describe() | {"decision": queue.find_latest(conversation)}
        event = audit.record(request, AuditEvent.Action.TRANSCRIPT, conversation, **shown)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Conversation",
            "conversation": conversation,
            "names": names,
            "tokens": conversation.prompt_tokens + conversation.completion_tokens,
            "transcript": page,
            "words": words,
            "query": hits.read_query(request),
            "laid_out": "laid_out" in request.GET,
            "review": queue.describe_panel(request, conversation, page, event),
            "assessments": None,
            "may_assess": settings.METADATA_CHECK,
            "readers": "",
            "preserved_filters": self.get_preserved_filters(request),
        }
        if may(request.user, "view_assessments"):
            page.mark_overtaken()
            context["assessments"] = page.assessments[:ASSESSMENTS]
        if may(request.user, "view_audit"):
            trail = reverse("admin:conversations_auditevent_changelist")
            context["readers"] = f"{trail}?about={conversation.id}"
        return TemplateResponse(request, "admin/conversations/transcript.html", context)

    def next_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Open the conversation after this one in the list that the page was opened from."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return hits.go_to_next(request, pk)

    def file_view(self, request: HttpRequest, pk: UUID, file: int) -> FileResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        attachment = Attachment.objects.filter(
            conversation__in=readable(request.user, Conversation.objects.filter(id=pk)), id=file
        ).first()
        if attachment is None:
            raise Http404
        audit.record(request, AuditEvent.Action.ATTACHMENT, attachment)
        return attachment_response.file_response(attachment)


def describe_review(review: Review) -> list[str]:
    """Say where a review stands: a word, then lines."""
    if review.state == Review.State.DECIDED:
        return [review.decision.get_disposition_display()]  # type: ignore[union-attr]
    lines = ["waiting", review.get_source_display()]
    if review.decision and review.source != Review.Source.ESCALATED:
        lines.append(
            _("previously: %(decision)s") % {"decision": review.decision.get_disposition_display()}
        )
    return lines


def join_lines(css_class: str, lines: list[Any]) -> SafeString:
    return format_html_join("", '<span class="{}">{}</span>', ((css_class, line) for line in lines))


def parse_number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else None
