"""Conversations: a list, and the transcript of each."""

from uuid import UUID

from django.conf import settings
from django.contrib import admin
from django.contrib.postgres.expressions import ArraySubquery
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from ..figures import count, dollars
from ..models import Attachment, AuditEvent, Conversation, Review, Snapshot
from ..models.review import calls_since
from ..people import audit
from ..people.access import may, readable
from ..people.identity import Names
from ..reading import attachment_response
from ..search.filters import ConversationFilter
from ..templatetags.review import minute, visible
from . import queue, transcript
from .changelist import Count, Log

MODELS = 3  # of a conversation, in the list
NEW = 99  # calls since a decision that are counted
ASSESSMENTS = 10  # of one conversation, beside it


@admin.register(Conversation)
class ConversationAdmin(Log):
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
    list_display_links = ("name",)
    filter_form = ConversationFilter
    exported = "conversations"
    rows_of_csv = "one row a call of these conversations"
    with_calls = "with calls"

    def filtered(self, chosen: ConversationFilter) -> QuerySet[Conversation]:
        return chosen.conversations()

    def calls(self, chosen: ConversationFilter) -> QuerySet[Snapshot]:
        return chosen.calls_of_conversations()

    def columns(self, rows: QuerySet[Conversation]) -> QuerySet[Conversation]:
        mine = (
            "title",
            "shown",
            "started",
            "last",
            "turns",
            "prompt_tokens",
            "completion_tokens",
            "cost",
        )
        models = (
            Snapshot.objects.filter(conversation=OuterRef("pk"))
            .order_by()
            .values_list("model")
            .distinct()[: MODELS + 1]
        )
        owners = ("owner__username", "owner__department", "owner__job_title")
        review = (
            "review__state",
            "review__source",
            "review__lease",
            "review__assignee__username",
            "review__decision__disposition",
        )
        new = Count(calls_since("review__decision__newest", of="pk").values("pk")[: NEW + 1])
        rows = rows.select_related("owner", "review__assignee", "review__decision").only(
            *mine, *owners, *review
        )
        return rows.annotate(models=ArraySubquery(models), new=new)

    @admin.display(description="conversation")
    def name(self, conversation: Conversation) -> SafeString:
        removed = (
            ""
            if conversation.shown
            else format_html(' <span class="gw-note">removed by its owner</span>')
        )
        return format_html("{}{}", visible(conversation.title or "Untitled"), removed)

    @admin.display(description="who")
    def who(self, conversation: Conversation) -> SafeString:
        names: Names = conversation.names  # type: ignore[attr-defined]
        owner = conversation.owner
        return format_html(
            '{}<span class="gw-line gw-quiet">{}</span>',
            visible(names.name(owner)),
            visible(names.job_title(owner)),
        )

    @admin.display(description="began, and last")
    def when(self, conversation: Conversation) -> SafeString:
        last = (
            format_html('<span class="gw-line gw-quiet">{}</span>', minute(conversation.last))
            if conversation.last != conversation.started
            else ""
        )
        return format_html("{}{}", minute(conversation.started), last)

    @admin.display(description="turns")
    def count_of_turns(self, conversation: Conversation) -> str:
        return count(conversation.turns)

    @admin.display(description="models")
    def models_used(self, conversation: Conversation) -> SafeString | str:
        models = sorted(filter(None, conversation.models))  # type: ignore[attr-defined]
        lines = [visible(model) for model in models[:MODELS]] + ["and more"] * (
            len(models) > MODELS
        )
        return (
            format_html_join("", '<span class="gw-line">{}</span>', ((line,) for line in lines))
            if lines
            else "–"
        )

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
        said = (
            [review.decision.get_disposition_display()]
            if review.state == Review.State.DECIDED
            else ["waiting", review.get_source_display()]
        )
        if (
            review.decision
            and review.state == Review.State.WAITING
            and review.source != Review.Source.ESCALATED
        ):
            said.append(f"was: {review.decision.get_disposition_display()}")
        lines = format_html_join(
            "", '<span class="gw-line gw-quiet">{}</span>', ((line,) for line in said[1:])
        )
        mark = (
            format_html(
                '<span class="gw-mark">{} new since the review</span>',
                f"{NEW}+" if new > NEW else new,
            )
            if new
            else ""
        )
        return format_html("{}{}{}", said[0], lines, mark)

    @admin.display(description="with")
    def assigned(self, conversation: Conversation) -> SafeString | str:
        review = getattr(conversation, "review", None)
        return (
            "–"
            if review is None or review.free(timezone.now())
            else visible(review.assignee.username)
        )

    # One conversation -----------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        return [
            path(
                "<uuid:id>/a/<int:file>",
                self.admin_site.admin_view(self.file_view),
                name="conversations_conversation_file",
            ),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Conversation]:
        return transcript.with_files(
            queue.beside(
                request,
                readable(request.user, super().get_queryset(request)).select_related("owner"),
            )
        )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context=None
    ) -> HttpResponse:
        if not self.has_view_permission(request) or request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        conversation = self.get_object(request, object_id)
        if conversation is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined]
        asked, names = request.GET.get("from", ""), Names(request.user, about=conversation.pk)
        first = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 9 else None
        read = transcript.read(
            conversation, names, at=_id(request, "at"), call=_id(request, "call"), first=first
        )
        audit.record(
            request,
            AuditEvent.Action.TRANSCRIPT,
            conversation,
            at=read.at,
            first=read.first,
            length=read.length,
        )
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Conversation",
            "conversation": conversation,
            "names": names,
            "tokens": conversation.prompt_tokens + conversation.completion_tokens,
            "transcript": read,
            "review": queue.panel(request, conversation, read.newest),
            "assessments": read.asked_about_it[:ASSESSMENTS]
            if may(request.user, "view_assessments")
            else None,
            "may_assess": settings.METADATA_CHECK,
            "readers": f"{reverse('admin:conversations_auditevent_changelist')}?about={conversation.id}"
            if may(request.user, "view_audit")
            else "",
            "preserved_filters": self.get_preserved_filters(request),
        }
        return TemplateResponse(request, "admin/conversations/transcript.html", context)

    def file_view(self, request: HttpRequest, id: UUID, file: int) -> FileResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        attachment = Attachment.objects.filter(
            conversation__in=readable(request.user, Conversation.objects.filter(id=id)), id=file
        ).first()
        if attachment is None:
            raise Http404
        audit.record(request, AuditEvent.Action.ATTACHMENT, attachment)
        return attachment_response.file_response(attachment)


def _id(request: HttpRequest, name: str) -> UUID | None:
    try:
        return UUID(request.GET.get(name, ""))
    except ValueError:
        return None
