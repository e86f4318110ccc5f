"""What Gateway admins set and watch: API keys, use cases, upstreams and models, submissions."""

from . import key, submission, upstream, use_case

__all__ = ["key", "submission", "upstream", "use_case"]
