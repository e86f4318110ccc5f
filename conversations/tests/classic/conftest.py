"""A database of a classic gateway."""

import pytest

from conversations.tests.classic.log import Classic


@pytest.fixture(autouse=True)
def media(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path / "attachments"


@pytest.fixture(scope="module")
def gateway(worker_id, django_db_setup):
    made = Classic(f"classic_{worker_id}")
    with made.connect("postgres") as server:
        server.execute(f"DROP DATABASE IF EXISTS {made.name}")
        server.execute(f"CREATE DATABASE {made.name}")
        yield made
        server.execute(f"DROP DATABASE {made.name} WITH (FORCE)")
