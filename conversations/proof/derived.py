"""What is kept beside the evidence and can be told from it: whose a conversation is, its times,
and where its review stands. Whoever changes that hides a conversation without touching a seal.
"""

from collections.abc import Iterator
from uuid import UUID

from django.db import connection

PORTION = 20_000  # conversations of one statement
FIRST, LAST = UUID(int=0), UUID(int=2**128 - 1)
END = """
    SELECT id FROM conversations_conversation WHERE id > %s ORDER BY id OFFSET %s LIMIT 1"""
# The owner is each call's. A conversation is one end user's; it began with one of its calls, and
# ended with the last one that was closed.
CONVERSATIONS = """
    SELECT c.id, CASE
        WHEN bool_or(s.owner_id <> c.owner_id) THEN 'be of another person than'
        WHEN NOT bool_or(s.end_user = c.end_user) THEN 'be of another end user than'
        ELSE 'have begun or ended at another time than' END
    FROM conversations_conversation c JOIN conversations_snapshot s
        ON s.conversation_id = c.id OR s.id = c.id AND s.conversation_id IS NULL
    WHERE c.id > %(after)s AND c.id <= %(until)s
    GROUP BY c.id
    HAVING bool_or(s.owner_id <> c.owner_id) OR NOT bool_or(s.end_user = c.end_user)
        OR NOT bool_or(s.opened = c.started)
        OR c.last IS DISTINCT FROM greatest(c.started, max(s.closed))"""
# The latest decision by its seal: ids are made before the review is locked. What it did not see is
# told as `calls_unseen` does; once both are sealed, the worker has brought the conversation back.
REVIEWS = """
    WITH latest AS (
        SELECT DISTINCT ON (d.conversation_id) d.*, s.number
        FROM conversations_decision d LEFT JOIN conversations_seal s ON s.subject = d.id
        WHERE d.conversation_id IS NOT NULL
        ORDER BY d.conversation_id, s.number DESC NULLS FIRST, d.id DESC
    )
    SELECT conversation_id, CASE
        WHEN r.state IS NULL THEN 'was decided about, and has no place among the reviews any more'
        WHEN r.decision_id IS DISTINCT FROM latest.id
            THEN 'has a review that does not name its latest decision'
        WHEN latest.id IS NULL THEN 'counts as decided, and there is no decision'
        WHEN latest.disposition = 'escalated' THEN 'was escalated, and counts as decided'
        WHEN cardinality(latest.uncovered) > 0 THEN 'was decided in part, and counts as decided'
        ELSE 'counts as decided, and went on since: it should wait for a reviewer' END
    FROM latest FULL JOIN conversations_review r USING (conversation_id)
    WHERE r.state IS NULL OR r.decision_id IS DISTINCT FROM latest.id
        OR r.state = 'decided' AND (
            latest.id IS NULL OR latest.disposition = 'escalated'
            OR cardinality(latest.uncovered) > 0
            OR latest.number IS NOT NULL AND EXISTS (
                SELECT FROM conversations_snapshot c JOIN conversations_seal s ON s.subject = c.id
                WHERE (c.conversation_id = r.conversation_id
                    OR c.id = r.conversation_id AND c.conversation_id IS NULL) AND NOT CASE
                    WHEN latest.seen IS NULL THEN c.id <= latest.newest AND c.closed <= latest.made
                    ELSE c.id = ANY (latest.seen) END))
    ORDER BY 1"""
TAKEN_OUT = """
    SELECT DISTINCT e.conversation FROM conversations_auditevent e
    WHERE e.action = 'assignment' AND e.kind = 'conversation'
        AND NOT EXISTS (
            SELECT FROM conversations_review r WHERE r.conversation_id = e.conversation)
        AND NOT EXISTS (
            SELECT FROM conversations_decision d WHERE d.conversation_id = e.conversation)"""


def check_conversations() -> Iterator[str]:
    """Yield each conversation whose row its calls do not bear out."""
    after = FIRST
    with connection.cursor() as cursor:
        while after < LAST:
            cursor.execute(END, [after, PORTION])
            row = cursor.fetchone()
            until = row[0] if row else LAST
            cursor.execute(CONVERSATIONS, {"after": after, "until": until})
            for conversation, what in cursor.fetchall():
                yield f"The conversation {conversation} is said to {what} its calls."
            after = until


def check_reviews() -> Iterator[str]:
    """Yield each conversation whose place in the queue its decisions and events do not bear out."""
    with connection.cursor() as cursor:
        cursor.execute(REVIEWS)
        for conversation, what in cursor.fetchall():
            yield f"The conversation {conversation} {what}."
        cursor.execute(TAKEN_OUT)
        for (conversation,) in cursor.fetchall():
            yield (
                f"The conversation {conversation} was assigned, and has no place among the reviews "
                "any more."
            )
