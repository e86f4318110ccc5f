"""Django's PostgreSQL backend, but a process's first connection finds or starts the embedded server."""

from pathlib import Path

from django.db.backends.postgresql import base

from llmgateway.embedded import postgres


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params):
        postgres.start(Path(self.settings_dict["HOST"]))
        return super().get_new_connection(conn_params)
