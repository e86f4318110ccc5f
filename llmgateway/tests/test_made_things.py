"""Who may not read what was said does not read it by anything that they make.

Each role without a content right, with each form of the admin that makes something, at each GET of
the API with what was made.
"""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from conversations.models import Conversation, User
from conversations.people.access import may
from conversations.proof import sealing
from conversations.tests.calls import turn, user
from conversations.tests.cast import client_of, signed_in
from proxy.api import authentication
from proxy.models import ApiKey
from proxy.tests.routes import ROUTES

pytestmark = pytest.mark.django_db
PLANTED = "planted-word-9f2a"
ROLES = ("Gateway admin", "Auditor", "Records manager", "all of these", "superuser")
GETS = [route for route in ROUTES if route.method == "GET"]
PASSWORD = "a long password of 2026"
ROUTE_FORM = {
    "routes-TOTAL_FORMS": "0",
    "routes-INITIAL_FORMS": "0",
    "routes-MIN_NUM_FORMS": "0",
    "routes-MAX_NUM_FORMS": "1000",
}


@pytest.fixture
def people() -> dict[str, User]:
    """Whose words are planted: a person, a reviewer, and a program of the reviewers' group."""
    named = {
        "zoe": User.objects.create_user("zoe", external_id="e-zoe"),
        "rita": User.objects.create_user("rita", is_staff=True, external_id="e-rita"),
        "batch": User.objects.create_user("batch", is_service=True),
    }
    for name in ("rita", "batch"):
        named[name].groups.add(Group.objects.get(name="Reviewer"))
    for owner in named.values():
        turn(owner, [user(PLANTED)], f"{PLANTED} too")
    sealing.seal()
    return named


def key_form(owner: User) -> dict[str, Any]:
    expires = timezone.now() + timedelta(days=30)
    return {
        "owner": owner.pk,
        "name": "made",
        "scopes": ApiKey.Scope.values,
        "addresses": "127.0.0.1",
        "rows_a_day": 1000,
        "expires_0": f"{expires:%Y-%m-%d}",
        "expires_1": f"{expires:%H:%M:%S}",
    }


def forms(people: dict[str, User]) -> dict[str, list[dict[str, Any]]]:
    """What is posted to each form: as much as its maker could wish for."""
    account = {"username": "made", "password1": PASSWORD, "password2": PASSWORD}
    account["usable_password"] = "true"
    return {
        "proxy.ApiKey": [key_form(owner) for owner in people.values()],
        "proxy.Upstream": [{"name": "ours", "base_url": "https://192.0.2.1/v1", "kind": "openai"}],
        "proxy.Model": [{"name": "made", "capabilities": ["chat"]} | ROUTE_FORM],
        "proxy.UseCase": [{"name": "made", "prompt": "Be kind.", "enabled": "on", "order": "1"}],
        "conversations.UsagePolicy": [{"text": "Be kind."}],
        "conversations.User": [account],
        "conversations.OtherName": [
            {"kind": "account", "account": "maker", "person": "zoe"},
            {"kind": "end_user", "account": "batch", "name": "maker", "person": "zoe"},
        ],
        "auth.Group": [{"name": "made"}],
    }


def client_in(role: str) -> Client:
    if role == "superuser":
        return client_of("maker", is_superuser=True)
    names = ROLES[:3] if role == "all of these" else [role]
    return client_of("maker", *names)


def offered(client: Client) -> list[str]:
    """The forms that this client may open to make something."""
    return [
        model._meta.label
        for model in admin.site._registry
        if client.get(address_of(model._meta.label)).status_code == 200
    ]


def address_of(label: str) -> str:
    return f"/admin/{label.lower().replace('.', '/')}/add/"


def read(answer) -> str:
    data = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return data.decode()


@pytest.mark.parametrize("role", ROLES)
def test_a_planted_word_never_shows(people, role):
    client = client_in(role)
    maker = User.objects.get(username="maker")
    assert not may(maker, "view_content")
    known, secrets = forms(people), []
    for label in offered(client):
        assert label in known, f"{label} makes something: add what is posted to its form"
        for form in known[label]:
            answer = client.post(address_of(label), form)
            assert PLANTED not in read(answer)
            if label == "proxy.ApiKey":
                secrets.append(answer.context["secret"])
            else:
                assert answer.status_code == 302, f"{label} was not made: {read(answer)}"
    assert bool(secrets) == (role in ("Gateway admin", "all of these", "superuser"))
    callers = [(client, {}), *((Client(), bearer(secret)) for secret in secrets)]
    callers += [
        (signed_in(made), {})
        for made in User.objects.exclude(username__in=["maker", "second", *people])
    ]
    for caller, headers in callers:
        for conversation in Conversation.objects.all():
            for route in GETS:
                authentication.callers.forget()
                answer = caller.get(route.address(conversation), headers=headers)
                assert PLANTED not in read(answer), (role, str(route))


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}
