"""A reader of one call, and a trail that cannot be written."""

import base64

import pytest
from django.db import connection
from django.test import Client

from conversations.models import Snapshot, User
from conversations.tests.audit.events import PNG
from conversations.tests.calls import person, turn, user


@pytest.fixture
def no_audit_store(db):
    """The table refuses every new row."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            "ALTER TABLE conversations_auditevent "
            "ADD CONSTRAINT none_fits CHECK (action IS NULL) NOT VALID"
        )


@pytest.fixture
def desk(rita) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(rita)
    return client


@pytest.fixture
def call() -> Snapshot:
    picture = {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64," + base64.b64encode(PNG).decode()},
    }
    return turn(
        person("alice"),
        [user([{"type": "text", "text": "my secret"}, picture])],
        "kept secret",
        title="secret title",
    )


# Rights, accounts, keys ---------------------------------------------------------------------------


@pytest.fixture
def root() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root", password="a good long password"))
    return client
