"""Models that admins listed: which upstream is asked, by which name and credential, for whom.

And what does not exist.
"""

import json
from urllib.parse import quote

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group

from proxy import addresses, faults
from proxy.models import Model, Route, Upstream
from proxy.providers.base import Sent
from proxy.tests.gateway import ALICE, BOB, CHAT, SECRET, Gateway, marked
from proxy.tests.wire import Wire, json_reply
from proxy.upstreams import client

KEY_OF_A = f"Bearer sk-a-{SECRET}"
ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini-2024",
    "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 500_000},
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Fine."}, "finish_reason": "stop"}
    ],
}
PICTURE = {"created": 1, "data": [{"url": "https://pictures.invalid/a.png"}]}


@pytest.fixture(scope="module")
def a():
    with Wire() as wire:
        yield wire


@pytest.fixture(scope="module")
def gateway(database, folder, wire, a):
    """Models are listed; alice is in Research."""
    research = Group.objects.create(name="Research")
    research.user_set.add(get_user_model().objects.get(username="alice"))
    ours = Upstream.objects.create(
        name="ours", label="OURS", base_url=f"{a.url}/v1", secret="KEY_OF_A"
    )
    azure = Upstream.objects.create(name="azure", kind="azure", base_url=a.url, secret="KEY_OF_A")
    off = Upstream.objects.create(name="off", base_url=a.url, enabled=False)
    stranger = Upstream(
        name="stranger", base_url="http://models.example/v1"
    )  # as no form would let it in
    thief = Upstream(name="thief", base_url=f"{a.url}/v1", secret="SECRET_KEY")
    metadata = Upstream(name="metadata", base_url="https://169.254.169.254/v1")
    Upstream.objects.bulk_create([stranger, thief, metadata])

    def listed(name: str, *upstreams: Upstream | None, there: str = "", **fields) -> Model:
        model = Model.objects.create(name=name, **fields)
        for order, one in enumerate(upstreams):
            Route.objects.create(model=model, upstream=one, order=order, upstream_model=there)
        return model

    fast = listed("fast", ours, there="gpt-4o-mini")
    fast.routes.update(prompt_price="2.5", completion_price="10")
    listed("gpt-4o", None)
    listed("gpt-4.1")
    listed("org/secret:1", ours).groups.add(research)
    listed("hidden", ours, offered=False)
    listed("deployed", azure, there="d1")
    listed("retired", ours, enabled=False)
    listed("nowhere", off)
    listed("pictures", ours, capabilities=["images"])
    for one in (stranger, thief, metadata):
        listed(f"at {one.name}", one)
        listed(f"at {one.name} first", one, ours)
    gateway = Gateway(
        folder,
        DATABASE_URL=database,
        LLM_ENDPOINT=f"{wire.url}{CHAT}",
        UPSTREAM_SECRETS="KEY_OF_A,KEY_OF_B",
        KEY_OF_A=KEY_OF_A,
    )
    yield gateway
    gateway.stop()
    Model.objects.all().delete()
    Upstream.objects.all().delete()
    research.delete()


@pytest.fixture(autouse=True)
def fine(wire, a):
    for each in (wire, a):
        each.answer = json_reply(json.dumps(ANSWER).encode())
        each.seen.clear()


def test_it_is_asked_at_its_upstream_by_its_name_there(gateway, wire, a, recorded):
    text = marked()
    reply = gateway.ask(text, model="fast")
    assert reply.text == "Fine."
    [request] = a.seen
    assert request.line == "POST /v1/chat/completions HTTP/1.1"
    assert request.headers["authorization"] == KEY_OF_A
    assert json.loads(request.body) == {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": text}],
    }
    assert not wire.seen
    [snapshot] = recorded()
    assert (snapshot.model, snapshot.upstream, snapshot.attempts) == ("fast", "OURS", "")
    assert snapshot.cost == pytest.approx(7.5)  # its own prices, before any list


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4.1"])
def test_the_environments_upstream_is_a_place_like_any_other(gateway, wire, a, recorded, model):
    assert gateway.ask(marked(), model=model).text == "Fine."
    [request] = wire.seen
    assert json.loads(request.body)["model"] == model
    assert not a.seen
    [snapshot] = recorded()
    assert snapshot.upstream == "OPEN_AI"
    assert snapshot.cost == pytest.approx({"gpt-4o": 7.5, "gpt-4.1": 6}[model])


def test_another_kind_is_spoken_to_in_its_words(gateway, a, recorded):
    assert gateway.ask(marked(), model="deployed").text == "Fine."
    assert a.seen[0].line.startswith("POST /openai/deployments/d1/chat/completions?api-version=")
    [snapshot] = recorded()
    assert snapshot.upstream == "azure"


@pytest.mark.parametrize(
    ("model", "key"),
    [
        ("gpt-3", ALICE),
        ("retired", ALICE),
        ("nowhere", ALICE),
        ("org/secret:1", BOB),
        ("FAST", ALICE),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_not_listed_or_not_for_the_caller_does_not_exist(
    gateway, wire, a, recorded, model, key, stream
):
    reply = gateway.ask(marked(), model=model, key=key, stream=stream)
    assert (reply.status, reply.error["code"], reply.error["param"]) == (
        404,
        "model_not_found",
        "model",
    )
    assert (reply.error["type"], reply.error["message"]) == (
        "invalid_request_error",
        "There is no such model, or it is not for you.",
    )
    [snapshot] = recorded()
    assert (snapshot.id, snapshot.status, snapshot.error_code, snapshot.model) == (
        reply.id,
        "refused",
        "model_not_found",
        model,
    )
    assert not wire.seen
    assert not a.seen


def test_each_caller_is_shown_what_it_may_use(gateway, wire):
    odd = {
        f"at {name}{end}" for name in ("stranger", "thief", "metadata") for end in ("", " first")
    }
    everyones = {"fast", "gpt-4o", "gpt-4.1", "hidden", "deployed", "pictures"} | odd
    for key, names in ((ALICE, everyones | {"org/secret:1"}), (BOB, everyones)):
        shown = gateway.call("/v1/models", key=key).json()
        assert shown["object"] == "list"
        assert {model["id"] for model in shown["data"]} == names
        assert all(
            model.keys() == {"id", "object", "created", "owned_by"} for model in shown["data"]
        )
    path = f"/v1/models/{quote('org/secret:1', safe='')}"
    assert gateway.call(path, key=ALICE).json()["owned_by"] == "OURS"
    theirs = gateway.call(path, key=BOB)
    assert (theirs.status, theirs.error) == (404, gateway.call("/v1/models/none", key=BOB).error)
    assert not wire.seen


def test_a_model_is_asked_only_for_what_it_can(gateway, a, recorded):
    reply = gateway.call("/v1/embeddings", {"model": "fast", "input": marked()}, ALICE)
    assert (reply.status, reply.error["code"]) == (404, "endpoint_not_supported")
    a.answer = json_reply(json.dumps(PICTURE).encode())
    assert (
        gateway.call(
            "/v1/images/generations", {"model": "pictures", "prompt": marked()}, ALICE
        ).status
        == 200
    )
    assert gateway.ask(marked(), model="pictures").status == 404
    assert [snapshot.status for snapshot in recorded(3)] == ["refused", "ok", "refused"]


@pytest.mark.parametrize("name", ["stranger", "thief", "metadata"])
def test_a_row_that_breaks_the_rules_is_never_called(gateway, wire, a, recorded, name):
    reply = gateway.ask(marked(), model=f"at {name}")
    assert (reply.status, reply.error["code"]) == (502, "upstream_misconfigured")
    assert not a.seen
    assert gateway.ask(marked(), model=f"at {name} first").text == "Fine."
    assert len(a.seen) == 1
    refused, served = recorded(2)
    assert (refused.status, served.status, served.upstream) == ("refused", "ok", "OURS")
    first, second = json.loads(served.attempts)
    assert (first["upstream"], first["status"], first["error"]) == (
        name,
        None,
        "upstream_misconfigured",
    )
    assert (second["upstream"], second["status"], second["error"]) == ("ours", 200, "")


def test_other_names_pass_where_that_is_set(started, wire, gateway, recorded):
    del gateway  # the rows are there
    wire.answer = json_reply(b'{"data": [{"id": "gpt-3"}, {"id": "org/secret:1"}]}')
    open_gateway = started(LLM_ENDPOINT=f"{wire.url}{CHAT}", PASS_OTHER_MODELS=True)
    names = [model["id"] for model in open_gateway.call("/v1/models", key=BOB).json()["data"]]
    assert "gpt-3" in names
    assert "fast" in names
    assert (
        "org/secret:1" not in names
    )  # listed, and not for bob: the upstream's own list does not give it away
    wire.answer = json_reply(json.dumps(ANSWER).encode())
    assert open_gateway.ask(marked(), model="gpt-3", key=BOB).text == "Fine."
    assert open_gateway.ask(marked(), model="org/secret:1", key=BOB).status == 404
    assert [snapshot.status for snapshot in recorded(2)] == ["ok", "refused"]


def test_a_name_that_turns_out_to_be_a_barred_address_gets_nothing(wire, monkeypatch):
    monkeypatch.setattr(addresses, "is_barred", lambda host: host == "127.0.0.1")
    before = len(wire.seen)
    with pytest.raises(faults.Fault) as caught:
        client.post(Sent(f"http://localhost:{wire.port}/v1", {}, b"{}"), timeout=60)
    assert (caught.value.code, caught.value.repeatable) == ("upstream_misconfigured", True)
    assert len(wire.seen) == before


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("https://api.example/v1", True),
        ("https://10.0.0.8/v1", True),
        ("http://127.0.0.1:8080", True),
        ("http://api.example/v1", False),
        ("https://169.254.169.254/latest", False),
        ("https://[fe80::1%25eth0]/", False),
        ("https://[fd00:ec2::254]/", False),
        ("https://[::ffff:169.254.169.254]/", False),
        ("https://[64:ff9b::a9fe:a9fe]/", False),
        ("https://[2002:a9fe:a9fe::]/", False),
        ("https://100.100.100.200/", False),
        ("https://168.63.129.16/", False),
        ("https://0.0.0.0/", False),
        ("https://[::]/", False),
        ("https://224.0.0.1/", False),
        ("https://key@api.example/", False),
        ("https://:key@api.example/", False),
        ("https://api.example/#x", False),
        ("https://169.254.169.254./", False),
        ("https://[::169.254.169.254]/", False),
        ("https://[::1]/", True),
        ("ftp://api.example/", False),
        ("api.example", False),
        ("https://", False),
        ("https://[::1", False),
        ("", False),
    ],
)
def test_where_calls_may_go(url, fine):
    assert (addresses.find_objection(url) == "") is fine
