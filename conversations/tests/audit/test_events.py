"""The audit trail: what is on it, and that nothing is shown where it cannot be written."""

import json

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.db import transaction
from django.test import Client

from conversations.models import Attachment, AuditEvent, Snapshot, User
from conversations.people import audit
from conversations.people.audit import NotRecorded
from conversations.tests.audit.events import CALLS, CONVERSATIONS, PNG, Action, newest
from conversations.tests.calls import person, turn, user

pytestmark = pytest.mark.django_db


# One event ----------------------------------------------------------------------------------------


def test_an_event_says_who_did_what_with_which_row(rf):
    call = turn(person("alice"), [user("hi")], "Hello!")
    request = rf.get("/", headers={"User-Agent": "Fire\0fox " + 600 * "x"})
    request.user, request.client_address = person("rita"), "192.0.2.7"
    audit.record(request, Action.CALL, call, terms="word", rows=3)
    event = AuditEvent.objects.get()
    assert (event.actor, event.actor_name, event.address, event.action) == (
        request.user,
        "rita",
        "192.0.2.7",
        "call",
    )
    assert (event.kind, event.subject, event.conversation) == (
        "snapshot",
        str(call.id),
        call.conversation_id,
    )
    assert (event.terms, json.loads(event.detail)) == ("word", {"rows": 3})
    assert len(event.user_agent) == audit.LONGEST
    assert "\0" not in event.user_agent
    assert (
        list(AuditEvent.objects.about(call.conversation_id))
        == list(AuditEvent.objects.with_subject(call))
        == list(AuditEvent.objects.by(request.user))
        == [event]
    )


def test_a_command_has_a_name_and_no_account():
    event = audit.record("manage.py something", Action.CHANGED, person("alice"), password=True)
    assert (event.actor, event.actor_name, event.conversation) == (
        None,
        "manage.py something",
        None,
    )
    assert event.action_label == "changed"


def test_what_cannot_be_written_is_an_error(no_audit_store):
    with pytest.raises(NotRecorded):
        audit.record(person("alice"), Action.LIST)


def reads(call: Snapshot) -> dict[str, tuple[str, str]]:
    """Every page that shows content: what the event says, and of which kind of row."""
    file = Attachment.objects.get()
    return {
        CONVERSATIONS: ("list", "conversation"),
        f"{CONVERSATIONS}?q=secret&user=ali&model=m": ("search", "conversation"),
        f"{CONVERSATIONS}{call.conversation_id}/change/": ("transcript", "conversation"),
        f"{CONVERSATIONS}{call.conversation_id}/history/": ("list", "conversation"),
        f"{CONVERSATIONS}{call.conversation_id}/a/{file.pk}": ("attachment", "attachment"),
        f"{CONVERSATIONS}csv/?q=secret": ("export", "conversation"),
        CALLS: ("list", "snapshot"),
        f"{CALLS}?q=id:{str(call.id)[:8]}": ("search", "snapshot"),
        f"{CALLS}csv/": ("export", "snapshot"),
        f"{CALLS}{call.id}/change/": ("call", "snapshot"),
        f"{CALLS}{call.id}/history/": ("list", "snapshot"),
        f"{CALLS}{call.id}/request.json": ("export", "snapshot"),
        f"{CALLS}{call.id}/response.json": ("export", "snapshot"),
    }


def test_each_reading_is_one_event(desk, call):
    for path, expected in reads(call).items():
        before = AuditEvent.objects.count()
        response = desk.get(path)
        assert response.status_code == 200
        response.getvalue()
        event = newest()
        assert (event.action, event.kind) == expected, path
        assert AuditEvent.objects.count() == before + 1, path
        assert event.actor.username == "rita"
        one = str(call.id) in path or str(call.conversation_id) in path
        assert event.conversation == (call.conversation_id if one else None), path
        assert "secret" not in event.detail


def test_words_stand_apart_from_what_else_was_chosen(desk, call):
    desk.get(f"{CONVERSATIONS}?q=my+secret&user=ali&since=2020-01-01&status=ok")
    event = newest()
    assert event.terms == "my secret"
    assert json.loads(event.detail) == {
        "filter": {"user": "ali", "since": "2020-01-01", "status": "ok"},
        "rows": 0,
    }


def test_where_reading_cannot_be_recorded_there_is_nothing_to_read(desk, call, no_audit_store):
    for path in reads(call):
        with transaction.atomic():
            response = desk.get(path)
            transaction.set_rollback(True)
        assert response.status_code == 503, path
        assert "cannot record" in response.content.decode()
        for shown in (
            b"secret",
            b"alice",
            PNG[:8],
            str(call.id).encode() if str(call.id) not in path else b"kept",
        ):
            assert shown not in response.content, path


def test_an_owner_opens_a_file_of_his_own_without_an_event(call):
    alice = Client()
    alice.force_login(call.owner)
    response = alice.get(f"/c/{call.conversation_id}/a/{Attachment.objects.get().pk}")
    assert response.getvalue() == PNG
    assert not AuditEvent.objects.exists()


def test_a_change_of_rights_says_what_they_were(root):
    alice, group = person("alice"), Group.objects.get(name="Reviewer")
    path = f"/admin/conversations/user/{alice.pk}/change/"
    assert (
        root.post(
            path, {"username": "alice", "is_active": "on", "is_staff": "on", "groups": [group.pk]}
        ).status_code
        == 302
    )
    event = newest()
    assert (event.action, event.kind, event.subject, event.actor.username) == (
        "changed",
        "user",
        str(alice.pk),
        "root",
    )
    what = json.loads(event.detail)["what"]
    assert what[-1] == {
        "rights": {
            "is_staff": {"was": False, "is": True},
            "groups": {"was": [], "is": ["Reviewer"]},
        }
    }


def test_a_change_that_cannot_be_recorded_is_not_made(root, no_audit_store):
    alice = person("alice")
    root.raise_request_exception = False
    with transaction.atomic():
        changed = {"username": "alice", "is_active": "on", "is_staff": "on"}
        assert (
            root.post(f"/admin/conversations/user/{alice.pk}/change/", changed).status_code == 503
        )
        transaction.set_rollback(True)
    alice.refresh_from_db()
    assert not alice.is_staff


def test_groups_policies_and_keys(root):
    root.post("/admin/auth/group/add/", {"name": "Readers"})
    assert (newest().action, newest().kind) == ("added", "group")
    group = Group.objects.get(name="Readers")
    root.post(
        f"/admin/auth/group/{group.pk}/change/",
        {"name": "Readers", "permissions": [Permission.objects.get(codename="view_content").pk]},
    )
    assert json.loads(newest().detail)["what"][-1] == {
        "rights": {
            "permissions": {"was": [], "is": ["Conversations | conversation | View content"]}
        }
    }
    root.post(f"/admin/auth/group/{group.pk}/delete/", {"post": "yes"})
    assert (newest().action, newest().subject) == ("deleted", str(group.pk))
    root.post("/admin/conversations/usagepolicy/add/", {"text": "Be kind.", "publish": "on"})
    assert (newest().action, newest().kind, json.loads(newest().detail)["name"]) == (
        "added",
        "usagepolicy",
        "version 1",
    )
    assert "kind" not in newest().detail


def test_passwords_are_named_and_never_kept(root):
    alice = person("alice")
    new = {
        "password1": "another long password",
        "password2": "another long password",
        "usable_password": "true",
    }
    root.post(f"/admin/conversations/user/{alice.pk}/password/", new)
    assert (newest().action, newest().subject) == ("password", str(alice.pk))
    own = {
        "old_password": "a good long password",
        "new_password1": "my other long password",
        "new_password2": "my other long password",
    }
    assert root.post("/password/", own).status_code == 302
    assert (newest().action, newest().actor_name, newest().subject) == (
        "password",
        "root",
        str(User.objects.get(username="root").pk),
    )
    assert not AuditEvent.objects.filter(detail__contains="long").exists()


def test_one_s_own_key_made_and_revoked():
    alice = Client()
    alice.force_login(person("alice"))
    alice.post("/keys/", {"name": "laptop", "scopes": ["chat"], "days": "30"})
    assert (newest().action, newest().kind, newest().actor_name) == ("added", "apikey", "alice")
    alice.post(f"/keys/{newest().subject}/revoke/")
    assert (newest().action, newest().kind) == ("changed", "apikey")


def test_staff_sign_in_and_everybody_s_failures():
    User.objects.create_superuser("root", password="a good long password")
    User.objects.create_user("alice", password="a good long password")
    client = Client()
    client.post("/sign-in/", {"username": "alice", "password": "a good long password"})
    assert not AuditEvent.objects.exists()
    client.post("/admin/login/", {"username": "root", "password": "a good long password"})
    assert (newest().action, newest().actor_name) == ("sign_in", "root")
    for name, known in (("root", "root"), ("my password by mistake", "")):
        Client().post("/sign-in/", {"username": name, "password": "wrong"})
        assert (newest().action, newest().actor, json.loads(newest().detail)) == (
            "sign_in_failed",
            None,
            {"name": known},
        )


def test_commands(monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "a good long password")
    call_command(
        "createsuperuser", username="root", email="r@example.com", interactive=False, verbosity=0
    )
    assert (newest().action, newest().actor, newest().actor_name) == (
        "added",
        None,
        "manage.py createsuperuser",
    )
    monkeypatch.setattr("getpass.getpass", lambda prompt: "another long password")
    call_command("changepassword", "root", verbosity=0)
    assert (newest().action, newest().actor_name, newest().subject) == (
        "password",
        "manage.py changepassword",
        str(User.objects.get().pk),
    )
