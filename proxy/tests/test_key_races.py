"""Two keys at the same moment, where there is room for one: the first is not yet committed."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from conversations.models import User
from conversations.tests.calls import person
from conversations.tests.cast import signed_in
from conversations.tests.held import race
from proxy.models import ApiKey, key

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def zoe():
    zoe = person("zoe")
    for number in range(key.MOST - 1):
        ApiKey.make(zoe, f"key {number}")
    return zoe


@pytest.fixture
def ways(zoe):
    """All ways to make a key for her, each with what it answers when there is no room."""
    page, desk = signed_in(zoe), signed_in(User.objects.create_superuser("root"))
    greta = person("greta")
    expires = timezone.now() + timedelta(days=30)
    form = {
        "owner": zoe.pk,
        "name": "by admin",
        "scopes": ["chat"],
        "rows_a_day": 1000,
        "expires_0": f"{expires:%Y-%m-%d}",
        "expires_1": f"{expires:%H:%M:%S}",
    }
    own = {"name": "by herself", "scopes": ["chat"], "days": "30"}
    return {
        "page": lambda: page.post("/keys/", own).content.decode(),
        "admin": lambda: desk.post("/admin/proxy/apikey/add/", form).content.decode(),
        "code": lambda: ApiKey.make(zoe, "by code"),
        "code for her": lambda: ApiKey.make_for(zoe, "given", greta),
    }


@pytest.mark.parametrize("second", ["page", "admin", "code", "code for her"])
@pytest.mark.parametrize("first", ["page", "admin", "code", "code for her"])
def test_the_last_place_is_taken_once(zoe, ways, first, second):
    _, refused = race(ways[first], ways[second], waits=True)
    assert ApiKey.objects.owned_by(zoe).open().count() == key.MOST
    words = " ".join(refused.messages) if isinstance(refused, ValidationError) else refused
    assert "A person holds 20 keys at most. Revoke one that is not used." in words


def test_another_persons_keys_do_not_wait(zoe, ways):
    bob = person("bob")
    race(ways["code"], lambda: ApiKey.make(bob, "his"), waits=False)
    assert ApiKey.objects.owned_by(bob).count() == 1


def test_a_service_account_holds_as_many_as_it_needs():
    program = User.objects.create_user("batch", is_service=True)
    for number in range(key.MOST + 2):
        ApiKey.make(program, f"key {number}")
    assert ApiKey.objects.owned_by(program).open().count() == key.MOST + 2
