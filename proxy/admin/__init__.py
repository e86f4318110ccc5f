"""What Gateway admins set: who may speak to a model."""

from . import key

__all__ = ["key"]
