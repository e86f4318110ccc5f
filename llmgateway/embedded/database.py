"""Where PostgreSQL is: DATABASE_URL, or the embedded server under VAR_DIR."""

from pathlib import Path

import environ


def settings(url: str, var: Path) -> dict:
    """Django's entry for the database. Starts nothing."""
    if not url:
        return {
            "ENGINE": "llmgateway.embedded",
            "NAME": "llmgateway",
            "USER": "postgres",
            "HOST": str(var / "pg"),
            "PORT": "5432",
        }
    return dict(environ.Env.db_url_config(url)) | {"ENGINE": "django.db.backends.postgresql"}
