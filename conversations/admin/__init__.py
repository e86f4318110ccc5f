"""The review desk: what compliance staff see in Django's admin. Evidence is read-only there, for everyone."""

from . import conversation, policy, snapshot, user

__all__ = ["conversation", "policy", "snapshot", "user"]
