"""Who may speak to a model, and what for."""

from .key import ApiKey, default_scopes, latest_expiry
from .use_case import UseCase

__all__ = ["ApiKey", "UseCase", "default_scopes", "latest_expiry"]
