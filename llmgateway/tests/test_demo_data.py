"""The demo's people: loaded once, and put out of use without a trace lost."""

import pytest
from django.core.management import CommandError
from django.test import override_settings

from conversations import record
from conversations.models import Attachment, Conversation, Message, Snapshot, User
from llmgateway.demo import accounts
from llmgateway.tests.demo import run, signed_in
from proxy.models import ApiKey

pytestmark = pytest.mark.django_db


def everything():
    """Every row of theirs, as it stands."""
    kinds = (User, ApiKey, Conversation, Message, Snapshot, Attachment)
    return {kind.__name__: list(kind.objects.order_by("pk").values()) for kind in kinds}


@pytest.fixture
def empty(db, settings):
    settings.DEMO = True
    assert not User.objects.exists()


@pytest.mark.parametrize("name", ["carol", "admin", "alice"])
def test_it_refuses_a_database_of_other_people(empty, name):
    """Whatever they are called: the mark counts."""
    User.objects.create(username=name)
    with pytest.raises(CommandError, match=f"other people's users, such as {name}"):
        run("load_demo")
    assert User.objects.count() == 1
    assert not accounts.active_demo_accounts().exists()


def test_it_refuses_outside_the_demo(empty, settings):
    settings.DEMO = False
    with pytest.raises(CommandError, match="DEMO=1"):
        run("load_demo")
    assert not User.objects.exists()


def test_half_a_demo_is_none(empty, monkeypatch):
    close, calls = record.close, []

    def fails_at_the_fiftieth(*given):
        calls.append(given)
        if len(calls) == 50:
            raise OSError
        return close(*given)

    monkeypatch.setattr(record, "close", fails_at_the_fiftieth)
    with pytest.raises(OSError, match=r"^$"):
        run("load_demo")
    assert not User.objects.exists()
    assert not Snapshot.objects.exists()


def test_without_a_demo_there_is_nothing_to_remove(db):
    User.objects.create_user("admin", password="demo")
    assert run("remove_demo").startswith("There is no active demo account")
    assert User.objects.get().is_active


# Once, and out again ------------------------------------------------------------------------------


@pytest.fixture(scope="class")
def told(kept):
    """What a load says that is asked to be quiet."""
    with override_settings(DEMO=True), kept(lambda: run("load_demo", verbosity=0)) as told:
        yield told


@pytest.mark.usefixtures("told")
class TestLoaded:
    """What each does to it is taken back."""

    def test_it_is_quiet_when_asked(self, told):
        assert told == ""
        assert accounts.active_demo_accounts().count() == 11

    def test_a_second_run_changes_nothing(self):
        before = everything()
        assert run("load_demo") == "The demo is loaded already. Nothing was changed.\n"
        assert everything() == before

    def test_removed_means_that_nobody_gets_in_and_nothing_is_lost(self, client):
        kept = {kind: rows for kind, rows in everything().items() if kind not in ("User", "ApiKey")}
        client.force_login(User.objects.get(username="admin"))
        real = User.objects.create_user(
            "carol", password="a real password", email="carol@example.com"
        )
        mine, _ = ApiKey.make(real, "Mine", secret="gw-carols-own-secret")
        assert run("remove_demo").startswith("Deactivated 11 demo accounts: admin, alice, bob, ")
        assert not accounts.active_demo_accounts().exists()
        for name in accounts.SIGN_IN:
            assert signed_in(name, "demo") is None
            assert not User.objects.get(username=name).has_usable_password()
        assert not ApiKey.objects.presented("gw-demo-alice").usable().exists()
        assert list(ApiKey.objects.filter(revoked=None)) == [mine]
        assert signed_in("carol", "a real password") == real
        assert {kind: rows for kind, rows in everything().items() if kind in kept} == kept
        assert (
            run("remove_demo")
            == "There is no active demo account and no demo key. Nothing was changed.\n"
        )

    def test_a_removed_demo_is_not_loaded_over(self):
        run("remove_demo")
        with pytest.raises(CommandError, match="was removed from this database"):
            run("load_demo")
