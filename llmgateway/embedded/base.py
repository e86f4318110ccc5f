"""Django's PostgreSQL backend; a process's first connection finds or starts the server."""

from pathlib import Path
from typing import Any

from django.db.backends.postgresql import base

from llmgateway.embedded import postgres


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        postgres.start(Path(self.settings_dict["HOST"]))
        return super().get_new_connection(conn_params)
