"""Assessments of conversations by a model: which are due, and the answers of the calls for them.

The calls are evidence; an Assessment is a view of one, kept by the worker as it seals the call, and
made again from it by `rebuild`. What a model answered is untrusted text: only the fields of the
question are read, each of its type and within bounds, or none.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, Exists, Max, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils.crypto import salted_hmac

from .. import bounded_json, exact_json
from ..ids import first_id_of
from ..models import Assessment, Conversation, Snapshot, Unsealed
from ..record import threads
from ..shape import Json

LONGEST = 5000  # characters of a text
TEXTS = ("chat_summary", "description", "llm_deliverables", "languages")
NUMBERS = {  # and the most of each
    "satisfaction_score": 10,
    "user_seconds_saved": 10**7,
    "assistant_seconds_saved": 10**7,
    "assistant_wage": 10**5,
}
NAMES = (*TEXTS, *NUMBERS, "work_related")
PORTION = 500  # assessments that are held against their calls at a time


class Unsound(ValueError):
    """The model's answer is not an assessment."""


def read(answer: Any) -> Json:
    """Read the fields of an assessment in a model's reply, and no others.

    Raises Unsound where one is missing, of another type or out of bounds.
    """
    try:
        fields = bounded_json.parse(_unfenced(_text_of(answer)))
    except ValueError:
        raise Unsound from None
    if not isinstance(fields, dict) or not _is_sound(fields):
        raise Unsound
    return {
        name: fields[name].replace("\0", "\ufffd") if name in TEXTS else fields[name]
        for name in NAMES
    }


def _text_of(answer: Any) -> str:
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return ""
    message = choices[0].get("message")
    return threads.extract_text(message) if isinstance(message, dict) else ""


def _unfenced(text: str) -> str:
    """The text without the block of code that many models put around JSON."""
    text = text.strip()
    if not text.startswith("```"):
        return text
    return text.removeprefix("```json").removeprefix("```").removesuffix("```")


def _is_sound(fields: Json) -> bool:
    texts = all(
        isinstance(fields.get(name), str) and len(fields[name]) <= LONGEST for name in TEXTS
    )
    numbers = all(
        type(fields.get(name)) in (int, float) and 0 <= fields[name] <= most
        for name, most in NUMBERS.items()
    )
    return texts and numbers and type(fields.get("work_related")) is bool


# The view of the calls ------------------------------------------------------------------------


def store_assessments(calls: list[UUID]) -> None:
    """Store the assessments that newly sealed calls made. Idempotent."""
    Assessment.objects.bulk_create(
        _read_all(_answered().filter(id__in=calls)), ignore_conflicts=True
    )


def differences() -> Iterator[str]:
    """Yield each row that its call does not bear out, in words; so many calls at a time.

    A call may be sealed between the two readings: what differs is read once more.
    """
    after = UUID(int=0)
    while True:
        kept = Assessment.objects.filter(call__gt=after).order_by("call")
        part = list(kept[:PORTION])
        until = part[-1].call_id if len(part) == PORTION else UUID(int=2**128 - 1)
        calls = _sealed().filter(id__gt=after, id__lte=until)
        if differing := set(_compare(part, _read_all(calls))):
            again = Assessment.objects.filter(call__in=differing)
            for call in _compare(again, _read_all(_sealed().filter(id__in=differing))):
                yield f"assessment by call {call}"
        if len(part) < PORTION:
            return
        after = until


def _compare(kept: Iterable[Assessment], made: Iterable[Assessment]) -> Iterator[UUID]:
    """Yield the call of each that is kept otherwise than it is made, or one of both alone."""
    rows = {row.call_id: row for row in kept}
    fields = [field.attname for field in Assessment._meta.concrete_fields]

    def values(row: Assessment | None) -> list[Any]:
        return [getattr(row, field) for field in fields] if row else []

    for row in made:
        if values(rows.pop(row.call_id, None)) != values(row):
            yield row.call_id
    yield from rows


def rebuild() -> None:
    """Make all assessments again, from the calls alone."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE conversations_assessment IN SHARE ROW EXCLUSIVE MODE")
        Assessment.objects.all().delete()
        Assessment.objects.bulk_create(_read_all(_sealed()), batch_size=500)


def _answered() -> QuerySet[Snapshot]:
    chats = Snapshot.objects.filter(
        conversation=OuterRef("about"), kind=Snapshot.Kind.CHAT, closed__lte=OuterRef("opened")
    )
    calls = Snapshot.objects.filter(
        kind=Snapshot.Kind.METADATA, status=Snapshot.Status.OK, about__isnull=False
    )
    return calls.annotate(newest=Subquery(chats.order_by("-id").values("id")[:1])).order_by("id")


def _sealed() -> QuerySet[Snapshot]:
    return _answered().exclude(Exists(Unsealed.objects.filter(subject=OuterRef("id"))))


def _read_all(calls: QuerySet[Snapshot]) -> Iterator[Assessment]:
    columns = ("about", "owner", "response", "model", "served_model", "closed")
    for call in calls.only(*columns).iterator(chunk_size=500):
        try:
            fields = read(exact_json.loads(call.response or "{}"))
        except Unsound:
            continue
        assert call.about_id
        assert call.closed
        yield Assessment(
            call=call,
            conversation_id=call.about_id,
            owner_id=call.owner_id,
            newest=call.newest,  # type: ignore[attr-defined]
            made=call.closed,
            model=call.served_model or call.model,
            **fields,
        )


# What is due ----------------------------------------------------------------------------------


def due(conversation: Conversation) -> bool:
    """Whether a call was answered that no call for an assessment took account of."""
    return conversation.pk in _find_due([conversation.pk])


def _find_due(conversations: Iterable[UUID]) -> set[UUID]:
    """Find those of which more calls are answered than were at their latest assessment.

    Answered calls only become more, so that their number stands for the set of them: the order of
    ids and of times is not the order in which closes are committed.
    """
    chats = answered_calls().filter(conversation__in=conversations).order_by()
    answered = dict(chats.values_list("conversation").annotate(Count("pk")))
    calls = with_covers(Snapshot.objects.filter(about__in=answered)).order_by()
    covered = dict(calls.values_list("about").annotate(Max("covered")))
    return {each for each, count in answered.items() if count > covered.get(each, 0)}


def answered_calls() -> QuerySet[Snapshot]:
    """Select what assessments are about."""
    return Snapshot.objects.filter(kind=Snapshot.Kind.CHAT, status=Snapshot.Status.OK)


def with_covers(calls: QuerySet[Snapshot]) -> QuerySet[Snapshot]:
    """Select the calls for assessments, with the number of answered calls that each `covered`.

    Those of older versions do not say: of them, what was closed when they were opened.
    """
    then = answered_calls().filter(conversation=OuterRef("about"), closed__lte=OuterRef("opened"))
    counted = Subquery(then.order_by().values("conversation").values(number=Count("pk")))
    return calls.filter(kind=Snapshot.Kind.METADATA).annotate(
        covered=Coalesce("covers", counted, 0)
    )


def sample(day: date, percent: float, most: int) -> list[UUID]:
    """Draw a percentage of the conversations that went on that day (UTC) and are due.

    At most `most`. The same day draws the same.
    """
    chats = answered_calls().filter(
        id__gte=first_id_of(day, UTC),
        id__lt=first_id_of(day + timedelta(days=1), UTC),
        conversation__isnull=False,
    )
    went_on = chats.order_by().values_list("conversation", flat=True).distinct()
    lots = {conversation: _lot(f"{day} {conversation}") for conversation in went_on}
    drawn = [each for each, lot in lots.items() if lot * 100 < percent * 2**64]
    drawn.sort(key=lots.__getitem__)
    are_due = _find_due(drawn)
    return [each for each in drawn if each in are_due][:most]


def _lot(text: str) -> int:
    """A number below 2⁶⁴ that only this gateway can tell."""
    digest = salted_hmac("conversations.assessments", text, algorithm="sha256").digest()
    return int.from_bytes(digest[:8])
