"""Upstreams and models in the admin.

The form holds the rules, changes are evidence, and what the environment sets is shown.
"""

import json
import socket

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client

from conversations.models import AuditEvent, User
from proxy.models import Model, Route, Upstream
from proxy.tests.wire import Wire, json_reply
from proxy.upstreams import routing

pytestmark = pytest.mark.django_db
UPSTREAMS, MODELS = "/admin/proxy/upstream/", "/admin/proxy/model/"


@pytest.fixture(autouse=True)
def environment(settings):
    settings.UPSTREAM_SECRETS = {"KEY_OF_A": "Bearer sk-a", "KEY_OF_B": ""}
    settings.LLM_ENDPOINT, settings.LLM_IMG_ENDPOINT = (
        "https://api.example/v1/chat/completions",
        "https://pictures.example/v1/images/generations",
    )
    routing.forget()
    yield
    routing.forget()


@pytest.fixture
def wire():
    with Wire() as wire:
        yield wire


def form(**changes) -> dict:
    return {
        "name": "ours",
        "kind": "openai",
        "base_url": "https://192.0.2.1/v1",
        "secret": "KEY_OF_A",
        "enabled": "on",
    } | changes


def model_form(*places: dict, **changes) -> dict:
    counts = {"routes-TOTAL_FORMS": len(places), "routes-INITIAL_FORMS": 0}
    rows = {
        f"routes-{i}-{name}": value
        for i, place in enumerate(places)
        for name, value in ({"order": i + 1} | place).items()
    }
    return (
        {"name": "fast", "capabilities": ["chat"], "offered": "on", "enabled": "on"}
        | counts
        | rows
        | changes
    )


def test_an_upstream_is_made_and_changed_and_both_are_evidence(admin):
    assert (
        admin.post(
            f"{UPSTREAMS}add/", form(label="OURS", first_byte="20", most_open="8")
        ).status_code
        == 302
    )
    row = Upstream.objects.get()
    assert (row.recorded_name, row.first_byte, row.silence, row.most_open) == ("OURS", 20, None, 8)
    assert (
        admin.post(
            f"{UPSTREAMS}{row.pk}/change/", form(base_url="https://192.0.2.2/v1")
        ).status_code
        == 302
    )
    added, changed = AuditEvent.objects.filter(
        kind="upstream", action__in=["added", "changed"]
    ).order_by("id")
    assert (added.subject, changed.subject, changed.actor_name) == (
        str(row.pk),
        str(row.pk),
        "root",
    )
    assert ["https://192.0.2.1/v1", "https://192.0.2.2/v1"] in [
        *json.loads(changed.detail)["what"][-1]["from_to"].values()
    ]
    assert "sk-a" not in added.detail + changed.detail


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"base_url": "http://models.example/v1"},
            "Plain http goes to hosts that UPSTREAM_HTTP_HOSTS names",
        ),
        ({"base_url": "https://169.254.169.254/"}, "Calls may not be sent to this address"),
        ({"base_url": "https://[fd00:ec2::254]/"}, "Calls may not be sent to this address"),
        (
            {"base_url": "https://metadata.example/"},
            "This name stands for an address that calls may not be sent to",
        ),
        ({"base_url": "https://sk-key@models.example/"}, "neither an account nor a fragment"),
        ({"base_url": "models.example"}, "Write https://"),
        ({"secret": "SECRET_KEY"}, "Select a valid choice"),
        ({"kind": "telepathy"}, "Select a valid choice"),
        ({"most_open": "0"}, "greater than or equal to 1"),
        ({"first_byte": "0"}, "greater than or equal to 0.1"),
        ({"name": ""}, "required"),
    ],
)
def test_what_the_form_refuses(admin, monkeypatch, changes, said):
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda *_, **__: [(2, 1, 6, "", ("192.0.2.1", 0)), (2, 1, 6, "", ("169.254.169.254", 0))],
    )
    response = admin.post(f"{UPSTREAMS}add/", form(**changes))
    assert response.status_code == 200
    assert said in response.content.decode()
    assert not Upstream.objects.exists()


def test_the_environment_is_shown_with_its_origin_and_changed_nowhere(admin, settings):
    settings.LLM_API_AUTHORIZATION = "Bearer sk-of-the-environment"
    page = admin.get(UPSTREAMS).content.decode()
    for shown in (
        "https://api.example/v1/chat/completions",
        "from LLM_ENDPOINT",
        "from LLM_IMG_ENDPOINT",
        "derived from LLM_ENDPOINT",
        "/v1/embeddings",
    ):
        assert shown in page
    assert "LLM_GATEWAY_URL" not in page
    assert "sk-of-the-environment" not in page
    settings.LLM_ENDPOINT = settings.LLM_IMG_ENDPOINT = ""
    assert "LLM_ENDPOINT is not set" in admin.get(UPSTREAMS).content.decode()


def test_a_test_asks_for_models_with_the_credential(admin, wire):
    row = Upstream.objects.create(name="ours", base_url=f"{wire.url}/v1", secret="KEY_OF_A")
    path = f"{UPSTREAMS}{row.pk}/test/"
    assert path in admin.get(f"{UPSTREAMS}{row.pk}/change/").content.decode()
    wire.answer = json_reply(b'{"data": [{"id": "m"}]}')
    assert (
        "“ours”: The server answers and lists 1 model."
        in admin.post(path, follow=True).content.decode()
    )
    assert (wire.seen[0].line, wire.seen[0].headers["authorization"]) == (
        "GET /v1/models HTTP/1.1",
        "Bearer sk-a",
    )
    wire.answer = json_reply(b'{"error": {"message": "key sk-a is wrong"}}', "401 No")
    said = admin.post(path, follow=True).content.decode()
    assert "refused the gateway&#x27;s credentials" in said
    assert "sk-a" not in said
    Upstream.objects.update(kind="azure", base_url=wire.url)
    admin.post(path)
    assert wire.seen[-1].line.startswith("GET /openai/models?api-version=")
    Upstream.objects.update(kind="sagemaker_gateway")
    assert "with status 401" in admin.post(path, follow=True).content.decode()
    assert "authorization" not in wire.seen[-1].headers
    seen = len(wire.seen)
    Upstream.objects.update(kind="openai", secret="SECRET_KEY")
    assert "UPSTREAM_SECRETS does not name" in admin.post(path, follow=True).content.decode()
    assert len(wire.seen) == seen
    assert admin.get(path).status_code == 404
    assert admin.post(f"{UPSTREAMS}{row.pk + 1}/test/").status_code == 404


def test_the_environment_can_be_tested(admin, wire, settings):
    settings.LLM_ENDPOINT = f"{wire.url}/v1/chat/completions"
    wire.answer = json_reply(b'{"data": []}')
    assert (
        "“LLM_ENDPOINT”: The server answers and lists 0 models."
        in admin.post(f"{UPSTREAMS}environment/test/", follow=True).content.decode()
    )


def test_a_model_with_its_chain(admin):
    ours, theirs = (
        Upstream.objects.create(name=name, base_url="https://192.0.2.1")
        for name in ("ours", "theirs")
    )
    group = Group.objects.create(name="Research")
    places = (
        {"upstream": ours.pk, "prompt_price": "2.5"},
        {"upstream": theirs.pk, "upstream_model": "f-2"},
        {"upstream": ""},
    )
    assert admin.post(f"{MODELS}add/", model_form(*places, groups=[group.pk])).status_code == 302
    model = Model.objects.get()
    assert [str(route) for route in model.routes.all()] == ["ours", "theirs (f-2)", "LLM_ENDPOINT"]
    Upstream.objects.filter(name="theirs").update(enabled=False)
    page = admin.get(MODELS).content.decode()
    assert "ours → <s>theirs (f-2)</s> → LLM_ENDPOINT" in page
    assert "Research" in page
    assert AuditEvent.objects.filter(kind="model", action="added", subject=str(model.pk)).exists()
    routing.forget()
    alice, bob = User.objects.create_user("alice"), User.objects.create_user("bob")
    alice.groups.add(group)
    assert [
        place.upstream
        for place in routing.find_way("fast", "chat/completions", alice.pk, {}).routes
    ] == ["ours", "LLM_ENDPOINT"]
    with pytest.raises(routing.Fault):
        routing.find_way("fast", "chat/completions", bob.pk, {})


def test_the_pages_offer_what_is_offered(client):
    alice = User.objects.create_user("alice")
    for name, fields in (
        ("fast", {}),
        ("hidden", {"offered": False}),
        ("pictures", {"capabilities": ["images"]}),
        ("retired", {"enabled": False}),
    ):
        Model.objects.create(name=name, **fields)
    Model.objects.create(name="secret").groups.add(Group.objects.create(name="Research"))
    client.force_login(alice)
    page = client.get("/").content.decode()
    assert '<option value="fast"' in page
    assert page.count('<option value="fast"') == 1
    for name in ("hidden", "pictures", "retired", "secret"):
        assert f'value="{name}"' not in page


def test_an_upstream_in_use_stays(admin):
    row = Upstream.objects.create(name="ours", base_url="https://192.0.2.1")
    Route.objects.create(model=Model.objects.create(name="fast"), upstream=row)
    assert (
        "would require deleting the following protected"
        in admin.post(f"{UPSTREAMS}{row.pk}/delete/", {"post": "yes"}).content.decode()
    )
    assert Upstream.objects.exists()


def test_rights_are_djangos(wire):
    row = Upstream.objects.create(name="ours", base_url=f"{wire.url}/v1")
    Model.objects.create(name="fast")
    staff = User.objects.create_user("staff", is_staff=True)
    client = Client()
    client.force_login(staff)
    assert {client.get(path).status_code for path in (UPSTREAMS, MODELS)} == {403}
    group = Group.objects.create(name="Watchers")
    staff.groups.add(group)
    group.permissions.add(*Permission.objects.filter(codename__in=["view_upstream", "view_model"]))
    for path in (UPSTREAMS, MODELS):
        assert client.get(path).status_code == 200
        assert client.get(f"{path}add/").status_code == 403
    assert b"/test/" not in client.get(f"{UPSTREAMS}{row.pk}/change/").content
    assert b"/test/" not in client.get(UPSTREAMS).content
    assert client.post(f"{UPSTREAMS}{row.pk}/test/").status_code == 403
    assert b"routes-0-order" not in client.get(f"{MODELS}{Model.objects.get().pk}/change/").content
    assert not wire.seen
