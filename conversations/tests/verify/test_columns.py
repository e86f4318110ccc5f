"""What a seal is over: every column of its row, and older seals for good."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.postgres.fields import ArrayField
from django.db import connection, models, transaction

from conversations.models import (
    AuditEvent,
    Case,
    CaseEntry,
    Conversation,
    Decision,
    Message,
    Seal,
    Snapshot,
    User,
)
from conversations.proof import checkpoints, sealing
from conversations.proof.verification import verify
from conversations.tests.calls import person, turn, user
from conversations.tests.unguarded import unguarded
from conversations.tests.verify.findings import found

pytestmark = pytest.mark.django_db

SEALED = (Snapshot, Message, Decision, AuditEvent, Case, CaseEntry)
AT = datetime(2026, 1, 31, 12, 0, 0, 123456, UTC)


def fields(model: type[models.Model]) -> dict[str, models.Field]:
    return {field.name: field for field in model._meta.concrete_fields}


def sealed_names(model: type[models.Model]) -> list[str]:
    return [*sealing.SEALED[model].split(), *sealing.LATER.get(model, {})]


@pytest.mark.parametrize("model", SEALED)
def test_a_column_is_sealed_or_left_out_by_name(model):
    """A new column fails here, until it is one or the other."""
    names = sealed_names(model) + list(sealing.LEFT_OUT.get(model, ()))
    assert sorted(names) == sorted(fields(model))


@pytest.fixture
def evidence(calls) -> None:
    """A sealed row of each kind."""
    rita = person("rita")
    case = Case.objects.create(name="Larch", purpose="prices", made_by=rita)
    CaseEntry.objects.create(
        case=case, author=rita, kind="linked", conversation=calls[0].conversation
    )
    sealing.seal()


# Another value of a column, by the first kind that fits.
OTHERS: list[tuple[type[models.Field], Callable[[Any], Any]]] = [
    (models.UUIDField, lambda value: uuid4()),
    (models.BooleanField, lambda value: not value),
    (models.DecimalField, lambda value: (value or 0) + Decimal("0.00000001")),
    (models.IntegerField, lambda value: (value or 0) + 1_000_000),
    (models.DateTimeField, lambda value: (value or AT) + timedelta(microseconds=1)),
    (models.DateField, lambda value: (value or AT.date()) + timedelta(days=1)),
    (models.BinaryField, lambda value: bytes(value or b"") + b"x"),
    (models.GenericIPAddressField, lambda value: "192.0.2.9"),
    (ArrayField, lambda value: [*(value or []), uuid4()]),
    (models.Field, lambda value: f"{value or ''}x"),
]


def other(field: models.Field, value: Any) -> Any:
    """Another value that the column takes."""
    if isinstance(field, models.ForeignKey):
        field = field.target_field
    return next(make(value) for kind, make in OTHERS if isinstance(field, kind))


def drop_checks(model: type[models.Model]) -> None:
    """Drop what the database itself would refuse: its owner can."""
    connection.check_constraints()  # a table with rows that wait for theirs is not altered
    with connection.schema_editor() as editor:
        for constraint in model._meta.constraints:
            if isinstance(constraint, models.CheckConstraint):
                editor.remove_constraint(model, constraint)


@pytest.mark.parametrize("model", SEALED)
def test_a_changed_column_is_found(evidence, model):
    """By the whole value, and by its loss where it may be lost."""
    row = model.objects.order_by("pk").first()
    subject = row.snapshot_id if model is Message else row.pk
    seal = Seal.objects.get(subject=subject)
    for name in sealed_names(model):
        field = fields(model)[name]
        values = [other(field, getattr(row, field.attname))]
        if field.null and getattr(row, field.attname) is not None:
            values.append(None)
        for value in values:
            with transaction.atomic():
                with unguarded():
                    drop_checks(model)
                    assert model.objects.filter(pk=row.pk).update(**{field.attname: value})
                assert f"{seal.kind} {subject} (seal {seal.number})" in found(), (name, value)
                transaction.set_rollback(True)
    assert found() == ""


def test_columns_that_came_later_are_sealed_where_they_say_something():
    about = turn(person("alice"), [user("hi")], "Hello!").conversation
    ids = []
    for later in (
        {"about_id": about.id},
        {"cost_source": "list"},
        {"cost_source": ""},
        {"covers": 2},
        {"about_id": about.id, "cost_source": "list"},
    ):
        call = turn(person("alice"), [user("hi")], "Hello!")
        with unguarded():
            Snapshot.objects.filter(id=call.id).update(**later)
        ids.append(call.id)
    sealing.seal()
    assert checkpoints.write_checkpoint()
    assert verify().problem == ""
    for call in ids:
        for change in (
            {"about_id": None},
            {"about_id": uuid4()},
            {"cost_source": ""},
            {"cost_source": "provider"},
            {"about_id": None, "cost_source": "estimate"},
            {"covers": None},
            {"covers": 7},
        ):
            row = Snapshot.objects.get(id=call)
            if all(getattr(row, name) == value for name, value in change.items()):
                continue
            with transaction.atomic():
                with unguarded():
                    Snapshot.objects.filter(id=call).update(**change)
                assert f"snapshot {call} " in found(), change
                transaction.set_rollback(True)


def old_row(number: int, **more: Any) -> Snapshot:
    """A closed call as they were before there were later columns, of a cast with ids of its own."""
    owner, _ = User.objects.get_or_create(id=4711, defaults={"username": "old", "password": "!"})
    conversation, _ = Conversation.objects.get_or_create(
        id=UUID(int=1), defaults={"owner": owner, "started": AT, "last": AT}
    )
    head, _ = Message.objects.get_or_create(
        id=UUID(int=2),
        defaults={
            "conversation": conversation,
            "snapshot_id": UUID(int=100 + number),
            "depth": 0,
            "role": "user",
            "text": 'hé"\\\n',
            "origin": "sent",
            "path_hash": b"hash",
        },
    )
    values = {
        "id": UUID(int=100 + number),
        "conversation": conversation,
        "owner": owner,
        "kind": "chat",
        "status": "ok",
        "model": "gpt-4o",
        "params": "{}",
        "head": head,
        "commitment": b"commitment",
        "prompt_tokens": 3,
        "cost": Decimal("0.00012345"),
        "address": "2001:db8::1",
        "user_agent": "curl",
        "opened": AT,
        "closed": AT + timedelta(seconds=1),
    }
    return Snapshot.objects.create(**values | more)


def test_the_text_of_an_old_row_is_what_it_was_when_it_was_sealed():
    """Digests that an earlier version wrote: a change here makes all their seals invalid."""
    plain, about = old_row(1), old_row(2, about_id=UUID(int=1), conversation=None, head=None)
    digests = sealing.read_digests([("snapshot", plain.id), ("snapshot", about.id)])
    assert {name: digest.hex() for name, digest in digests.items()} == {
        str(plain.id): "d3ed8c8daad63e250cb2400f9ca9b74ee43420ec7166655e2c5cc2faf65221b6",
        str(about.id): "b9203e56adaecd2ec94ed47493baf7cba2bb81c1877000daeeead6e7326dfea4",
    }


def old_decision(**more: Any) -> Decision:
    row = old_row(1)
    values = {
        "id": UUID(int=200),
        "conversation": row.conversation,
        "reviewer": row.owner,
        "disposition": "violation",
        "reason": 'h\u00e9"\\',
        "note": "",
        "made": AT,
        "newest": row.id,
    }
    return Decision.objects.create(**values | more)


def test_the_text_of_an_old_decision_is_what_it_was_when_it_was_sealed():
    decision = old_decision()
    text = (
        '["00000000-0000-0000-0000-0000000000c8", "00000000-0000-0000-0000-000000000001", 4711, '
        '"violation", "h\u00e9\\"\\\\", "", "2026-01-31T12:00:00.123456", '
        '"00000000-0000-0000-0000-000000000065"]'
    )
    assert sealing.read_texts([("decision", decision.id)]) == {decision.id: text}


WHOLE = {
    "seen": [UUID(int=101)],
    "page": UUID(int=300),
    "pages": [UUID(int=300), UUID(int=301)],
    "shown": 1,
    "messages": 2,
    "opened": 1,
    "branches": 1,
    "uncovered": [UUID(int=2)],
    "addressee_id": 4711,
    "until": AT.date(),
    "seconds": 7,
    "length": 2_000,
    "drawn": False,
    "second_of_id": UUID(int=200),
}


def test_each_column_of_a_decision_that_says_all_is_sealed():
    decision = old_decision(**WHOLE)
    assert [*WHOLE] == [fields(Decision)[name].attname for name in sealing.LATER[Decision]], (
        "an order that stays"
    )
    [text] = sealing.read_texts([("decision", decision.id)]).values()
    for name, value in WHOLE.items():
        changed = other(fields(Decision)[name.removesuffix("_id")], value)
        for each in (changed, None):
            with transaction.atomic():
                with unguarded():
                    Decision.objects.filter(pk=decision.pk).update(**{name: each})
                assert sealing.read_texts([("decision", decision.id)]) != {decision.id: text}, name
                transaction.set_rollback(True)
