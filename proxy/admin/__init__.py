"""What Gateway admins set: who may speak to a model, and what for."""

from . import key, use_case

__all__ = ["key", "use_case"]
