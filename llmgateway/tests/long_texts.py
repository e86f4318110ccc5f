"""Conversations that are too much for one page or one reading: few large texts, many small ones.

Each message says its own word, so that a walk over pages can be held against all that was said.
"""

import re
from uuid import UUID

from conversations import record
from conversations.models import Snapshot, User
from conversations.record import CallRequest, Outcome
from conversations.search import index
from conversations.tests.calls import answer, ask, assistant, turn, user
from llmgateway.tests.paths import CANARY, PNG

LARGE = 100_000  # characters of a large text
TURNS, BRANCHES = 6, 40  # of large texts
SMALL = 800  # small messages, in one request
FAILED = 8  # calls that ended without a reply, at one message
WORD = re.compile(rb"word\d+x\d+")


def word(place: str, size: int) -> str:
    """A text of this size that begins with a word of its own."""
    return (f"word{place} " + "abcdefg " * size)[:size].strip()


def few_large(owner: User) -> Snapshot:
    """Many branches of one question and one answer, and a line of several turns."""
    root: UUID | None = None
    for number in range(BRANCHES):
        asked = word(f"0x{number}", LARGE)
        call = turn(owner, [user(asked)], word(f"1x{number}", LARGE), root=root, title="large")
        root = call.conversation_id
    line = []
    for number in range(TURNS):
        line.append(user(word(f"2x{number}", LARGE)))
        said = word(f"3x{number}", LARGE)
        call = turn(owner, line, said, root=root)
        line.append(assistant(said))
    return with_file(owner, call)


def many_small(owner: User) -> Snapshot:
    """One request of many messages, a few turns more, and calls that failed one after another."""
    line = [user(word(f"4x{number}", 12)) for number in range(SMALL)]
    call = turn(owner, line, word("5x0", 12), title="small")
    line.append(assistant(word("5x0", 12)))
    for number in range(1, 4):
        line.append(user(word(f"6x{number}", 12)))
        call = turn(owner, line, word(f"5x{number}", 12), root=call.conversation_id)
        line.append(assistant(word(f"5x{number}", 12)))
    line.append(user(word("7x0", 12)))
    for _ in range(FAILED):
        failed = ask(owner, line, root=call.conversation_id)
        record.close(failed, Outcome(status="failed", error_code="timeout", error="Too slow."))
    return with_file(owner, call)


def with_file(owner: User, call: Snapshot) -> Snapshot:
    """Add a picture of another conversation, which paths() wants, and index the words."""
    image = {"type": "image_url", "image_url": {"url": PNG}}
    turn(owner, [user([{"type": "text", "text": CANARY}, image])], "seen")
    drawn = CallRequest(
        owner=owner.pk,
        kind="image",
        model="dall-e-3",
        body={"model": "dall-e-3", "prompt": "p" * LARGE},
        messages=[user("p" * LARGE)],
    )
    for _ in range(3):
        answer(record.open(drawn), "drawn")
    index.index_messages(list(Snapshot.objects.values_list("id", flat=True)))
    return call


def words_of(body: bytes) -> set[bytes]:
    return set(WORD.findall(body))


def all_words(call: Snapshot) -> set[bytes]:
    rows = call.conversation.messages.values_list("text", flat=True)
    return words_of("\n".join(filter(None, rows)).encode())
