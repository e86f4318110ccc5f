"""The roll-ups, verified against the log and made again from it: usage by day, owner and model, the
totals of each conversation, usage of end users, and assessments.

Closing a call writes the first two in the statement that closes it, so a statement that reads sees
both sides of one moment. The worker writes the others as it seals the call.
"""

from collections.abc import Iterator
from uuid import UUID

from django.db import connection, transaction

from . import assessments

USED = """
    SELECT (opened AT TIME ZONE 'UTC')::date AS day, owner_id, model, count(*) AS calls,
        count(*) FILTER (WHERE status <> 'ok') AS failures,
        coalesce(sum(prompt_tokens), 0) AS prompt_tokens,
        coalesce(sum(completion_tokens), 0) AS completion_tokens, coalesce(sum(cost), 0) AS cost
    FROM conversations_snapshot WHERE status <> 'pending' GROUP BY 1, 2, 3"""
TALKED = """
    SELECT c.id, count(s.reply_id) AS turns, coalesce(sum(s.prompt_tokens), 0) AS prompt_tokens,
        coalesce(sum(s.completion_tokens), 0) AS completion_tokens, coalesce(sum(s.cost), 0) AS cost
    FROM conversations_conversation c
    LEFT JOIN conversations_snapshot s ON s.conversation_id = c.id AND s.status <> 'pending'
    GROUP BY 1"""

# Of what is sealed: the worker adds a call as it gives it its seal.
END_USERS_SPENT = """
    SELECT (opened AT TIME ZONE 'UTC')::date AS day, owner_id, end_user, model, count(*) AS calls,
        count(*) FILTER (WHERE status <> 'ok') AS failures,
        coalesce(sum(prompt_tokens), 0) AS prompt_tokens,
        coalesce(sum(completion_tokens), 0) AS completion_tokens, coalesce(sum(cost), 0) AS cost
    FROM conversations_snapshot call WHERE end_user <> '' AND {chosen} GROUP BY 1, 2, 3, 4"""
SEALED = END_USERS_SPENT.format(
    chosen="EXISTS (SELECT FROM conversations_seal WHERE subject = call.id)"
)
ADD_END_USERS = """
    INSERT INTO conversations_enduserusage AS kept (
        day, owner_id, end_user, model, calls, failures, prompt_tokens, completion_tokens, cost)
    {spent}
    ON CONFLICT (day, owner_id, end_user, model) DO UPDATE
    SET calls = kept.calls + excluded.calls, failures = kept.failures + excluded.failures,
        prompt_tokens = kept.prompt_tokens + excluded.prompt_tokens,
        completion_tokens = kept.completion_tokens + excluded.completion_tokens,
        cost = kept.cost + excluded.cost"""

# Where one side says something else, or nothing.
USAGE = f"""
    SELECT day, owner_id, model
    FROM ({USED}) log FULL JOIN conversations_usage kept USING (day, owner_id, model)
    WHERE (log.calls, log.failures, log.prompt_tokens, log.completion_tokens, log.cost)
        IS DISTINCT FROM
        (kept.calls, kept.failures, kept.prompt_tokens, kept.completion_tokens, kept.cost)
    ORDER BY 1, 2, 3"""
END_USERS = f"""
    SELECT day, owner_id, end_user, model
    FROM ({SEALED}) log FULL JOIN conversations_enduserusage kept
        USING (day, owner_id, end_user, model)
    WHERE (log.calls, log.failures, log.prompt_tokens, log.completion_tokens, log.cost)
        IS DISTINCT FROM
        (kept.calls, kept.failures, kept.prompt_tokens, kept.completion_tokens, kept.cost)
    ORDER BY 1, 2, 3, 4"""
CONVERSATIONS = f"""
    SELECT id FROM ({TALKED}) log JOIN conversations_conversation kept USING (id)
    WHERE (log.turns, log.prompt_tokens, log.completion_tokens, log.cost)
        IS DISTINCT FROM (kept.turns, kept.prompt_tokens, kept.completion_tokens, kept.cost)
    ORDER BY 1"""

REBUILD = (
    # Calls that close meanwhile wait.
    """LOCK TABLE conversations_snapshot, conversations_conversation, conversations_usage,
        conversations_enduserusage IN SHARE ROW EXCLUSIVE MODE""",
    "DELETE FROM conversations_usage",
    "DELETE FROM conversations_enduserusage",
    ADD_END_USERS.format(spent=SEALED),
    f"""INSERT INTO conversations_usage (
        day, owner_id, model, calls, failures, prompt_tokens, completion_tokens, cost) {USED}""",
    f"""UPDATE conversations_conversation kept
        SET turns = log.turns, prompt_tokens = log.prompt_tokens,
            completion_tokens = log.completion_tokens, cost = log.cost
        FROM ({TALKED}) log WHERE kept.id = log.id AND kept.id IN ({CONVERSATIONS})""",
)


def differences() -> list[str]:
    """Each row of a roll-up that the log does not bear out, in words."""
    with connection.cursor() as cursor:
        cursor.execute(USAGE)
        usage = [
            f"usage of {day}, owner {owner}, model {model}"
            for day, owner, model in cursor.fetchall()
        ]
        cursor.execute(END_USERS)
        usage += [
            f"usage of {day}, owner {owner}, end user {end_user}, model {model}"
            for day, owner, end_user, model in cursor.fetchall()
        ]
        cursor.execute(CONVERSATIONS)
        totals = [f"totals of conversation {each}" for (each,) in cursor.fetchall()]
    return [*usage, *totals, *assessments.differences()]


def check() -> Iterator[str]:
    """Yield what `differences` finds, each in a sentence."""
    for each in differences():
        yield f"What is kept as {each} is not what the calls say."


def add_end_users(calls: list[UUID]) -> None:
    """Add newly sealed calls of shared keys to what their end users spent."""
    with connection.cursor() as cursor:
        spent = END_USERS_SPENT.format(chosen="id = ANY(%s)")
        cursor.execute(ADD_END_USERS.format(spent=spent), [calls])


def rebuild() -> None:
    """Make all roll-ups again, from the log alone.

    No call closes while it runs: seconds, for a million calls.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in REBUILD:
            cursor.execute(statement)
    assessments.rebuild()
