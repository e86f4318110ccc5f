"""What another process took away works nowhere after OLDEST seconds, however many call at once."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from time import monotonic

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.utils import timezone

from conversations import aged_cache
from conversations.models import Snapshot
from conversations.record import place
from proxy.api import authentication
from proxy.models import ApiKey, Model, Route, Upstream, UseCase, use_case
from proxy.tests.gateway import ALICE, CHAT, SECRET
from proxy.tests.wire import json_reply
from proxy.upstreams import catalogue, routing

CALLS = 12
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "Fine."}}
ANSWER = {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [CHOICE]}

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def idle(monkeypatch) -> Iterator[Callable[[float], None]]:
    """Lets so many seconds pass in which this process is asked nothing."""
    passed = 0.0
    monkeypatch.setattr(aged_cache, "monotonic", lambda: monotonic() + passed)

    def idle(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    forget_all()
    yield idle
    forget_all()


def forget_all() -> None:
    for cache in (routing, catalogue, authentication.callers, use_case.cached, place._seeds):
        cache.forget()


@pytest.fixture
def alice():
    return get_user_model().objects.get(username="alice")


@pytest.fixture
def research(alice) -> Iterator[Group]:
    research = Group.objects.create(name="Research")
    alice.groups.add(research)
    yield research
    research.delete()


@pytest.fixture
def model(settings, wire, research) -> Iterator[Model]:
    """For alice, who is in Research."""
    wire.answer = json_reply(json.dumps(ANSWER).encode())
    wire.seen.clear()
    settings.UPSTREAM_SECRETS = {"KEY_OF_A": f"Bearer sk-{SECRET}"}
    upstream = Upstream.objects.create(name="ours", base_url=f"{wire.url}/v1", secret="KEY_OF_A")
    model = add("fast", upstream)
    model.groups.add(research)
    yield model
    Model.objects.all().delete()
    Upstream.objects.all().delete()


def add(name: str, upstream: Upstream) -> Model:
    model = Model.objects.create(name=name)
    Route.objects.create(model=model, upstream=upstream)
    return model


def ask(model: str = "fast") -> int:
    """The status of alice's call."""
    body = {"model": model, "messages": [{"role": "user", "content": "q"}]}
    client = Client(headers={"authorization": f"Bearer {ALICE}"})
    return client.post(CHAT, body, "application/json").status_code


def at_once(call: Callable, *arguments) -> list:
    """The results of as many calls as there are, each in a thread of its own."""
    start = Barrier(CALLS)

    def one() -> object:
        try:
            start.wait(60)
            return call(*arguments)
        finally:
            connection.close()

    with ThreadPoolExecutor(CALLS) as threads:
        return [each.result(120) for each in [threads.submit(one) for _ in range(CALLS)]]


# What another process does: no signal is sent here, and nothing is forgotten ---------------------


def change(rows, **fields) -> None:
    assert rows.update(**fields) == 1


def disable_the_model() -> None:
    change(Model.objects.filter(name="fast"), enabled=False)


def rename_the_model() -> None:
    change(Model.objects.filter(name="fast"), name="slow")


def disable_its_upstream() -> None:
    change(Upstream.objects.filter(name="ours"), enabled=False)


def take_the_caller_out_of_the_group() -> None:
    get_user_model().groups.through.objects.filter(group__name="Research").delete()


def revoke_the_key() -> None:
    change(ApiKey.objects.filter(prefix=ALICE[:11]), revoked=timezone.now())


def deactivate_the_keys_owner() -> None:
    change(get_user_model().objects.filter(username="alice"), is_active=False)


TAKEN_AWAY = {
    disable_the_model: 404,
    rename_the_model: 404,
    disable_its_upstream: 404,
    take_the_caller_out_of_the_group: 404,
    revoke_the_key: 401,
    deactivate_the_keys_owner: 401,
}


@pytest.fixture
def given_back() -> Iterator[None]:
    """The cast is there for the next test."""
    yield
    ApiKey.objects.filter(prefix=ALICE[:11]).update(revoked=None)
    get_user_model().objects.filter(username="alice").update(is_active=True)


@pytest.mark.parametrize("seconds", [aged_cache.OLDEST, 20])
@pytest.mark.parametrize("take_away", TAKEN_AWAY)
def test_no_call_passes(model, wire, given_back, idle, take_away, seconds):
    status = TAKEN_AWAY[take_away]
    assert ask() == 200
    take_away()
    idle(seconds)
    before = Snapshot.objects.count()
    assert at_once(ask) == [status] * CALLS
    assert len(wire.seen) == 1
    refused = Snapshot.objects.order_by("-opened")[: Snapshot.objects.count() - before]
    on_record = CALLS if status == 404 else 0  # whose call it is must be known for that
    assert [call.error_code for call in refused] == ["model_not_found"] * on_record


@pytest.mark.parametrize("seconds", [aged_cache.OLDEST, 3600])
def test_a_new_model_is_found_by_every_call(model, wire, idle, seconds):
    assert ask("new") == 404
    add("new", Upstream.objects.get())
    idle(seconds)
    assert at_once(ask, "new") == [200] * CALLS
    assert len(wire.seen) == CALLS


@pytest.mark.parametrize("seconds", [aged_cache.OLDEST, 3600])
def test_a_group_that_was_joined_counts_for_every_call(model, wire, idle, alice, research, seconds):
    research.user_set.clear()
    assert ask() == 404
    get_user_model().groups.through.objects.create(user=alice, group=research)
    idle(seconds)
    assert at_once(ask) == [200] * CALLS
    assert len(wire.seen) == CALLS


def test_an_old_copy_serves_no_call_where_the_rows_cannot_be_read(model, wire, idle):
    assert ask() == 200
    idle(aged_cache.OLDEST)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE proxy_model RENAME TO proxy_model_away")
    try:
        assert at_once(ask) == [500] * CALLS
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE proxy_model_away RENAME TO proxy_model")
    assert len(wire.seen) == 1
    assert at_once(ask) == [200] * CALLS


def test_a_use_case_is_offered_no_more(model, alice, idle):
    UseCase.objects.create(name="Marmot", prompt="Whistle.")

    def offered(client: Client) -> bool:
        return "Marmot" in client.get("/").content.decode()

    client = Client()
    client.force_login(alice)
    assert offered(client)
    change(UseCase.objects.filter(name="Marmot"), enabled=False)
    idle(aged_cache.OLDEST)
    assert at_once(offered, client) == [False] * CALLS
    UseCase.objects.filter(name="Marmot").delete()
