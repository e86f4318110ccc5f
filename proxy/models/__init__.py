"""API keys, use cases, upstreams with their models and routes, and undelivered submissions."""

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
