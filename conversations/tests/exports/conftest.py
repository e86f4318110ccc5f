"""Exports and checkpoints in a folder of the test."""

import pytest

from conversations.models import User


@pytest.fixture(autouse=True)
def places(settings, tmp_path):
    settings.EXPORTS_DIR, settings.CHECKPOINT_FILE = (
        tmp_path / "exports",
        tmp_path / "checkpoints.jsonl",
    )


@pytest.fixture
def alice(alice) -> User:
    alice.job_title = "Analyst"
    alice.save()
    return alice
