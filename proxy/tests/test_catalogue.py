"""The upstream's own list of models: asked for now and then, and kept where it cannot be."""

import json
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import pytest
from django.db import connection

from conversations import aged_cache
from proxy.faults import Fault
from proxy.tests.wire import json_reply
from proxy.upstreams import catalogue

pytestmark = pytest.mark.django_db
LIST = [{"id": "fast", "object": "model"}]
AWAY = json_reply(b'{"error": {"message": "not now"}}', "503 Unavailable")


@pytest.fixture(autouse=True)
def upstream(settings, wire):
    settings.LLM_MODELS_ENDPOINT = f"{wire.url}/v1/models"
    wire.answer = json_reply(json.dumps({"data": LIST}).encode())
    wire.seen.clear()
    catalogue.forget()
    yield wire
    catalogue.forget()


@pytest.fixture
def after(monkeypatch):
    """Lets so many seconds pass."""
    passed = [0.0]
    monkeypatch.setattr(aged_cache, "monotonic", lambda: monotonic() + sum(passed))
    return passed.append


def test_it_is_asked_for_once_a_minute(upstream, after):
    assert catalogue.list_environment_models() == catalogue.list_environment_models() == LIST
    after(catalogue.KEPT - 5)
    catalogue.list_environment_models()
    assert len(upstream.seen) == 1
    after(5)
    catalogue.list_environment_models()
    assert len(upstream.seen) == 2


def test_many_ask_for_it_once(upstream):
    def ask(_):
        try:
            return catalogue.list_environment_models()
        finally:
            connection.close()

    with ThreadPoolExecutor(12) as threads:
        assert list(threads.map(ask, range(12))) == [LIST] * 12
    assert len(upstream.seen) == 1


def test_after_a_failure_there_is_a_pause(upstream, after):
    upstream.answer = AWAY
    faults = []
    for _ in range(2):
        with pytest.raises(Fault) as caught:
            catalogue.list_environment_models()
        faults.append(caught.value)
    assert faults[0] is not faults[1]
    assert {(fault.status, fault.code) for fault in faults} == {(502, "upstream_failed")}
    assert len(upstream.seen) == 1
    after(catalogue.PAUSE)
    with pytest.raises(Fault):
        catalogue.list_environment_models()
    assert len(upstream.seen) == 2


def test_an_old_list_serves_where_it_cannot_be_asked_for(upstream, after):
    catalogue.list_environment_models()
    upstream.answer = AWAY
    for asked in (2, 3):
        after(3600)
        assert catalogue.list_environment_models() == catalogue.list_environment_models() == LIST
        assert len(upstream.seen) == asked


def test_what_is_no_list_is_none(upstream):
    upstream.answer = json_reply(b'{"data": "fast"}')
    with pytest.raises(Fault) as caught:
        catalogue.list_environment_models()
    assert caught.value.code == "upstream_bad_reply"
