"""The file of the checkpoints, for each test its own."""

import pytest


@pytest.fixture(autouse=True)
def file(settings, tmp_path):
    settings.CHECKPOINT_FILE = tmp_path / "checkpoints.jsonl"
