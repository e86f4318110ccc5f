"""/metrics of a served gateway: who may read it, what it counts, and what it never says."""

import os
import re
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from django.conf import settings
from django.test import Client, override_settings
from prometheus_client import REGISTRY

from conversations.models import Unsealed
from conversations.proof import sealing
from conversations.tests.calls import person, turn, user
from llmgateway.ops import metrics as page
from proxy.relay import metrics
from proxy.tests.gateway import ALICE, CANARY, CHAT, SECRET, eventually, marked
from proxy.tests.wire import SSE, Held, chunk, json_reply, word

ANSWER = (
    b'{"choices": [{"message": {"role": "assistant", "content": "Fine."}, '
    b'"finish_reason": "stop"}], '
    b'"usage": {"prompt_tokens": 1000, "completion_tokens": 500}}'
)
TOKEN = f"{SECRET}-metrics"
HERE = "LLM_ENDPOINT"  # the upstream that the environment sets
OF_THE_DATABASE = {
    "llmgateway_database_up",
    "llmgateway_unsealed",
    "llmgateway_unsealed_age_seconds",
    "llmgateway_worker_beat_age_seconds",
}
OF_SUBMISSIONS = {
    "llmgateway_undelivered",
    "llmgateway_undelivered_age_seconds",
    "llmgateway_submissions_given_up",
}  # where they are on


def samples(gateway, **headers):
    """`name{labels}` → value."""
    reply = gateway.call("/metrics", **headers)
    assert reply.status == 200
    lines = reply.body.decode().splitlines()
    return {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))
    }


def grown(gateway, before):
    """What was counted since."""
    now = samples(gateway)
    return {
        name: value - before.get(name, 0)
        for name, value in now.items()
        if value != before.get(name, 0)
    }


@pytest.fixture
def counted(shared, wire):
    return shared(LLM_ENDPOINT=f"{wire.url}{CHAT}", WEB_WORKERS=2)


def test_calls_are_counted_once_over_all_processes(counted, wire, recorded):
    before = samples(counted)
    wire.answer = json_reply(ANSWER)
    for _ in range(6):
        assert counted.ask(marked(), model="gpt-4o-mini").status == 200
    found = grown(counted, before)
    assert found['llmgateway_calls_total{kind="chat",status="ok"}'] == 6
    assert found['llmgateway_tokens_total{direction="prompt",model="gpt-4o-mini"}'] == 6000
    assert found['llmgateway_tokens_total{direction="completion",model="gpt-4o-mini"}'] == 3000
    assert found['llmgateway_cost_dollars_total{model="gpt-4o-mini"}'] == pytest.approx(
        6 * (0.15 * 1000 + 0.6 * 500) / 1e6
    )
    for histogram in ("first", "last"):
        assert found[f'llmgateway_{histogram}_byte_seconds_bucket{{kind="chat",le="+Inf"}}'] == 6
        assert 0 < found[f'llmgateway_{histogram}_byte_seconds_sum{{kind="chat"}}'] < 6
    assert (
        found['llmgateway_requests_total{method="POST",route="/v1/chat/completions",status="2xx"}']
        == 6
    )
    assert not [name for name in found if "failures" in name]


def test_what_went_wrong_is_counted_by_code(wired, wire, recorded):
    before = samples(wired)
    for answer in (
        json_reply(b'{"error": {"message": "no", "code": "their_own"}}', "400 Odd"),
        json_reply(b'{"error": {"message": "no", "code": "upstream_failed"}}', "500 Odd"),
        json_reply(b"<html>", "200 OK", "text/html"),
    ):
        wire.answer = answer
        wired.ask(marked())
    wired.call(CHAT, {"model": "m"}, ALICE)
    found = grown(wired, before)
    assert found['llmgateway_calls_total{kind="chat",status="failed"}'] == 3
    assert found['llmgateway_calls_total{kind="chat",status="refused"}'] == 1
    for upstream, code in (
        (HERE, "http_400"),
        (HERE, "upstream_failed"),
        (HERE, "upstream_bad_reply"),
        ("", "invalid_request"),
    ):
        assert found[f'llmgateway_failures_total{{code="{code}",upstream="{upstream}"}}'] == 1


def test_an_upstream_that_fails_again_and_again(wired, wire, recorded):
    wire.answer = json_reply(ANSWER)
    wired.ask(marked())
    breaker = f'llmgateway_breaker{{upstream="{HERE}"}}'
    eventually(lambda: samples(wired).get(breaker) == 0)
    before = samples(wired)
    wire.answer = json_reply(b"{}", "500 Odd")
    for _ in range(3):
        wired.ask(marked())
    tries = f'llmgateway_failed_tries_total{{code="upstream_failed",upstream="{HERE}"}}'
    assert grown(wired, before)[tries] == 9  # three each
    eventually(lambda: samples(wired)[breaker] == 1)
    wire.answer = json_reply(ANSWER)
    wired.ask(marked())
    eventually(lambda: samples(wired)[breaker] == 0)


def test_nobodys_words_become_labels(wired, wire, recorded):
    before = samples(wired)
    wire.answer = json_reply(ANSWER)
    for n in range(30):
        assert wired.ask(marked(), model=f"{CANARY} {n}").status == 200
    for path in (
        f"/{CANARY}",
        f"/v1/{CANARY}?{CANARY}",
        f"/static/{CANARY}",
        f"/c/{CANARY}/",
    ):
        assert wired.call(path, key=ALICE).status >= 400
    wired.call(f"/v1/models/{CANARY}", key=ALICE)
    wired.call("/ping", method="BREW")
    found = grown(wired, before)
    assert found['llmgateway_tokens_total{direction="prompt",model="other"}'] == 30_000
    assert not [
        name for name in samples(wired) if CANARY in name or "BREW" in name or "alice" in name
    ]


def test_what_is_open_now(wired, wire, recorded):
    held = Held(
        wire,
        SSE + chunk(word("Once")),
        chunk(word("upon", "stop")) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n",
    )
    with wired.open_chat(marked(), stream=True) as call:
        call.read_until(b"Once")
        eventually(lambda: samples(wired).get('llmgateway_open{what="stream"}') == 1)
        held.let_go.set()
        call.finish()
    eventually(lambda: samples(wired)['llmgateway_open{what="stream"}'] == 0)
    now = samples(wired)
    assert now['llmgateway_database_connections{state="most"}'] == 2
    assert now["llmgateway_database_waiting"] == 0


def test_what_a_killed_process_held_is_not_open_and_what_it_counted_stays(counted, wire, recorded):
    before = samples(counted)
    wire.answer = json_reply(ANSWER)
    counted.ask(marked())
    Held(wire, SSE + chunk(word("Once")))
    with counted.open_chat(marked(), stream=True) as call:
        call.read_until(b"Once")
        eventually(lambda: samples(counted).get('llmgateway_open{what="stream"}') == 1)
        for pid in counted.workers():
            os.kill(pid, signal.SIGKILL)
    eventually(
        lambda: counted.answers() and samples(counted).get('llmgateway_open{what="stream"}') == 0
    )
    assert grown(counted, before)['llmgateway_calls_total{kind="chat",status="ok"}'] == 1


class Here:
    """This process in place of a gateway: its database holds what the test made."""

    def call(self, path, **headers):
        response = Client().get(path, headers=headers)
        return SimpleNamespace(status=response.status_code, body=response.content)


@pytest.mark.django_db(transaction=True)  # within one, nothing has an age
def test_the_backlog_and_the_worker():
    turn(person(), [user(marked())], "Fine.")
    now = samples(Here())
    assert now["llmgateway_unsealed"] == Unsealed.objects.count() > 0
    assert now["llmgateway_unsealed_age_seconds"] > 0
    while sealing.seal():
        pass
    now = samples(Here())
    assert OF_THE_DATABASE - {"llmgateway_worker_beat_age_seconds"} <= now.keys()  # no worker stays
    assert (
        now["llmgateway_unsealed"],
        now["llmgateway_unsealed_age_seconds"],
        now["llmgateway_database_up"],
    ) == (0, 0, 1)


# Who may read it ----------------------------------------------------------------------------------


def status(client, address="192.0.2.7", **headers):
    response = client.get("/metrics", REMOTE_ADDR=address, headers=headers)
    assert response.status_code in (200, 404)
    if response.status_code == 404:
        assert b"llmgateway_" not in response.content
    return response.status_code


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_this_machine_reads_it(client, address):
    assert status(client, address) == 200


@pytest.mark.django_db
def test_whoever_knows_the_token_reads_it(client):
    with override_settings(METRICS_TOKEN=TOKEN):
        assert status(client, authorization=f"Bearer {TOKEN}") == 200
        for wrong in ("", "Bearer ", TOKEN, f"Bearer {TOKEN}x", f"bearer-{TOKEN}", "Bearer \xe9"):
            assert status(client, authorization=wrong) == 404
    for given in ("Bearer ", "Bearer"):
        assert status(client, authorization=given) == 404  # no token is none, not an empty one


@pytest.mark.django_db
def test_who_comes_through_a_proxy_of_this_machine_is_not_this_machine(client):
    assert status(client, "127.0.0.1", x_forwarded_for="192.0.2.7") == 404
    assert status(client, "127.0.0.1", x_forwarded_for="127.0.0.1") == 404
    assert status(client, "127.0.0.1", forwarded="for=192.0.2.7") == 404
    with override_settings(TRUSTED_PROXIES=["127.0.0.1"]):
        assert status(client, "127.0.0.1") == 404
        assert status(client, "127.0.0.1", x_forwarded_for="192.0.2.7") == 404
        assert status(client, "127.0.0.1", x_forwarded_for="127.0.0.1") == 404
    with override_settings(TRUSTED_PROXIES=["10.0.0.1"]):
        assert status(client, "10.0.0.1", x_forwarded_for="127.0.0.1") == 404
        assert status(client, "127.0.0.1") == 200


def test_a_worker_answers_with_what_it_counted_to_the_same_readers():
    metrics.CALLS.labels("title", "ok").inc()
    server = page.serve(0)
    url = f"http://127.0.0.1:{server.server_port}/metrics"
    try:
        assert re.search(
            r'^llmgateway_calls_total\{kind="title",status="ok"\} [1-9]',
            requests.get(url, timeout=60).text,
            re.MULTILINE,
        )
        for refused in (
            requests.get(url, headers={"x-forwarded-for": "192.0.2.7"}, timeout=60),
            requests.get(url + "/x", timeout=60),
            requests.get(
                url, headers={"x-real-ip": "192.0.2.7", "authorization": "Bearer "}, timeout=60
            ),
        ):
            assert (refused.status_code, refused.content) == (404, b"")
        with override_settings(METRICS_TOKEN=TOKEN):
            assert (
                requests.get(
                    url,
                    headers={"x-forwarded-for": "192.0.2.7", "authorization": f"Bearer {TOKEN}"},
                    timeout=60,
                ).status_code
                == 200
            )
    finally:
        server.shutdown()
        server.server_close()


def test_every_metric_is_explained():
    text = (settings.BASE_DIR / "docs" / "operations.md").read_text()
    families = [family for family in REGISTRY.collect() if family.name.startswith("llmgateway_")]
    assert {page.REQUESTS, metrics.CALLS} <= set(REGISTRY._collector_to_names)
    asked = set(re.findall(r'GaugeMetricFamily\(\s*"(\w+)"', Path(page.__file__).read_text()))
    assert asked >= OF_THE_DATABASE
    names = {
        family.name + ("_total" if family.type == "counter" else "") for family in families
    } | asked
    assert names == set(re.findall(r"^\| `(llmgateway_\w+)` \|", text, re.MULTILINE))
