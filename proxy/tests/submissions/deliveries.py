"""Calls to deliver, and what the receiver got of them."""

from django.db.models.functions import Now

from conversations.proof import sealing
from conversations.tests.calls import person, turn, user
from proxy.models import Submission, SubmissionFeed
from proxy.tests.gateway import (
    marked,
)
from proxy.tests.wire import Wire

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini-2024",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Fine.", "refusal": None},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}


def closed(count: int = 1) -> list[str]:
    """Calls that are closed and sealed: their ids, in the order of the log."""
    ids = [str(turn(person(), [user(marked())], "Fine.").id) for _ in range(count)]
    while sealing.seal():
        pass
    return ids


def later() -> None:
    """Whatever waits is due."""
    Submission.objects.waiting().update(due=Now())
    SubmissionFeed.objects.update(resumes=None)


def keys(receiver: Wire) -> list[str]:
    return [request.headers["idempotency-key"] for request in receiver.seen]
