"""What a Lead of some departments sees of decisions: those about these people, and the own ones."""

import csv
import re
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from conversations.models import Conversation, Review, SamplingPolicy, User
from conversations.tests.cast import client_of
from conversations.tests.reviews import post_decision, talk

pytestmark = pytest.mark.django_db
REPORT, DECISIONS = "/admin/reviewers/", "/admin/conversations/decision/"
PAGES = (REPORT, f"{REPORT}?print", f"{REPORT}reviewers.csv", DECISIONS, f"{DECISIONS}csv/")


def drawn(owner: str, department: str, policy: SamplingPolicy) -> Conversation:
    conversation = talk(owner, f"a matter of {department}")
    now = timezone.now()
    Review.objects.create(
        conversation=conversation, source="sampled", entered=now, due=now, policy=policy
    )
    User.objects.filter(username=owner).update(department=department)
    return conversation


@pytest.fixture
def decided() -> dict[str, Conversation]:
    """Two decisions about Finance by fred, one about Legal by rolf; a policy of each drew them."""
    maker = User.objects.create_user("maker")
    policies = {
        department: SamplingPolicy.objects.create(
            percent=Decimal(100), department=department, seed=b"s" * 32, made_by=maker
        )
        for department in ("Legal", "Finance")
    }
    rolf, fred = client_of("rolf", "Reviewer"), client_of("fred", "Reviewer")
    made = {
        "legal": drawn("alice", "Legal", policies["Legal"]),
        "finance": drawn("bob", "Finance", policies["Finance"]),
        "more": drawn("bea", "Finance", policies["Finance"]),
        "moved": drawn("mia", "Legal", policies["Finance"]),  # since she was drawn
    }
    post_decision(rolf, made["legal"], note="read")
    for name in ("finance", "more"):
        post_decision(fred, made[name], reason="a foreign reason")
    return made


def shown(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.getvalue().decode("utf-8-sig")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_of_decisions_is_about_the_lead_s_departments(decided, path):
    legal = client_of("lea", "Lead", reviews_departments=["Legal"])
    page = shown(legal, path)
    assert "rolf" in page
    for word in ("fred", "Finance", "foreign", "bob", str(decided["finance"].pk)):
        assert word not in page, word
    everyone = shown(client_of("anna", "Lead"), path)
    assert "rolf" in everyone
    assert "fred" in everyone


def test_the_queue_names_no_policy_of_other_departments(decided):
    legal = client_of("lea", "Lead", reviews_departments=["Legal"])
    path = f"/admin/conversations/conversation/{decided['moved'].pk}/change/"
    for page in (shown(legal, "/admin/queue/?of=all"), shown(legal, path)):
        assert "a matter of Legal" in page
        assert "Finance" not in page
    assert "100 % of Finance" in shown(client_of("anna", "Lead"), path)


def test_the_sums_are_of_these_decisions(decided):
    legal = client_of("lea", "Lead", reviews_departments=["Legal"])
    table = list(csv.DictReader(shown(legal, f"{REPORT}reviewers.csv").splitlines()))
    assert [(row["reviewer"], row["decisions"]) for row in table] == [("", "1"), ("rolf", "1")]
    page = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", shown(legal, REPORT)))
    assert "100 % of Legal 1 1 (100 %)" in page


def test_what_the_lead_decided_stays_in_sight(decided):
    """Also of a person who has left the department since."""
    legal = client_of("lea", "Lead", reviews_departments=["Legal"])
    post_decision(legal, decided["moved"])
    User.objects.filter(username="mia").update(department="Finance")
    for path in PAGES:
        assert "lea" in shown(legal, path)
    table = list(csv.DictReader(shown(legal, f"{REPORT}reviewers.csv").splitlines()))
    assert [(row["reviewer"], row["decisions"]) for row in table][1:] == [
        ("lea", "1"),
        ("rolf", "1"),
    ]
