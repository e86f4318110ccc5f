"""The review desk in Django's admin, for compliance staff. Evidence is read-only for everyone.

It may import every other folder of conversations.
"""

from . import audit, conversation, decision, policy, sampling, snapshot, user

__all__ = ["audit", "conversation", "decision", "policy", "sampling", "snapshot", "user"]
