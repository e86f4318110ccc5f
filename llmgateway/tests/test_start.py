"""A process loads the gateway once, for good."""

import gc

import django

from llmgateway import start


def test_what_is_loaded_is_not_looked_at_by_the_collector(monkeypatch):
    collecting = []
    monkeypatch.setattr(django, "setup", lambda: collecting.append(gc.isenabled()))
    before = gc.get_freeze_count()
    start.set_up()
    assert collecting == [False]
    assert gc.isenabled()
    assert gc.get_freeze_count() > before
