"""The review desk: what compliance staff see in Django's admin. Evidence is read-only there, for everyone."""

from . import audit, conversation, policy, snapshot, user

__all__ = ["audit", "conversation", "policy", "snapshot", "user"]
