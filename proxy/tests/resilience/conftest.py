"""A gateway with a fallback: two upstreams, and chains of models."""

import pytest

from proxy.models import Model, Route, Upstream
from proxy.tests.gateway import CHAT, Gateway, eventually
from proxy.tests.resilience.upstreams import FINE, Mortal, the_last
from proxy.tests.wire import Wire


@pytest.fixture(scope="module")
def first():
    with Mortal() as wire:
        yield wire


@pytest.fixture(scope="module")
def second():
    with Wire() as wire:
        yield wire


@pytest.fixture(scope="module")
def gateway(database, folder, first, second, wire):
    one = Upstream.objects.create(name="one", label="ONE", base_url=f"{first.url}/v1")
    two = Upstream.objects.create(name="two", label="TWO", base_url=f"{second.url}/v1")
    narrow = Upstream.objects.create(name="narrow", base_url=f"{first.url}/v1", most_open=1)
    patient = Upstream.objects.create(name="patient", base_url=f"{first.url}/v1", silence=600)
    alone, three, four, five = (
        Upstream.objects.create(name=name, base_url=f"{second.url}/v1")
        for name in ("alone", "three", "four", "five")
    )
    chains = {
        "chain": (one, two),
        "narrow chain": (narrow, two),
        "narrow": (narrow,),
        "patient": (patient, two),
        "alone": (alone,),
        "five": (one, two, three, four, five),
        "twice": (one, one),
    }
    for name, upstreams in chains.items():
        model = Model.objects.create(name=name)
        for order, upstream in enumerate(upstreams):
            there = f"{name} {order}" if name == "twice" else ""
            Route.objects.create(model=model, upstream=upstream, order=order, upstream_model=there)
    gateway = Gateway(
        folder,
        DATABASE_URL=database,
        LLM_ENDPOINT=f"{wire.url}{CHAT}",
        UPSTREAM_PAUSE=0.2,
        LLM_TIMEOUT=10,
        DB_POOL=8,
    )
    yield gateway
    gateway.stop()
    Model.objects.all().delete()
    Upstream.objects.all().delete()


@pytest.fixture(autouse=True)
def healthy(gateway, first, second):
    """Both serve, and the breakers are closed."""
    first.answer = second.answer = FINE
    eventually(
        lambda: (
            gateway.ask("warm up", model="chain").status == 200 and the_last(first, second) is first
        )
    )
    first.seen.clear()
    second.seen.clear()
