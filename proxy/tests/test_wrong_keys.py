"""Wrong API keys are counted by address, paused where they are many, and told to the trail once.

Each credential that the API takes, at each route, in each dialect.
"""

import json
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.test import Client
from django.utils import timezone
from prometheus_client import REGISTRY

from conversations.models import AuditEvent, User
from conversations.tests.cast import signed_in
from llmgateway.management.commands import worker
from proxy import wrong_keys
from proxy.api import authentication
from proxy.models import ApiKey, WrongKeys
from proxy.tests.keys import working_key
from proxy.tests.routes import ROUTES

pytestmark = pytest.mark.django_db
LIMIT = 3
HERE, THERE = "192.0.2.1", "198.51.100.7"
WRONG = {"authorization": "Bearer gw-wrong"}
MODELS = "/v1/models"
PATHS = sorted(
    {(route.method, route.path.format(root="x")) for route in ROUTES}
    | {("POST", "/v1/messages"), ("GET", "/v1/none"), ("DELETE", "/api/none"), ("HEAD", MODELS)}
    | {("POST", "/chat/completions"), ("POST", "/openai/deployments/m/embeddings")}
)


@pytest.fixture(autouse=True)
def limit(settings):
    settings.WRONG_KEYS_PER_ADDRESS = LIMIT
    authentication.callers.forget()
    wrong_keys.PAUSED.forget()
    yield
    wrong_keys.PAUSED.forget()
    authentication.callers.forget()


@pytest.fixture
def key(alice) -> str:
    return working_key(alice, "right", scopes=ApiKey.OWN_SCOPES)[1]


def send(headers, method="GET", path=MODELS, address=HERE, **meta):
    client = Client(headers=headers, REMOTE_ADDR=address, **meta)
    return client.generic(method, path, b"", "application/json")


def counts() -> dict[str, int]:
    wrong_keys.save()
    return dict(WrongKeys.objects.values_list("address", "count"))


def events() -> list[AuditEvent]:
    return list(AuditEvent.objects.doing(AuditEvent.Action.WRONG_KEYS).order_by("id"))


def let_an_hour_pass() -> None:
    WrongKeys.objects.update(since=F("since") - timedelta(hours=1))


def make_credentials(owner: User) -> dict[str, dict[str, str]]:
    def make(name, **fields):
        return ApiKey.make(owner, name, **fields)

    revoked, gone = make("revoked"), User.objects.create_user("gone", is_active=False)
    revoked[0].revoke()
    secrets = {
        "unknown": "gw-nobody",
        "revoked": revoked[1],
        "expired": make("old", expires=timezone.now() - timedelta(days=1))[1],
        "of a leaver": ApiKey.make(gone, "left")[1],
        "odd": "gw-\xff",
        "long": "gw-" + "x" * 4000,
    }
    found = {}
    for name, secret in secrets.items():
        found[name] = {"authorization": f"Bearer {secret}"}
        found[f"{name}, api-key"] = {"api-key": secret}
        found[f"{name}, x-api-key"] = {"x-api-key": secret}
    return found | {
        "without a scheme": {"authorization": "gw-nobody"},
        "of another scheme": {"authorization": "Basic YTpi"},
        "a scheme alone": {"authorization": "Bearer"},
    }


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_each_wrong_credential_counts_at_each_route(settings, alice, method, path):
    """Every second one in Anthropic's dialect."""
    credentials = [
        (headers | ({"anthropic-version": "2023-06-01"} if number % 2 else {}), number % 2)
        for number, headers in enumerate(make_credentials(alice).values())
    ]
    settings.WRONG_KEYS_PER_ADDRESS = len(credentials)
    for headers, _ in credentials:
        assert send(headers, method, path).status_code == 401
    assert counts() == {HERE: len(credentials)}
    for headers, is_anthropics in credentials:
        answer = send(headers, method, path)
        assert answer.status_code == 429
        assert 60 <= int(answer["retry-after"]) <= 3600
        assert answer["content-type"] == "application/json"
        if method == "HEAD":
            continue
        body = answer.json()
        assert body["error"]["type"] == "rate_limit_error"
        assert "A right key works at once." in body["error"]["message"]
        if is_anthropics or path == "/v1/messages":
            assert body["type"] == "error"
        elif path.startswith("/api/"):
            assert body["message"] == body["error"]["message"]
        else:
            assert body["error"]["code"] == "rate_limit_exceeded"


def test_a_right_key_passes_beside_any_number_of_wrong_ones(key):
    for _ in range(5 * LIMIT):
        send(WRONG)
    assert send(WRONG).status_code == 429
    for headers in ({"authorization": f"Bearer {key}"}, {"api-key": key}, {"x-api-key": key}):
        authentication.callers.forget()  # as in a process that never saw it
        assert send(headers, path="/api/conversations").status_code == 200
    assert send(WRONG, address=THERE).status_code == 401


def test_what_is_no_wrong_key_is_not_counted(alice, key):
    greta = User.objects.create_user("greta")
    _, waiting = ApiKey.make_for(alice, "given", greta)
    _, elsewhere = ApiKey.make(alice, "fixed", addresses=[THERE])
    _, narrow = ApiKey.make(alice, "narrow", scopes=[])
    tries = [({}, 401)] + [({"x-api-key": each}, 403) for each in (waiting, elsewhere, narrow)]
    for headers, status in tries * 2 * LIMIT:
        assert send(headers, path="/api/conversations").status_code == status
    session = signed_in(alice)
    for _ in range(2 * LIMIT):  # a browser behind a proxy that signs on has such a header
        answer = session.get("/api/conversations", headers={"authorization": "Basic YTpi"})
        assert answer.status_code == 200
    assert counts() == {}


def test_the_count_is_one_for_all_processes():
    """Another process knows the database only."""
    statuses = []
    for _ in range(3 * LIMIT):
        wrong_keys.PAUSED.forget()
        statuses.append(send(WRONG).status_code)
    assert statuses == [401] * LIMIT + [429] * 2 * LIMIT


def test_past_the_limit_nothing_is_written_a_key(settings):
    for _ in range(LIMIT + 1):
        send(WRONG)
    with connection.cursor() as cursor:  # no statement of a paused key reaches it
        cursor.execute("ALTER TABLE proxy_wrongkeys RENAME TO away")
        for number in range(50):
            assert send({"x-api-key": f"gw-{number}"}).status_code == 429
        cursor.execute("ALTER TABLE away RENAME TO proxy_wrongkeys")
    assert WrongKeys.objects.get().count == LIMIT + 1
    assert counts() == {HERE: LIMIT + 51}  # saved every few seconds by the watcher
    assert counts() == {HERE: LIMIT + 51}


@pytest.mark.parametrize(
    ("addresses", "counted"),
    [
        (["2001:db8:1:2::1", "2001:db8:1:2:ffff::9"], {"2001:db8:1:2::": 2}),
        (["2001:db8:1:2::1", "2001:db8:1:3::1"], {"2001:db8:1:2::": 1, "2001:db8:1:3::": 1}),
        (["::ffff:192.0.2.1", "192.0.2.1"], {"192.0.2.1": 2}),
        (["192.0.2.1", "192.0.2.2"], {"192.0.2.1": 1, "192.0.2.2": 1}),
        (["", "unix:"], {wrong_keys.UNKNOWN: 2}),
    ],
)
def test_an_address_is_the_clients_and_of_ipv6_a_network(settings, addresses, counted):
    settings.TRUSTED_PROXIES = ["203.0.113.9"]
    for address in addresses:
        send(WRONG, address="203.0.113.9", HTTP_X_FORWARDED_FOR=address)
    assert counts() == counted
    WrongKeys.objects.all().delete()
    settings.TRUSTED_PROXIES = []
    send(WRONG, address=THERE, HTTP_X_FORWARDED_FOR=HERE)  # not to be believed
    assert counts() == {THERE: 1}


def test_a_flood_from_many_addresses_stays_small(settings, monkeypatch, key):
    monkeypatch.setattr(wrong_keys, "MOST", 5)
    sent = 0
    for number in range(60):
        for _ in range(2):
            sent += 1
            send({"x-api-key": f"gw-{sent}"}, address=f"2001:db8:0:{number:x}::1")
    found = counts()
    assert len(found) == 6
    assert sum(found.values()) == sent
    assert found[wrong_keys.OTHERS] == sent - 10
    assert len(wrong_keys.PAUSED.until) <= 6
    assert send({"x-api-key": key}, path="/api/conversations", address="2001:db8::1").json()
    let_an_hour_pass()
    worker.sweep()
    assert len(events()) == 6
    assert sum(json.loads(event.detail)["count"] for event in events()) == sent


def test_the_trail_has_one_entry_an_address_an_hour():
    for _ in range(7):
        send(WRONG)
    send(WRONG, address="2001:db8::1")
    send(WRONG, address="2001:db8::2")
    wrong_keys.save()
    worker.sweep()
    assert events() == []  # the hour is not over
    began = dict(WrongKeys.objects.values_list("address", "since"))
    let_an_hour_pass()
    worker.sweep()
    worker.sweep()
    found = {event.address: json.loads(event.detail) for event in events()}
    assert len(events()) == 2
    assert {address: detail["count"] for address, detail in found.items()} == {
        HERE: 7,
        "2001:db8::": 2,
    }
    since = began[HERE] - timedelta(hours=1)
    assert found[HERE]["since"][:19] == since.isoformat()[:19]
    assert {(event.kind, event.actor, event.subject) for event in events()} == {
        ("apikey", None, "")
    }
    assert not WrongKeys.objects.exists()
    wrong_keys.PAUSED.forget()  # its hour is over too
    assert send(WRONG).status_code == 401  # the next hour begins


def test_auditors_see_it_in_words(admin, rita):
    rita.is_superuser = True
    send(WRONG)
    let_an_hour_pass()
    worker.sweep()
    [event] = events()
    assert (event.action_label, event.address) == ("sent wrong API keys", HERE)
    assert "gw-wrong" not in event.detail


def test_what_cannot_be_recorded_is_told_later():
    for _ in range(2):
        send(WRONG)
    let_an_hour_pass()
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE conversations_auditevent ADD CONSTRAINT away"
            " CHECK (action <> 'wrong_keys') NOT VALID"
        )
        worker.sweep()
        assert counts() == {HERE: 2}
        cursor.execute("ALTER TABLE conversations_auditevent DROP CONSTRAINT away")
    worker.sweep()
    assert [json.loads(event.detail)["count"] for event in events()] == [2]


def test_the_metric_tells_both_answers():
    def value(answer: str) -> float:
        return REGISTRY.get_sample_value("llmgateway_wrong_keys_total", {"answer": answer}) or 0

    before = value("refused"), value("paused")
    for _ in range(LIMIT + 4):
        send(WRONG)
    assert (value("refused") - before[0], value("paused") - before[1]) == (LIMIT, 4)
