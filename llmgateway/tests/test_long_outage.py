"""A database that was away for longer is found again soon."""

import time
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from psycopg_pool import ConnectionPool, PoolTimeout

AWAY = 8.0  # seconds: tries after 1, 3 and 7 fail, the next would be after 15


def test_a_database_that_comes_back_is_found_within_seconds(db, tmp_path):
    """Each process tries at its own times: one that came much later would be taken for dead."""
    known = connection.get_connection_params()
    door = tmp_path / "door"
    options = settings.DATABASES["default"]["OPTIONS"]["pool"]
    with ConnectionPool(kwargs=known | {"host": str(door)}, **options) as pool:
        with pytest.raises(PoolTimeout):
            pool.getconn()
        time.sleep(AWAY - options["timeout"])
        door.symlink_to(Path(known["host"]))
        with pool.connection() as found:
            assert found.execute("SELECT 1").fetchone() == (1,)
