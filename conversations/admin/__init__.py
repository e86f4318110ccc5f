"""The review desk in Django's admin, for compliance staff. Evidence is read-only for everyone.

It may import every other folder of conversations.
"""

from . import (
    approval,
    audit,
    conversation,
    decision,
    other_name,
    policy,
    sampling,
    snapshot,
    user,
)

__all__ = [
    "approval",
    "audit",
    "conversation",
    "decision",
    "other_name",
    "policy",
    "sampling",
    "snapshot",
    "user",
]
