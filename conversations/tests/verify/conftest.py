"""A sealed conversation, and the file of its checkpoints."""

import pytest
from django.utils import timezone

from conversations.models import AuditEvent, Decision, Review, Snapshot
from conversations.people import audit
from conversations.proof import checkpoints, sealing
from conversations.tests.calls import assistant, person, turn, user


@pytest.fixture(autouse=True)
def file(settings, tmp_path):
    settings.CHECKPOINT_FILE = tmp_path / "checkpoints.jsonl"
    return settings.CHECKPOINT_FILE


@pytest.fixture
def calls() -> list[Snapshot]:
    """Seals 1 to 6, signed: three calls of a conversation, one decision, two audit events."""
    alice, said, made = person("alice"), [], []
    for i in range(3):
        said.append(user(f"question {i}"))
        made.append(turn(alice, said, f"answer {i}"))
        said.append(assistant(f"answer {i}", refusal=None))
    conversation = made[0].conversation
    audit.record(person("rita"), AuditEvent.Action.TRANSCRIPT, conversation)
    decision = Decision.objects.create(
        conversation=conversation,
        reviewer=person("rita"),
        disposition="no_issue",
        newest=made[-1].id,
    )
    Review.objects.create(
        conversation=conversation,
        source=Review.Source.CHOSEN,
        state=Review.State.DECIDED,
        due=timezone.now(),
        decision=decision,
    )
    audit.record(person("rita"), AuditEvent.Action.DECISION, conversation)
    assert sealing.seal() == 6
    assert checkpoints.write_checkpoint()
    return made
