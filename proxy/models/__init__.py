"""Who may speak to a model."""

from .key import ApiKey, default_scopes, latest_expiry

__all__ = ["ApiKey", "default_scopes", "latest_expiry"]
