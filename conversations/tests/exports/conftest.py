"""Exports and checkpoints in a folder of the test."""

import pytest


@pytest.fixture(autouse=True)
def places(settings, tmp_path):
    settings.EXPORTS_DIR, settings.CHECKPOINT_FILE = (
        tmp_path / "exports",
        tmp_path / "checkpoints.jsonl",
    )
