"""Where PostgreSQL is: DATABASE_URL, or the embedded server under VAR_DIR."""

from pathlib import Path
from typing import Any

from llmgateway.configuration import kinds


def settings(url: str, var: Path) -> dict[str, Any]:
    """Django's entry for the database. Starts nothing."""
    if not url:
        return {
            "ENGINE": "llmgateway.embedded",
            "NAME": "llmgateway",
            "USER": "postgres",
            "HOST": str(var / "pg"),
            "PORT": "5432",
        }
    parts, has_pooler = kinds.read_database(url)
    port = str(parts.pop("port", ""))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname", ""),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": int(port) if port.isdigit() else port,  # of several hosts there are several
        "OPTIONS": parts,
        "DISABLE_SERVER_SIDE_CURSORS": has_pooler,
    }
