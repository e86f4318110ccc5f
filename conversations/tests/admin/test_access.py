"""The review desk: who reads it, who is refused, and what no one can change."""

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType

from conversations.models import (
    Attachment,
    Conversation,
    Message,
    Snapshot,
    User,
)
from conversations.people.access import holders_of, may
from conversations.tests.admin.desk import CALLS, CONVERSATIONS, page_of, read, text, transcript_of
from conversations.tests.calls import person
from conversations.tests.cast import signed_in

pytestmark = pytest.mark.django_db


# Who sees what ------------------------------------------------------------------------------------


def content_pages(call: Snapshot, file: Attachment) -> list[str]:
    return [
        CONVERSATIONS,
        CALLS,
        f"{CONVERSATIONS}csv/",
        f"{CALLS}csv/",
        f"{CALLS}?q=secret",
        transcript_of(call),
        page_of(call),
        f"{CALLS}{call.id}/request.json",
        f"{CALLS}{call.id}/response.json",
        f"{CONVERSATIONS}{call.conversation_id}/a/{file.pk}",
        f"{CONVERSATIONS}{call.conversation_id}/history/",
    ]


def test_reviewers_read_every_content_page(desk, call):
    for path in content_pages(call, Attachment.objects.get()):
        assert read(desk, path)[0].status_code == 200, path


def test_a_superuser_outside_the_group_reads_none(call):
    root = signed_in(User.objects.create_superuser("root"))
    for path in content_pages(call, Attachment.objects.get()):
        response = root.get(path)
        assert response.status_code == 403, path
        assert b"secret" not in response.content, path
    index = root.get("/admin/").content
    assert b"/admin/conversations/user/" in index
    assert CONVERSATIONS.encode() not in index
    assert CALLS.encode() not in index


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_employees_are_sent_to_sign_in_also_for_their_own(name, call):
    for path in content_pages(call, Attachment.objects.get()):
        response = signed_in(person(name)).get(path)
        assert response.status_code == 302, path
        assert response["location"].startswith("/admin/login/?next="), path


def test_a_group_member_who_is_deactivated_or_not_staff_reads_nothing(rita, call):
    rita.is_staff = False
    rita.save()
    assert signed_in(rita).get(CALLS).status_code == 302
    rita.is_staff, rita.is_active = True, False
    rita.save()
    assert signed_in(rita).get(CALLS).status_code == 302


def test_reading_without_the_right_to_export(call):
    reader = User.objects.create_user("reader", is_staff=True)
    reader.groups.add(group := Group.objects.create(name="Readers"))
    group.permissions.add(
        Group.objects.get(name="Reviewer").permissions.get(codename="view_content")
    )
    client = signed_in(reader)
    page = client.get(CALLS)
    assert page.status_code == 200
    assert b"Download CSV" not in page.content
    for path in (f"{CALLS}csv/", f"{CONVERSATIONS}csv/", f"{CALLS}{call.id}/request.json"):
        assert client.get(path).status_code == 403, path


def test_nothing_can_be_added_changed_or_deleted(rita, call):
    rita.is_superuser = True
    rita.save()
    client = signed_in(rita)
    before = (
        list(Snapshot.objects.values()),
        list(Conversation.objects.values()),
        list(Message.objects.values()),
    )
    for base, id in ((CONVERSATIONS, call.conversation_id), (CALLS, call.id)):
        assert client.get(f"{base}add/").status_code == 403
        assert client.post(f"{base}add/", {}).status_code == 403
        assert (
            client.post(f"{base}{id}/change/", {"title": "changed", "status": "ok"}).status_code
            == 403
        )
        assert client.get(f"{base}{id}/delete/").status_code == 403
        assert client.post(f"{base}{id}/delete/", {"post": "yes"}).status_code == 403
        client.post(
            base, {"action": "delete_selected", "_selected_action": [str(id)], "post": "yes"}
        )
    assert before == (
        list(Snapshot.objects.values()),
        list(Conversation.objects.values()),
        list(Message.objects.values()),
    )


def test_an_id_that_does_not_exist_leads_home_with_a_word(desk):
    for base in (CONVERSATIONS, CALLS):
        for id in ("019a0000-0000-7000-8000-000000000000", "nonsense"):
            response = desk.get(f"{base}{id}/change/", follow=True)
            assert response.redirect_chain == [("/admin/", 302)]
            assert "doesn’t exist" in text(response)


# People -------------------------------------------------------------------------------------------


def test_who_is_on_record_cannot_be_deleted_and_titles_stay_private(alice, call):
    root = signed_in(User.objects.create_superuser("root"))
    Conversation.objects.update(title="confidential title")
    path = f"/admin/conversations/user/{alice.pk}/delete/"
    for response in (root.get(path), root.post(path, {"post": "yes"})):
        assert "Deactivate the account instead." in text(response)
        assert b"confidential title" not in response.content
    chosen = {"action": "delete_selected", "_selected_action": [alice.pk], "post": "yes"}
    assert "Deactivate the account instead." in text(
        root.post("/admin/conversations/user/", chosen)
    )
    assert User.objects.filter(pk=alice.pk).exists()


def test_who_is_not_on_record_can_be(alice):
    root = signed_in(User.objects.create_superuser("root"))
    bob = person("bob")
    assert (
        root.post(f"/admin/conversations/user/{bob.pk}/delete/", {"post": "yes"}).status_code == 302
    )
    assert not User.objects.filter(pk=bob.pk).exists()


def test_a_persons_columns_are_kept_and_a_time_zone_is_one(alice):
    root = signed_in(User.objects.create_superuser("root"))
    path = f"/admin/conversations/user/{alice.pk}/change/"
    form = {
        "username": "alice",
        "job_title": "Analyst",
        "department": "Finance",
        "external_id": "E-1",
        "time_zone": "Mars/Olympus",
        "is_active": "on",
    }
    assert "not a known time zone" in text(root.post(path, form))
    assert root.post(path, form | {"time_zone": "Asia/Tokyo"}).status_code == 302
    alice.refresh_from_db()
    assert (alice.job_title, alice.department, alice.external_id, alice.time_zone) == (
        "Analyst",
        "Finance",
        "E-1",
        "Asia/Tokyo",
    )


def test_reviewers_administer_nobody(desk, alice):
    for path in (
        "/admin/conversations/user/",
        f"/admin/conversations/user/{alice.pk}/change/",
        "/admin/auth/group/",
        "/admin/proxy/apikey/",
    ):
        assert desk.get(path).status_code == 403, path


# Rights -------------------------------------------------------------------------------------------


def test_one_account_and_all_accounts_are_asked_alike():
    """By a group, by itself, by both; not by a right of that name of another app, nor inactive."""
    permission = Permission.objects.get(
        content_type__app_label="conversations", codename="view_content"
    )
    elsewhere = Permission.objects.create(
        content_type=ContentType.objects.filter(app_label="proxy").first(), codename="view_content"
    )
    accounts = {name: person(name) for name in ("group", "own", "both", "gone", "other", "none")}
    for name in ("group", "both", "gone"):
        accounts[name].groups.add(Group.objects.get(name="Reviewer"))
    for name in ("own", "both"):
        accounts[name].user_permissions.add(permission)
    accounts["other"].user_permissions.add(elsewhere)
    User.objects.filter(username="gone").update(is_active=False)
    held = {account.username for account in User.objects.all() if may(account, "view_content")}
    assert held == {"group", "own", "both"}
    assert sorted(row.username for row in holders_of("view_content")) == sorted(held)
    assert may(User.objects.get(username="other"), "proxy.view_content")
