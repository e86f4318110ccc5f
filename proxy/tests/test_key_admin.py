"""API keys in the admin: created, shown once, revoked; never changed, never readable again."""

from datetime import timedelta
from hashlib import sha256

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from conversations.models import User
from proxy.models import ApiKey

pytestmark = pytest.mark.django_db
KEYS = "/admin/proxy/apikey/"


def form(owner: User, **changes) -> dict:
    expires = timezone.now() + timedelta(days=30)
    when = {"expires_0": f"{expires:%Y-%m-%d}", "expires_1": f"{expires:%H:%M:%S}"}
    return (
        {"owner": owner.pk, "name": "laptop", "scopes": ["chat", "usage"], "rows_a_day": 1000}
        | when
        | changes
    )


def test_a_new_keys_secret_is_shown_this_once(admin, alice):
    response = admin.post(f"{KEYS}add/", form(alice, shared="on"))
    key = ApiKey.objects.get()
    secret = response.context["secret"]
    assert secret.startswith("gw-")
    assert secret in response.content.decode()
    assert "no-store" in response["cache-control"]
    assert not ApiKey.objects.usable().exists()  # alice was not declared a program
    key.accept()
    assert ApiKey.objects.presented(secret).usable().get() == key
    assert (key.owner, key.name, key.scopes, key.shared, key.prefix) == (
        alice,
        "laptop",
        ["chat", "usage"],
        True,
        secret[:11],
    )
    for path in (KEYS, f"{KEYS}{key.pk}/change/", "/admin/", f"{KEYS}{key.pk}/history/"):
        body = admin.get(path).content.decode()
        assert secret not in body, path
        assert sha256(secret.encode()).hexdigest() not in body, path
    assert not any(secret in str(entry.__dict__) for entry in LogEntry.objects.all())
    assert not any(secret in str(session.get_decoded()) for session in Session.objects.all())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": ""}, "required"),
        ({"scopes": []}, "required"),
        ({"scopes": ["root"]}, "Select a valid choice"),
        ({"scopes": ["export"]}, "needs the addresses"),
        (
            {"scopes": ["export"], "addresses": "192.0.2.1\nmy office"},
            "is not an address or a network",
        ),
        ({"expires_0": "2020-01-01"}, "expires in the future"),
        ({"expires_0": "2999-01-01"}, "365 days at most"),
    ],
)
def test_a_wrong_form_makes_no_key(admin, alice, changes, said):
    response = admin.post(f"{KEYS}add/", form(alice, **changes))
    assert response.status_code == 200
    assert said in response.content.decode()
    assert not ApiKey.objects.exists()


def test_the_form_opens_with_the_longest_expiry_and_that_is_allowed(admin, alice, settings):
    page = admin.get(f"{KEYS}add/").context["adminform"].form
    expires = page["expires"].initial
    admin.post(
        f"{KEYS}add/", form(alice, expires_0=f"{expires:%Y-%m-%d}", expires_1=f"{expires:%H:%M:%S}")
    )
    key = ApiKey.objects.get()
    assert key.expires <= timezone.now() + timedelta(days=settings.API_KEY_MAX_DAYS)
    assert key.expires > timezone.now() + timedelta(days=settings.API_KEY_MAX_DAYS - 1)


def test_keys_are_revoked_for_good(admin, alice):
    keys = [ApiKey.make(alice, f"key {i}")[0] for i in range(3)]
    response = admin.post(
        KEYS, {"action": "revoke", "_selected_action": [key.pk for key in keys[:2]]}, follow=True
    )
    assert "2 revoked" in response.content.decode()
    assert [key.revoked is not None for key in ApiKey.objects.order_by("id")] == [True, True, False]
    when = ApiKey.objects.get(pk=keys[0].pk).revoked
    admin.post(KEYS, {"action": "revoke", "_selected_action": [key.pk for key in keys]})
    assert ApiKey.objects.get(pk=keys[0].pk).revoked == when
    assert not ApiKey.objects.usable().exists()


def test_a_key_is_never_changed_or_deleted(admin, alice):
    key, _ = ApiKey.make(alice, "laptop")
    before = ApiKey.objects.values().get()
    page = admin.get(f"{KEYS}{key.pk}/change/")
    assert page.status_code == 200
    assert b'name="expires_0"' not in page.content
    assert admin.post(f"{KEYS}{key.pk}/change/", form(alice, name="other")).status_code == 403
    assert admin.post(f"{KEYS}{key.pk}/delete/", {"post": "yes"}).status_code == 403
    admin.post(KEYS, {"action": "delete_selected", "_selected_action": [key.pk], "post": "yes"})
    assert ApiKey.objects.values().get() == before


def test_rights_come_from_groups_as_for_any_model(alice):
    key, _ = ApiKey.make(alice, "laptop")
    staff = User.objects.create_user("staff", is_staff=True)
    client = Client()
    client.force_login(staff)
    assert client.get(KEYS).status_code == 403
    group = Group.objects.create(name="Key watchers")
    staff.groups.add(group)
    group.permissions.add(Permission.objects.get(codename="view_apikey"))
    assert client.get(KEYS).status_code == 200
    assert client.get(f"{KEYS}add/").status_code == 403
    client.post(KEYS, {"action": "revoke", "_selected_action": [key.pk]})
    assert ApiKey.objects.get().revoked is None
    group.permissions.add(*Permission.objects.filter(codename__in=["add_apikey", "change_apikey"]))
    assert client.post(f"{KEYS}add/", form(alice)).status_code == 200
    client.post(KEYS, {"action": "revoke", "_selected_action": [key.pk]})
    assert ApiKey.objects.get(pk=key.pk).revoked


def test_the_list_says_which_keys_work(admin, alice):
    gone = User.objects.create_user("gone", is_active=False)
    ApiKey.make(alice, "works")
    ApiKey.make(alice, "old", expires=timezone.now() - timedelta(days=1))
    ApiKey.make(alice, "revoked")[0].revoke()
    ApiKey.make(gone, "orphan")
    page = admin.get(KEYS)
    states = {
        key.name: page.context["cl"].model_admin.state(key)
        for key in page.context["cl"].result_list
    }
    assert states == {
        "works": "in use",
        "old": "expired",
        "revoked": "revoked",
        "orphan": "owner deactivated",
    }
