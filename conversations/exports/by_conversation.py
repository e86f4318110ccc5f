"""CSV with a row a conversation: its figures over all calls up to the seal at which the export is frozen, and what was decided about it."""

from collections.abc import Iterator
from uuid import UUID

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Count, Exists, Max, Min, OuterRef, Q, Sum

from ..models import Conversation, Decision, Seal, Snapshot
from .calls import SCHEMA_VERSION, Table, text
from .selection import Stretch
from .table import csv_line

SUMS = {
    "first": Min("opened"),
    "newest": Max("closed"),
    "calls": Count("id"),
    "failures": Count("id", filter=~Q(status=Snapshot.Status.OK)),
    "replies": Count("reply"),
    "prompts": Sum("prompt_tokens", default=0),
    "completions": Sum("completion_tokens", default=0),
    "costs": Sum("cost", default=0),
    "models": ArrayAgg("model", distinct=True),
}
MODELS = 20  # of one conversation that are named


class ConversationsFormat(Table):
    name, label = "conversations", "CSV by conversation"
    says = "One row a conversation: who, when, how many calls, tokens and cost, and the newest decision."
    stem, conversations = "conversations", True
    columns = (
        "conversation",
        "title",
        "user_name",
        "job_title",
        "department",
        "first_opened",
        "last_closed",
        "shown",
        "calls",
        "failures",
        "replies",
        "prompt_tokens",
        "completion_tokens",
        "cost_usd",
        "models",
        "disposition",
        "decided",
        "schema_version",
    )

    def rows(self, stretch: Stretch, last: int) -> Iterator[bytes]:
        found = Conversation.objects.select_related("owner").in_bulk(list(stretch.seals))
        figures = _figures(list(stretch.seals), last)
        newest = (
            Decision.objects.filter(conversation__in=stretch.seals)
            .order_by("conversation", "-id")
            .distinct("conversation")
        )
        decided = {decision.conversation_id: decision for decision in newest}
        for id in stretch.seals:
            conversation, (first, closed, *sums, models) = found[id], figures[id]
            who = self.person(conversation.owner)
            decision = decided.get(id)
            said = (decision.disposition, text(decision.made)) if decision else ("", "")
            yield csv_line(
                (
                    str(id),
                    conversation.title,
                    *who,
                    *map(text, (first, closed, conversation.shown, *sums)),
                    _listed(models),
                    *said,
                    SCHEMA_VERSION,
                )
            )


def _figures(conversations: list[UUID], last: int) -> dict[UUID, list]:
    sealed = Exists(Seal.objects.filter(subject=OuterRef("pk"), number__lte=last))
    summed = (
        Snapshot.objects.filter(sealed, conversation__in=conversations)
        .order_by()
        .values_list("conversation")
    )
    return {id: figures for id, *figures in summed.annotate(**SUMS)}


def _listed(models: list[str]) -> str:
    return "; ".join(models[:MODELS]) + ("; …" if len(models) > MODELS else "")
