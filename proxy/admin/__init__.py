"""What Gateway admins set and watch: who may speak to a model, what for, and what the receiver of submissions has yet to take."""

from . import key, submission, use_case

__all__ = ["key", "submission", "use_case"]
