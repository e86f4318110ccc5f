"""CSV with a row a conversation: its figures, and what was decided about it.

The figures are over all calls up to the seal at which the export is frozen.
"""

from collections.abc import Iterator
from uuid import UUID

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Count, Exists, Max, Min, OuterRef, Q, Sum
from django.utils.translation import gettext_lazy as _

from ..models import Conversation, Decision, Seal, Snapshot
from .calls import SCHEMA_VERSION, CsvFormat, as_text
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


class ConversationsFormat(CsvFormat):
    name, label = "conversations", _("CSV by conversation")
    description = _(
        "One row per conversation: who, when, how many calls, tokens and cost, and the newest"
        " decision."
    )
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
        "end_user",
        "schema_version",
    )

    def rows(self, stretch: Stretch, last: int) -> Iterator[bytes]:
        conversations = Conversation.objects.select_related("owner").in_bulk(list(stretch.seals))
        figures = _figures(list(stretch.seals), last)
        newest = (
            Decision.objects.filter(conversation__in=stretch.seals)
            .order_by("conversation", "-id")
            .distinct("conversation")
        )
        self.names.load(conversations.values())
        decisions = {decision.conversation_id: decision for decision in newest}
        for root in stretch.seals:
            conversation, decision = conversations[root], decisions.get(root)
            *sums, models = figures[root]
            yield csv_line(
                (
                    str(root),
                    conversation.title,
                    *self.person(conversation.owner),
                    *map(as_text, (*sums[:2], conversation.shown, *sums[2:])),
                    _list_models(models),
                    decision.disposition if decision else "",
                    as_text(decision.made) if decision else "",
                    self.names.end_user(conversation),
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
    return {conversation: figures for conversation, *figures in summed.annotate(**SUMS)}


def _list_models(models: list[str]) -> str:
    more = ["…"] if len(models) > MODELS else []
    return "; ".join([*models[:MODELS], *more])
