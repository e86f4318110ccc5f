"""What Gateway admins set and watch: who may speak to a model, what for, where models are found, and what the receiver of submissions has yet to take."""

from . import key, submission, upstream, use_case

__all__ = ["key", "submission", "upstream", "use_case"]
