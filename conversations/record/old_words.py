"""Word hashes for replies that an older version recorded.

The worker makes them, a few conversations at a time, the newest first. A conversation waits until
its replies have theirs: what a killed worker had begun is done again, and changes nothing.
"""

from uuid import UUID

from django.db.models import QuerySet

from ..models import Conversation, Message, Unhashed, WordHash
from ..shape import Json
from . import threads, words
from .place import read_thread_key

AT_ONCE = 100  # conversations


def fill_word_hashes() -> int:
    """Hash the replies of some of the conversations that wait, and return how many those were."""
    waiting = list(Unhashed.objects.order_by("-conversation")[:AT_ONCE])
    for each in waiting:
        if conversation := Conversation.objects.filter(id=each.conversation).first():
            key = read_thread_key(conversation.owner_id, conversation.end_user)
            _fill(key, conversation.messages.all())
        each.delete()
    return len(waiting)


def _fill(key: bytes, messages: QuerySet[Message]) -> None:
    rows = {row.id: row for row in messages.select_related("echo_of")}
    hashes: dict[UUID, bytes] = {}
    for leaf in rows.keys() - {row.parent_id for row in rows.values()}:
        path = _list_path(rows, leaf)
        named = words.hash_words(key, [_build_message(row) for row in path])
        hashes |= {row.id: name for row, name in zip(path, named, strict=True)}
    WordHash.objects.bulk_create(
        [
            WordHash(message=row, hash=hashes[row.id])
            for row in rows.values()
            if _is_reply(row) and hashes[row.id] != bytes(row.path_hash)
        ],
        ignore_conflicts=True,
    )


def _list_path(rows: dict[UUID, Message], leaf: UUID) -> list[Message]:
    path = [rows[leaf]]
    while (above := path[-1].parent_id) in rows:
        path.append(rows[above])
    return path[::-1]


def _is_reply(row: Message) -> bool:
    """Tell whether it is a relayed answer that says something, and the first with its words."""
    is_first = row.origin == Message.Origin.RELAYED and row.echo_of_id is None
    return is_first and bool(words.list_units([_build_message(row)]))


def _build_message(row: Message) -> Json:
    text = row.text if row.echo_of is None else (row.echo_of.text or "").strip()
    return threads.put_together(row.role, text, row.raw)
