"""Evidence stays as it is: the database refuses, or verify names the row."""

from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from conversations.models import (
    Attachment,
    AuditEvent,
    Conversation,
    Decision,
    Message,
    Seal,
    Snapshot,
    Unsealed,
    Verification,
)
from conversations.people import audit
from conversations.proof import checkpoints, sealing
from conversations.proof.verification import verify
from conversations.tests.calls import ask, person, user
from conversations.tests.unguarded import unguarded
from conversations.tests.verify.findings import found

pytestmark = pytest.mark.django_db


# The database refuses -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [Message, Snapshot, Decision, AuditEvent, Seal, Attachment],
    ids=lambda model: model.__name__,
)
def test_the_database_refuses_to_change_or_delete_evidence(calls, model):
    if model is Attachment:
        Attachment.objects.create(
            conversation=calls[0].conversation, sha256=b"x" * 32, size=1, media_type="text/plain"
        )
    table, before = model._meta.db_table, list(model.objects.order_by("pk").values())
    assert before
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    for sql in (
        f"UPDATE {table} SET {model._meta.pk.column} = {model._meta.pk.column}",
        f"DELETE FROM {table}",
        f"TRUNCATE {table} CASCADE",
    ):
        with (
            pytest.raises(IntegrityError, match="is refused: evidence stays as it is"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(sql)
    assert list(model.objects.order_by("pk").values()) == before


def test_a_pending_call_may_be_closed_and_stopped_but_not_deleted():
    call = ask(person(), [user("hi")])
    Snapshot.objects.update(stop=True)
    with pytest.raises(IntegrityError), transaction.atomic():
        Snapshot.objects.filter(id=call.id).delete()


def test_leave_to_erase_ends_with_its_transaction(calls):
    with unguarded():
        Message.objects.filter(text="question 0").update(text="")
    with pytest.raises(IntegrityError), transaction.atomic():
        Message.objects.filter(text="question 1").update(text="")


# Where it does not, verify finds it ---------------------------------------------------------------


def test_what_nobody_touched_is_whole(calls):
    result = verify()
    assert (result.problem, result.seals) == ("", 6)
    assert Verification.objects.latest() == result


def test_the_command_names_the_row_and_fails(calls):
    said = StringIO()
    call_command("verify", stdout=said)
    assert said.getvalue().startswith("The record is whole: 6 seals hold (")
    assert checkpoints.derive_public_key() in said.getvalue()
    with unguarded():
        Snapshot.objects.filter(id=calls[1].id).update(model="other")
    with pytest.raises(
        CommandError, match=f"The snapshot {calls[1].id} .seal 2. .* was changed"
    ) as problem:
        call_command("verify", stdout=said)
    assert problem.value.returncode == 1
    assert (Verification.objects.latest().seals, Verification.objects.count()) == (1, 2)


def test_a_deleted_row_is_found(calls):
    event = AuditEvent.objects.order_by("id").first()
    with unguarded():
        AuditEvent.objects.filter(pk=event.pk).delete()
    assert found() == f"The auditevent {event.pk} (seal 4) is gone."


def test_a_deleted_message_is_found(calls):
    with unguarded(), transaction.atomic():
        reply = Message.objects.get(text="answer 2")
        Snapshot.objects.filter(id=calls[2].id).update(reply=None)
        reply.delete()
    assert f"snapshot {calls[2].id} (seal 3)" in found()


def test_a_message_that_was_put_in_is_found(calls):
    fields = {
        "conversation": calls[0].conversation,
        "snapshot": calls[0],
        "depth": 0,
        "role": "user",
        "origin": "sent",
        "path_hash": b"x",
    }
    forged = Message.objects.create(id=uuid4(), text="forged", **fields)
    assert f"snapshot {calls[0].id} (seal 1)" in found()
    other = Conversation.objects.create(
        owner=calls[0].owner, started=calls[0].opened, last=calls[0].opened
    )
    with unguarded():
        Message.objects.filter(id=forged.id).update(conversation=other)
    assert (
        found()
        == f"The message {forged.id} belongs to no call of its conversation: it was put in, or "
        "its call was taken away."
    )


def test_seals_that_change_places_are_found(calls):
    with unguarded():
        for number, to in ((2, 100), (3, 2), (100, 3)):
            Seal.objects.filter(number=number).update(number=to)
    assert "(seal 2) does not follow from the one before" in found()


def test_a_seal_that_is_missing_is_found(calls):
    with unguarded():
        Seal.objects.filter(number=3).delete()
    assert found() == "Seal 3 is missing: after 2 comes 4."


@pytest.mark.parametrize("field", ["digest", "link", "kind", "subject", "sealed"])
def test_a_changed_seal_is_found(calls, field):
    seal = Seal.objects.get(number=3)
    value = {
        "kind": "decision",
        "subject": uuid4(),
        "sealed": seal.entry.sealed[:-9] + "1+00:00",
    }.get(field, b"x" * 32)
    with unguarded():
        Seal.objects.filter(number=3).update(**{field: value})
    assert "(seal 3) does not follow from the one before" in found()


def test_evidence_that_slipped_past_the_seals_is_found(calls):
    event = audit.record(person("rita"), AuditEvent.Action.LIST)
    assert found() == ""
    Unsealed.objects.all().delete()
    assert (
        found()
        == f"The auditevent {event.pk} has no seal and waits for none: it was put in, or its seal "
        "was taken away."
    )


def test_a_row_that_went_before_its_seal_holds_nothing_up(calls):
    event = audit.record(person("rita"), AuditEvent.Action.LIST)
    with unguarded():
        AuditEvent.objects.filter(pk=event.pk).delete()
    assert sealing.seal() == 1
    assert found() == f"The auditevent {event.pk} (seal 7) is gone."
