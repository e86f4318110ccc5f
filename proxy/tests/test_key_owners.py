"""A key that another person made waits for its owner, and where it reads, for a second person."""

import json
from datetime import timedelta
from importlib import import_module

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.utils import timezone

from conversations.models import Approval, AuditEvent, User
from conversations.people import audit
from conversations.tests.calls import turn, user
from conversations.tests.cast import client_of, signed_in
from conversations.tests.html import Html, check
from proxy.api import authentication
from proxy.models import ApiKey

pytestmark = pytest.mark.django_db
KEYS = "/admin/proxy/apikey/"
PLANTED = "planted-word-3b9d"


@pytest.fixture(autouse=True)
def fresh():
    authentication.callers.forget()


@pytest.fixture
def zoe(db) -> User:
    """A person, though nothing is known of her: she was not declared a program."""
    zoe = User.objects.create_user("zoe")
    turn(zoe, [user(PLANTED)], "indeed")
    return zoe


@pytest.fixture
def gateway_admin(db) -> Client:
    return client_of("greta", "Gateway admin")


def make(client: Client, owner: User, scopes, **changes) -> tuple[ApiKey, str]:
    expires = timezone.now() + timedelta(days=30)
    form = {
        "owner": owner.pk,
        "name": "nightly job",
        "scopes": list(scopes),
        "rows_a_day": 1000,
        "expires_0": f"{expires:%Y-%m-%d}",
        "expires_1": f"{expires:%H:%M:%S}",
    }
    answer = client.post(f"{KEYS}add/", form | changes)
    assert "secret" in (answer.context or ()), answer.content.decode()[:2000]
    return ApiKey.objects.latest("id"), answer.context["secret"]


def get(path: str, secret: str):
    authentication.callers.forget()
    return Client().get(path, headers={"authorization": f"Bearer {secret}"})


def test_it_opens_nothing_before_its_owner_accepts_it(zoe, gateway_admin, his):
    key, secret = make(gateway_admin, zoe, ["chat", "history"], shared="on")
    for path in ("/api/history", "/api/conversations", "/v1/models"):
        answer = get(path, secret)
        assert answer.status_code == 403
        assert "once its owner has accepted it" in answer.json()["error"]["message"]
        assert PLANTED not in answer.content.decode()
    assert key.last_used is None
    owner = signed_in(zoe)
    page = Html(owner.get("/keys/"))
    check(page)
    for words in ("greta made this key in your name", "Read conversations", "any address"):
        assert words in page.words
    accept = f"/keys/{key.pk}/accept/"
    assert his.post(accept).status_code == 404
    assert gateway_admin.post(accept).status_code == 404
    assert owner.get(accept).status_code == 405
    assert get("/api/history", secret).status_code == 403
    assert owner.post(accept)["Location"] == "/keys/"
    assert PLANTED in get("/api/history", secret).content.decode()
    assert accept not in owner.get("/keys/").content.decode()


def test_its_owner_refuses_it_for_good(zoe, gateway_admin):
    key, secret = make(gateway_admin, zoe, ["chat"])
    owner = signed_in(zoe)
    assert "Refuse" in Html(owner.get("/keys/")).words
    owner.post(f"/keys/{key.pk}/revoke/")
    owner.post(f"/keys/{key.pk}/accept/")
    assert get("/v1/models", secret).status_code == 401
    key.refresh_from_db()
    assert key.accepted is None


def test_the_trail_says_whose_it_is_and_what_it_may_do_and_reads(zoe, gateway_admin):
    where = {"addresses": "127.0.0.1", "shared": "on"}
    key, secret = make(gateway_admin, zoe, ["history"], **where)
    made = json.loads(AuditEvent.objects.doing("added").get(kind="apikey").detail)
    wanted = {
        "owner": "zoe",
        "owner_id": zoe.pk,
        "made_by": "greta",
        "scopes": ["history"],
        "addresses": ["127.0.0.1"],
        "shared": True,
        "key": key.prefix,
    }
    assert wanted.items() <= made.items()
    assert made["expires"].startswith(f"{key.expires:%Y-%m-%d}")
    signed_in(zoe).post(f"/keys/{key.pk}/accept/")
    accepted = AuditEvent.objects.doing("changed").get(kind="apikey")
    assert accepted.actor == zoe
    assert get("/api/history", secret).status_code == 200
    read = AuditEvent.objects.doing("list").get(kind="conversation")
    detail = json.loads(read.detail)
    assert (read.actor, detail["key"], detail["owner"]) == (zoe, key.prefix, "zoe")
    assert detail["page"] == "/api/history"


def test_no_event_no_reading(zoe, gateway_admin):
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # what signing in left for the end
        cursor.execute(
            "ALTER TABLE conversations_auditevent ADD CONSTRAINT away CHECK (action <> 'list')"
        )
    key, secret = make(gateway_admin, zoe, ["history"])
    signed_in(zoe).post(f"/keys/{key.pk}/accept/")
    answer = get("/api/history", secret)
    assert answer.status_code == 503
    assert PLANTED not in answer.content.decode()


def test_ones_own_key_is_not_on_the_trail_for_each_look(zoe):
    secret = (
        signed_in(zoe)
        .post("/keys/", {"name": "mine", "scopes": ["history"], "days": "30"})
        .context["secret"]
    )
    assert PLANTED in get("/api/history", secret).content.decode()
    assert not AuditEvent.objects.doing("list").exists()


def test_an_export_needs_its_owner_and_a_second_person(zoe, gateway_admin, rita, desk):
    second = User.objects.create_user("sam", is_staff=True)
    second.groups.add(Group.objects.get(name="Reviewer"))
    agrees = signed_in(second)
    key, secret = make(gateway_admin, rita, ["export"], addresses="127.0.0.1")
    path = "/api/export.jsonl?purpose=audit"
    assert not Approval.objects.exists()  # nobody asked before its owner did
    assert "its owner has accepted" in get(path, secret).json()["error"]["message"]
    desk.post(f"/keys/{key.pk}/accept/")
    assert "waits for a second person" in Html(desk.get("/keys/")).words
    assert "a second person" in get(path, secret).json()["error"]["message"]
    approval = Approval.objects.get()
    assert (approval.asked_by, approval.acts_alone) == (rita, None)
    assert json.loads(approval.content)["scopes"] == ["export"]
    decide = f"/admin/conversations/approval/{approval.pk}/decide/"
    for client in (desk, gateway_admin):  # who asked, and who has not the right to give
        client.post(decide, {"agree": "1"})
        assert get(path, secret).status_code == 403
    agrees.post(decide, {"agree": "1"})
    assert get(path, secret).status_code == 200
    assert ApiKey.objects.get().state == "in use"


def test_what_was_agreed_is_what_the_key_may(zoe, rita, desk, gateway_admin):
    """A key that is widened behind the pages' back is not the one that was agreed to."""
    second = User.objects.create_user("sam", is_staff=True)
    key, secret = make(gateway_admin, rita, ["export"], addresses="127.0.0.1")
    desk.post(f"/keys/{key.pk}/accept/")
    Approval.objects.get().decide(second, agreed=True)
    assert get("/api/export.csv?purpose=audit", secret).status_code == 200
    key.scopes = ["export", "history"]
    ApiKey.objects.update(scopes=key.scopes, terms=b"\0" * 32)
    assert get("/api/export.csv?purpose=audit", secret).status_code == 403
    assert ApiKey.objects.get().state == ApiKey.State.FOR_SECOND


@pytest.mark.parametrize("scopes", [["history"], ["chat", "export"]])
def test_a_programs_account_reads_nothing_unless_a_second_person_gave_it(
    gateway_admin, rita, desk, scopes
):
    program = User.objects.create_user("batch", is_service=True)
    program.groups.add(Group.objects.get(name="Reviewer"))
    turn(program, [user(PLANTED)], "indeed")
    path = "/api/history" if "history" in scopes else "/api/export.jsonl?purpose=audit"
    _, plain = make(gateway_admin, program, ["chat"])
    assert get("/v1/models", plain).status_code not in (401, 403)  # at once
    _, secret = make(gateway_admin, program, scopes, addresses="127.0.0.1")
    assert get(path, secret).status_code == 403
    approval = Approval.objects.get()
    assert (approval.asked_by.username, approval.acts_alone) == ("greta", None)
    decide = f"/admin/conversations/approval/{approval.pk}/decide/"
    gateway_admin.post(decide, {"agree": "1"})
    assert get(path, secret).status_code == 403
    desk.post(decide, {"agree": "1"})
    assert get(path, secret).status_code == 200


def test_where_one_alone_holds_the_right_it_acts_after_the_delay(gateway_admin, desk, rita, admin):
    key, secret = make(gateway_admin, rita, ["export"], addresses="127.0.0.1")
    desk.post(f"/keys/{key.pk}/accept/")
    assert f"({key.prefix}…) of rita acts on" in admin.get("/admin/").content.decode()
    assert get("/api/export.csv?purpose=audit", secret).status_code == 403
    Approval.objects.update(acts_alone=timezone.now())
    assert get("/api/export.csv?purpose=audit", secret).status_code == 200


def test_keys_that_exist_go_on_and_their_owners_are_asked(zoe, bob):
    greta = User.objects.create_user("greta")
    secrets, keys = {}, {}
    for name, maker in (("own", zoe), ("given", greta), ("unknown", None)):
        keys[name], secrets[name] = ApiKey.make(zoe, name, scopes=["history", "export"])
        if maker:
            audit.record(maker, AuditEvent.Action.ADDED, keys[name])
    ApiKey.objects.update(made_by=None, accepted=None, terms=None)
    assert not ApiKey.objects.usable().exists()
    with connection.cursor() as cursor:
        cursor.execute(import_module("proxy.migrations.0011_key_maker").FROM_TRAIL)
    for name, made_by, asked in (
        ("own", zoe, False),
        ("given", greta, True),
        ("unknown", None, True),
    ):
        row = ApiKey.objects.get(name=name)
        assert (row.made_by, row.unconfirmed, row.accepted) == (made_by, asked, row.created)
        assert get("/api/history", secrets[name]).status_code == 200
    owner = signed_in(zoe)
    page = Html(owner.get("/keys/"))
    check(page)
    assert "greta made this key in your name. It works." in page.words
    assert "It is not known who made this key." in page.words
    assert len([box for box in page.all("form") if "accept" in str(box["action"])]) == 2
    owner.post(f"/keys/{keys['given'].pk}/accept/")
    assert not ApiKey.objects.get(name="given").unconfirmed
    assert get("/api/history", secrets["given"]).status_code == 200
