"""What verify finds."""

from conversations.proof.verification import verify


def found() -> str:
    return verify().problem
