"""The review desk: what compliance staff see in Django's admin. Evidence is read-only there, for everyone."""

from . import audit, conversation, decision, policy, sampling, snapshot, user

__all__ = ["audit", "conversation", "decision", "policy", "sampling", "snapshot", "user"]
