"""Every page of the admin opens, or refuses politely: each registered model is tested here."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from conversations.models import (
    Approval,
    AuditEvent,
    Decision,
    OtherName,
    SamplingPolicy,
    UsagePolicy,
    User,
)
from conversations.people import audit
from conversations.tests.calls import turn, user
from proxy.models import ApiKey, Model, Route, Submission, Upstream

pytestmark = pytest.mark.django_db
REGISTERED = sorted(admin.site._registry, key=lambda model: model._meta.label)
EVIDENCE = {
    "conversations.Conversation",
    "conversations.Snapshot",
    "conversations.Message",
    "conversations.AuditEvent",
}


@pytest.fixture
def rows() -> None:
    """At least one row of each registered model."""
    alice = User.objects.create_user("alice")
    call = turn(alice, [{"role": "system", "content": "be kind"}, user("hi")], "hello")
    Decision.objects.create(
        conversation=call.conversation, reviewer=alice, disposition="no_issue", newest=call.id
    )
    SamplingPolicy.objects.create(percent=5, seed=b"", made_by=alice)
    OtherName.objects.create(kind="end_user", account=alice, name="ann")
    ApiKey.make(alice, "laptop")
    Approval.objects.create(
        kind="key", target="1", name="laptop", content="{}", digest=b"", right="x", asked_by=alice
    )
    Submission.objects.create(number=1, snapshot=call.id, sealed=timezone.now())
    Route.objects.create(
        model=Model.objects.create(name="fast"),
        upstream=Upstream.objects.create(name="ours", base_url="https://192.0.2.1/v1"),
    )
    UsagePolicy(text="Be kind.").publish()
    audit.record(alice, AuditEvent.Action.LIST)


def client_of(name: str) -> Client:
    someone = User.objects.create_user(name, is_staff=True, is_superuser=name in ("root", "both"))
    if name in ("rita", "both"):
        someone.groups.add(*Group.objects.filter(name__in=["Lead", "Auditor"]))
    client = Client()
    client.force_login(someone)
    return client


def pages_of(model) -> list[str]:
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    row = model._default_manager.first()
    assert row, f"{model._meta.label} has no row here: add one to the fixture"
    return [
        reverse(f"{name}_changelist"),
        reverse(f"{name}_add"),
        *(reverse(f"{name}_{page}", args=[row.pk]) for page in ("change", "delete", "history")),
    ]


@pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model._meta.label)
@pytest.mark.parametrize("name", ["root", "rita", "both", "staff"])
def test_every_page_opens_or_is_refused(rows, model, name):
    client = client_of(name)
    answers = {path: client.get(path).status_code for path in pages_of(model)}
    assert set(answers.values()) <= {200, 403}, answers
    if name == "both":
        assert answers[pages_of(model)[0]] == 200, "a superuser in the group sees every list"
        assert answers[pages_of(model)[2]] == 200
    if name == "staff":
        assert set(answers.values()) == {403}
    if model._meta.label in EVIDENCE:
        seen = 200 if name in ("rita", "both") else 403
        assert list(answers.values()) == [seen, 403, seen, 403, seen]


@pytest.mark.parametrize("name", ["root", "rita", "both", "staff"])
def test_the_index_opens_and_lists_what_may_be_opened(rows, name):
    client = client_of(name)
    response = client.get("/admin/")
    assert response.status_code == 200
    for app in response.context["app_list"]:
        assert client.get(app["app_url"]).status_code == 200
        for model in app["models"]:
            assert client.get(model["admin_url"]).status_code == 200
    assert bool(response.context["app_list"]) == (name != "staff")


def test_evidence_has_no_action_and_no_way_to_write():
    for model, model_admin in admin.site._registry.items():
        if model._meta.label in EVIDENCE:
            assert model_admin.actions is None
            assert not model_admin.list_editable
            assert not model_admin.inlines


def test_everybody_without_a_session_signs_in(rows):
    for model in REGISTERED:
        for path in pages_of(model):
            response = Client().get(path)
            assert response.status_code == 302
            assert response["location"].startswith("/admin/login/")


def test_signing_in_and_the_pages_around_it(rows):
    root = User.objects.create_superuser("root", password="a good long password")
    client = Client()
    page = client.get("/admin/login/?next=/admin/")
    assert "LLM Gateway" in page.content.decode()
    assert (
        client.post(
            "/admin/login/?next=/admin/", {"username": "root", "password": "a good long password"}
        )["location"]
        == "/admin/"
    )
    for path in (
        "/password/",
        "/admin/jsi18n/",
        f"/admin/conversations/user/{root.pk}/password/",
    ):
        assert client.get(path).status_code == 200
