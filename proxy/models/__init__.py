"""Who may speak to a model, what for, and where models are found; and what of it the receiver of submissions has yet to take."""

from .key import ApiKey, default_scopes, latest_expiry
from .submission import Submission, SubmissionFeed
from .upstream import Model, Route, Upstream
from .use_case import UseCase

__all__ = [
    "ApiKey",
    "Model",
    "Route",
    "Submission",
    "SubmissionFeed",
    "Upstream",
    "UseCase",
    "default_scopes",
    "latest_expiry",
]
