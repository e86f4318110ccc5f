"""What an intruder does to a sealed record.

Each has the tables as their owner has them. `call` is the first of a conversation of three, seals
1 to 3; 4 and 6 are audit events, 5 a decision; 7 is a call with a file.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.utils import timezone

from conversations import record
from conversations.models import (
    Assessment,
    Attachment,
    AuditEvent,
    Conversation,
    Decision,
    Message,
    Review,
    Seal,
    SigningKey,
    Snapshot,
    Unsealed,
)
from conversations.people import audit
from conversations.proof import checkpoints, sealing
from conversations.record import attachments
from conversations.report import assessments
from conversations.tests.calls import ask, person, user
from conversations.tests.unguarded import unguarded

PDF = b"%PDF-" + 3000 * b"x"
AGO = timedelta(days=25)
Attack = Callable[[Snapshot], object]


def run_sql(*statements: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # nothing is left to be checked
        for statement in statements:
            cursor.execute(statement)


def sql(*statements: str) -> Attack:
    return lambda call: run_sql(*statements)


def update(model: type, /, **fields: object) -> Attack:
    """Change all rows of a table behind the gateway's back."""

    def attack(call: Snapshot) -> None:
        with unguarded():
            assert model.objects.update(**fields)

    return attack


def delete(model: type, /, **lookups: object) -> Attack:
    def attack(call: Snapshot) -> None:
        with unguarded():
            assert model.objects.filter(**lookups).delete()[0]

    return attack


# The chain ----------------------------------------------------------------------------------------


def write_anew() -> None:
    """Compute the chain again, as someone does who knows this code."""
    waiting = [
        Unsealed(kind=seal.kind, subject=seal.subject, closed=seal.sealed)
        for seal in Seal.objects.order_by("number")
    ]
    with unguarded():
        Seal.objects.all().delete()
    Unsealed.objects.bulk_create(waiting)
    sealing.seal()


def change_and_write_anew(call: Snapshot) -> None:
    with unguarded():
        Message.objects.filter(text="question 0").update(text="I never said that")
    write_anew()


def write_anew_with_another_key(call: Snapshot) -> None:
    """Sign it too, with a key of one's own, and have the database name that one."""
    change_and_write_anew(call)
    SigningKey.objects.all().delete()
    settings.CHECKPOINT_FILE.unlink()
    settings.CHECKPOINT_KEY = "the intruder's"
    assert checkpoints.write_checkpoint()


def cut_end(call: Snapshot) -> None:
    with unguarded():
        Seal.objects.latest("number").delete()


def move_seal(call: Snapshot) -> None:
    with unguarded():
        for number, to in ((2, 100), (3, 2), (100, 3)):
            Seal.objects.filter(number=number).update(number=to)


def cut_file(call: Snapshot) -> None:
    """Take the last checkpoint of the file away."""
    audit.record(person("rita"), AuditEvent.Action.LIST)
    assert sealing.seal()
    assert checkpoints.write_checkpoint(now=True)
    file = settings.CHECKPOINT_FILE
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]))


# Files --------------------------------------------------------------------------------------------


def stored() -> str:
    return attachments.storage_name(sha256(PDF).digest())


def put_another_file(data: bytes) -> Attack:
    def attack(call: Snapshot) -> None:
        default_storage.delete(stored())
        default_storage.save(stored(), ContentFile(data))

    return attack


def add_row_of_a_file(conversation: UUID | None) -> None:
    Attachment.objects.create(
        conversation_id=conversation, sha256=b"y" * 32, size=1, media_type="text/plain"
    )


# What is derived ----------------------------------------------------------------------------------


def give_away(call: Snapshot) -> None:
    Conversation.objects.filter(id=call.conversation_id).update(owner=person("bob"))


def age(call: Snapshot) -> None:
    Conversation.objects.filter(id=call.conversation_id).update(last=call.opened - AGO)


def point_to_another_decision(call: Snapshot) -> None:
    """As if what came after the first decision had never been decided."""
    review = Review.objects.get()
    later = Decision.objects.create(
        conversation_id=call.conversation_id,
        reviewer=person("rita"),
        disposition="violation",
        newest=review.decision.newest,
    )
    assert later.pk != review.decision_id
    sealing.seal()


def set_escalated_aside(call: Snapshot) -> None:
    review = Review.objects.get()
    review.decision = Decision.objects.create(
        conversation_id=call.conversation_id,
        reviewer=person("rita"),
        disposition="escalated",
        newest=review.decision.newest,
    )
    review.save()
    sealing.seal()


def set_part_aside(call: Snapshot) -> None:
    review = Review.objects.get()
    review.decision = Decision.objects.create(
        conversation_id=call.conversation_id,
        reviewer=person("rita"),
        disposition="no_issue",
        newest=review.decision.newest,
        uncovered=[call.reply_id],
    )
    review.save()
    sealing.seal()


def decide_nothing(call: Snapshot) -> None:
    conversation = ask(person("bob"), [user("Hi")]).conversation
    Review.objects.create(
        conversation_id=conversation, source="chosen", state="decided", due=timezone.now()
    )


def go_on_unseen(call: Snapshot) -> None:
    """A call since the decision, whose conversation is set back to decided."""
    later = ask(person("alice"), [user("And another thing")], root=call.conversation_id)
    record.close(later, record.Outcome(status="ok"))
    sealing.seal()
    assert Review.objects.get().state == "waiting"
    Review.objects.update(state="decided")


def take_out_of_queue(call: Snapshot) -> None:
    conversation = Conversation.objects.get(id=ask(person("bob"), [user("Hi")]).conversation)
    audit.record(person("rita"), AuditEvent.Action.ASSIGNMENT, conversation, to="rita")


def put_in_assessment(call: Snapshot) -> None:
    texts = dict.fromkeys(assessments.TEXTS, "")
    Assessment.objects.create(
        call=call,
        conversation_id=call.conversation_id,
        owner=call.owner,
        made=call.closed,
        work_related=True,
        **texts,
        **dict.fromkeys(assessments.NUMBERS, 1),
    )


# False times --------------------------------------------------------------------------------------


def forge_call(at: datetime, **how: object) -> None:
    """Put a call in as the gateway itself would: all that is derived fits."""
    call = ask(person("alice"), [user("I was never here")], opened=at, **how)
    record.close(call, record.Outcome(status="ok", closed=at + timedelta(seconds=3)))
    assert sealing.seal()


def forge_past_call(call: Snapshot) -> None:
    forge_call(datetime.now(UTC) - AGO)


def forge_event(call: Snapshot) -> None:
    AuditEvent.objects.create(action="list", actor_name="rita", at=datetime.now(UTC) - AGO)
    assert sealing.seal()


def forge_decision(call: Snapshot) -> None:
    """With the review that goes with it."""
    review = Review.objects.get()
    review.decision = Decision.objects.create(
        conversation_id=call.conversation_id,
        reviewer=person("rita"),
        disposition="no_issue",
        newest=review.decision.newest,
        made=datetime.now(UTC) - AGO,
    )
    review.save()
    assert sealing.seal()


def forge_future_call(call: Snapshot) -> None:
    forge_call(datetime.now(UTC) + AGO)


def unguard(call: Snapshot) -> None:
    run_sql(
        "CREATE OR REPLACE FUNCTION conversations_keep() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RETURN coalesce(NEW, OLD); END $$"
    )
