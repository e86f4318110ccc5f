"""API keys and wrong ones, use cases, upstreams with models and routes, what was not delivered."""

from .checkpoint_feed import CheckpointFeed
from .key import ApiKey, default_scopes, latest_expiry
from .submission import Submission, SubmissionFeed
from .upstream import Model, Route, Upstream
from .use_case import UseCase
from .wrong_keys import WrongKeys

__all__ = [
    "ApiKey",
    "CheckpointFeed",
    "Model",
    "Route",
    "Submission",
    "SubmissionFeed",
    "Upstream",
    "UseCase",
    "WrongKeys",
    "default_scopes",
    "latest_expiry",
]
