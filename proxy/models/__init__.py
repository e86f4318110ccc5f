"""Who may speak to a model, and what for; and what of it the receiver of submissions has yet to take."""

from .key import ApiKey, default_scopes, latest_expiry
from .submission import Submission, SubmissionFeed
from .use_case import UseCase

__all__ = ["ApiKey", "Submission", "SubmissionFeed", "UseCase", "default_scopes", "latest_expiry"]
