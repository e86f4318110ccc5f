"""Assessments of conversations by a model: which are due, and what the calls that asked for them came to.

The calls are evidence; an Assessment is a view of one, kept by the worker as it seals the call, and made again from it by `rebuild`. What a
model answered is somebody's text: only the fields that were asked for are read, each of its type and within bounds, or none.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import orjson
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.utils.crypto import salted_hmac

from ..models import Assessment, Conversation, Snapshot, Unsealed
from ..record import threads
from ..shape import Json
from .figures import first_id

LONGEST = 5000  # characters of a text
TEXTS = ("chat_summary", "description", "llm_deliverables", "languages")
NUMBERS = {
    "satisfaction_score": 10,
    "user_seconds_saved": 10**7,
    "assistant_seconds_saved": 10**7,
    "assistant_wage": 10**5,
}  # and the most of each
NAMES = (*TEXTS, *NUMBERS, "work_related")


class Unsound(ValueError):
    """The model answered something else than it was asked for."""


def read(answer: Any) -> Json:
    """The fields in a model's reply, and no others. Raises Unsound where one is missing, of another type or out of bounds."""
    choices = answer.get("choices") if isinstance(answer, dict) else None
    message = (
        choices[0].get("message")
        if isinstance(choices, list) and choices and isinstance(choices[0], dict)
        else None
    )
    try:
        found = orjson.loads(
            _unfenced(threads.plain_text(message) if isinstance(message, dict) else "")
        )
    except orjson.JSONDecodeError:
        raise Unsound from None
    if not isinstance(found, dict) or not _sound(found):
        raise Unsound
    return {
        name: found[name].replace("\0", "\ufffd") if name in TEXTS else found[name]
        for name in NAMES
    }


def _unfenced(text: str) -> str:
    """Many models put JSON into a block of code, whatever they are told."""
    text = text.strip()
    return (
        text.removeprefix("```json").removeprefix("```").removesuffix("```")
        if text.startswith("```")
        else text
    )


def _sound(found: Json) -> bool:
    texts = all(isinstance(found.get(name), str) and len(found[name]) <= LONGEST for name in TEXTS)
    numbers = all(
        type(found.get(name)) in (int, float) and 0 <= found[name] <= most
        for name, most in NUMBERS.items()
    )
    return texts and numbers and type(found.get("work_related")) is bool


# The view of the calls ------------------------------------------------------------------------------------------


def store_assessments(calls: list[UUID]) -> None:
    """What newly sealed calls came to. Twice is as once."""
    Assessment.objects.bulk_create(_made(_answered().filter(id__in=calls)), ignore_conflicts=True)


def differences() -> list[str]:
    """Each row that its call does not bear out, in words."""
    kept = {row.call_id: row for row in Assessment.objects.all()}
    made = {row.call_id: row for row in _made(_sealed())}
    fields = [field.attname for field in Assessment._meta.concrete_fields]

    def values(row: Assessment | None) -> list:
        return [getattr(row, field) for field in fields] if row else []

    return [
        f"assessment by call {id}"
        for id in sorted(kept.keys() | made.keys())
        if values(kept.get(id)) != values(made.get(id))
    ]


def rebuild() -> None:
    """From the calls alone."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE conversations_assessment IN SHARE ROW EXCLUSIVE MODE")
        Assessment.objects.all().delete()
        Assessment.objects.bulk_create(_made(_sealed()), batch_size=500)


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


def _made(calls: QuerySet[Snapshot]) -> Iterator[Assessment]:
    for call in calls.only(
        "about", "owner", "response", "model", "served_model", "closed"
    ).iterator(chunk_size=500):
        try:
            said = read(orjson.loads(call.response or "{}"))
        except Unsound:
            continue
        assert call.about_id
        assert call.closed
        whose = {"conversation_id": call.about_id, "owner_id": call.owner_id, "newest": call.newest}  # type: ignore[attr-defined]
        yield Assessment(
            call=call, made=call.closed, model=call.served_model or call.model, **whose, **said
        )


# What is due ----------------------------------------------------------------------------------------------------


def due(conversation: Conversation) -> bool:
    """Whether something was answered since a model was last asked about it, however that ended."""
    newest = (
        conversation.snapshots.filter(kind=Snapshot.Kind.CHAT, status=Snapshot.Status.OK)
        .order_by("-id")
        .values_list("id", flat=True)
        .first()
    )
    return (
        newest is not None
        and not conversation.calls_about.filter(kind=Snapshot.Kind.METADATA, id__gt=newest).exists()
    )


def sample(day: date, percent: float, most: int) -> list[UUID]:
    """So many of a hundred conversations that were answered on that day (UTC) and are due, at most `most`. The same day draws the same."""
    chats = Snapshot.objects.filter(
        id__gte=first_id(day),
        id__lt=first_id(day + timedelta(days=1)),
        kind=Snapshot.Kind.CHAT,
        status=Snapshot.Status.OK,
        conversation__isnull=False,
    )
    newest = dict(
        chats.order_by("conversation_id", "-id")
        .distinct("conversation_id")
        .values_list("conversation_id", "id")
    )
    lots = {
        id: int.from_bytes(
            salted_hmac("conversations.assessments", f"{day} {id}", algorithm="sha256").digest()[:8]
        )
        for id in newest
    }
    drawn = sorted(
        (id for id, lot in lots.items() if lot * 100 < percent * 2**64), key=lots.__getitem__
    )
    asked = Snapshot.objects.filter(about__in=drawn, kind=Snapshot.Kind.METADATA).values_list(
        "about", "id"
    )
    done = {about for about, id in asked if id > newest[about]}
    return [id for id in drawn if id not in done][:most]
