"""The dead-letter list: seen with its backlog, sent again, on the audit trail.

No secret and no word of a call is in it.
"""

import pytest
from django.contrib.auth.models import Permission
from django.test import Client, override_settings
from django.utils import timezone

from conversations.models import AuditEvent, Seal, User
from conversations.proof import sealing
from conversations.tests.calls import person, turn, user
from proxy.jobs import submissions
from proxy.models import Submission

pytestmark = pytest.mark.django_db
PAGE = "/admin/proxy/submission/"


@pytest.fixture
def rows() -> list[Submission]:
    """The first two of three are given up."""
    for n in range(3):
        turn(person(), [user(f"canary {n}")], "Fine.")
    sealing.seal()
    with override_settings(SUBMISSIONS_FROM=1):
        submissions.take_up()
    rows = list(Submission.objects.order_by("number"))
    Submission.objects.filter(number__in=[row.number for row in rows[:2]]).update(
        given_up=timezone.now(),
        tries=3,
        blamed=3,
        problem="the receiver answered 400",
        tried=timezone.now(),
    )
    return rows


@pytest.fixture
def on():
    with override_settings(
        ENABLE_SUBMISSIONS_API=True,
        SUBMISSIONS_API_URL="https://vendor.example/s3cret",
        SUBMISSIONS_API_AUTHORIZATION="Bearer s3cret",
        SUBMISSIONS_HMAC_SECRET="s3cret",
    ):
        yield


def client(name: str, *rights: str, superuser: bool = False) -> Client:
    account = User.objects.create_user(name, is_staff=True, is_superuser=superuser)
    account.user_permissions.set(
        Permission.objects.filter(content_type__app_label="proxy", codename__in=rights)
    )
    client = Client()
    client.force_login(account)
    return client


def resend(client: Client, rows: list[Submission]):
    return client.post(PAGE, {"action": "resend", "_selected_action": [row.pk for row in rows]})


def test_the_list_says_how_far_behind_the_receiver_is(on, rows):
    root = client("root", superuser=True)
    page = root.get(PAGE).content.decode()
    assert "1 waiting, the oldest for" in page
    assert "2 given up" in page
    assert "the receiver answered 400" in page
    for path in (PAGE, f"{PAGE}?state=given_up", f"{PAGE}{rows[0].pk}/change/"):
        page = root.get(path).content.decode()
        assert str(rows[0].snapshot) in page
        assert "s3cret" not in page
        assert "canary" not in page
    assert str(rows[2].snapshot) not in root.get(f"{PAGE}?state=given_up").content.decode()
    with override_settings(ENABLE_SUBMISSIONS_API=False):
        assert "switched off" in root.get(PAGE).content.decode()


def test_what_is_given_up_is_sent_again(on, rows):
    assert resend(client("root", superuser=True), rows).status_code == 302
    assert not Submission.objects.given_up().exists()
    assert set(Submission.objects.values_list("tries", "blamed")) == {(0, 0)}
    assert len(submissions.claim(9)) == 3
    event = AuditEvent.objects.get(action="resent")
    assert (event.actor_name, event.kind) == ("root", "submission")
    assert '"count": 2' in event.detail


def test_only_who_may_change_them_sends_them_again(on, rows):
    viewer = client("vera", "view_submission")
    assert viewer.get(PAGE).status_code == 200
    resend(viewer, rows)
    assert Submission.objects.given_up().count() == 2
    assert not AuditEvent.objects.filter(action="resent").exists()
    resend(client("carol", "change_submission"), rows)
    assert not Submission.objects.given_up().exists()


def test_the_log_is_only_read(on, rows):
    before = list(Seal.objects.values())
    assert (
        client("root", superuser=True)
        .post(f"{PAGE}{rows[0].pk}/delete/", {"post": "yes"})
        .status_code
        == 403
    )
    assert list(Seal.objects.values()) == before
