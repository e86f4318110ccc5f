"""Whether an account is a program's is declared when it is made, and guessed from nothing."""

from datetime import timedelta
from importlib import import_module
from itertools import product

import pytest
from django.db import connection
from django.test import RequestFactory
from django.utils import timezone

from conversations.models import AuditEvent, User
from conversations.tests.html import Html
from proxy import key_terms
from proxy.models import ApiKey

pytestmark = pytest.mark.django_db
ADD = "/admin/conversations/user/add/"
PASSWORD = "a long password of 2026"
NEW = {"username": "batch", "usable_password": "false", "password1": "", "password2": ""}
LACKS = list(product([True, False], repeat=3))


def make(lacks_password, lacks_sign_in, lacks_id, **fields) -> User:
    return User.objects.create_user(
        "someone",
        password=None if lacks_password else PASSWORD,
        last_login=None if lacks_sign_in else timezone.now(),
        external_id="" if lacks_id else "e-1",
        **fields,
    )


@pytest.mark.parametrize("lacks", LACKS)
@pytest.mark.parametrize("declared", [True, False])
def test_only_a_declared_ones_key_works_without_its_owner(admin, lacks, declared):
    owner = make(*lacks, is_service=declared)
    expires = timezone.now() + timedelta(days=30)
    form = {
        "owner": owner.pk,
        "name": "nightly",
        "scopes": ["chat"],
        "rows_a_day": 1000,
        "expires_0": f"{expires:%Y-%m-%d}",
        "expires_1": f"{expires:%H:%M:%S}",
    }
    admin.post("/admin/proxy/apikey/add/", form)
    key = ApiKey.objects.get()
    assert (key.state == ApiKey.State.IN_USE) == declared
    assert ApiKey.objects.usable().exists() == declared


def test_it_is_declared_when_the_account_is_made(admin):
    assert admin.post(ADD, NEW | {"is_service": "on"}).status_code == 302
    batch = User.objects.get(username="batch")
    assert (batch.is_service, batch.has_usable_password()) == (True, False)
    admin.post(ADD, NEW | {"username": "person"})
    assert not User.objects.get(username="person").is_service


def test_one_with_a_password_is_refused(admin):
    both = {"usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    page = admin.post(ADD, NEW | both | {"is_service": "on"})
    assert page.status_code == 200
    assert "switch its password off" in Html(page).words
    assert not User.objects.filter(username="batch").exists()


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("ticked", [True, False])
def test_it_is_taken_back_and_never_given_later(admin, declared, ticked):
    account = make(True, True, True, is_service=declared)
    form = {
        "username": "someone",
        "is_active": "on",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00",
    }
    form |= {"is_service": "on"} if ticked else {}
    change = f"/admin/conversations/user/{account.pk}/change/"
    assert admin.post(change, form).status_code == 302
    account.refresh_from_db()
    assert account.is_service == (declared and ticked)
    assert AuditEvent.objects.doing("changed").with_subject(account).exists()


@pytest.mark.parametrize("scopes", [["chat"], ["history:write"], ["history"]])
def test_a_key_ends_with_the_declaration_until_its_owner_accepts_it(admin, scopes):
    """A person who is given a program's account does not take its keys over unasked."""
    batch = make(True, True, True, is_service=True)
    maker, second = (User.objects.create_superuser(name) for name in ("greta", "carol"))
    key, _ = ApiKey.make_for(batch, "nightly", maker, scopes=scopes)
    if key.terms:
        request = RequestFactory().post("/")
        request.user = maker
        asked = key_terms.ask_second_person(request, key)
        assert asked.decide(second, agreed=True)
    assert key.state == ApiKey.State.IN_USE
    assert ApiKey.objects.usable().exists()
    User.objects.filter(pk=batch.pk).update(is_service=False)
    key = ApiKey.objects.get()
    assert key.state == ApiKey.State.FOR_OWNER
    assert not ApiKey.objects.usable().exists()
    key.accept()
    assert key.state == ApiKey.State.IN_USE
    assert ApiKey.objects.usable().exists()


def test_keys_of_programs_that_exist_are_accepted_by_nobody():
    batch = make(True, True, True, is_service=True)
    key, _ = ApiKey.make_for(batch, "nightly", User.objects.create_superuser("greta"))
    own, _ = ApiKey.make(batch, "own")
    ApiKey.objects.update(accepted=timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(import_module("proxy.migrations.0015_accepted_by_people").TAKE_BACK)
    assert list(ApiKey.objects.filter(accepted=None)) == [key]
    assert set(ApiKey.objects.usable()) == {key, own}


@pytest.mark.parametrize("lacks", LACKS)
@pytest.mark.parametrize("has_key", [True, False])
def test_accounts_that_were_taken_for_programs_stay_so(lacks, has_key):
    account = make(*lacks)
    if has_key:
        ApiKey.make(account, "nightly")
    with connection.cursor() as cursor:
        cursor.execute(import_module("proxy.migrations.0014_service_accounts").DECLARE)
    account.refresh_from_db()
    assert account.is_service == (all(lacks) and has_key)
