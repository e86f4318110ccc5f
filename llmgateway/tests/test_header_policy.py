"""What each reply tells a browser: which scripts may run, who may frame it, who may keep it.

Every URL is asked by those who see most of it; a new one is among them.
"""

import pytest
from django.contrib.auth.models import Group
from django.http.response import HttpResponseBase
from django.test import Client

from conversations.models import Review, Snapshot, User
from conversations.tests.calls import turn, user
from conversations.tests.cast import client_of, signed_in
from conversations.tests.html import Html, list_inline
from conversations.tests.reviews import waiting
from llmgateway.tests.paths import CANARY, PNG, paths
from proxy.models import ApiKey
from proxy.tests.routes import ROUTES

pytestmark = pytest.mark.django_db
WHO = ("alice", "staff", "a visitor")
# Directives that no page goes without, and the words of a policy that allow too much.
LOCKED = {"base-uri": "'none'", "form-action": "'self'", "frame-ancestors": "'none'"}
LAX = ("unsafe", "*", "http:", "https:", "blob:", "nonce", "strict-dynamic")
PAGES = "default-src 'none'"
DESK = "default-src 'self'"
FILE = "sandbox; default-src 'none'"  # of what a person or a model sent


@pytest.fixture
def call() -> Snapshot:
    """It waits for a review, in a conversation whose owner has a key."""
    alice = User.objects.create_user("alice", password="a long password of 2026")
    ApiKey.make(alice, "laptop")
    picture = {"type": "image_url", "image_url": {"url": PNG}}
    call = turn(alice, [user([{"type": "text", "text": CANARY}, picture])], CANARY)
    waiting(call.conversation)
    return call


def client_for(who: str) -> Client:
    if who == "alice":
        return signed_in(User.objects.get(username="alice"))
    names = Group.objects.values_list("name", flat=True)
    return client_of("lea", *names, is_superuser=True) if who == "staff" else Client()


def faults_of(path: str, response: HttpResponseBase) -> list[str]:
    """What is missing or lax in a reply's headers, or inline in it."""
    policy = response.headers.get("Content-Security-Policy", "")
    wanted = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"}
    if not policy.startswith("sandbox"):
        wanted["X-Frame-Options"] = "DENY"
    faults = [name for name, value in wanted.items() if response.headers.get(name) != value]
    if not policy.startswith((DESK, FILE) if path.startswith("/admin/") else (PAGES, FILE)):
        faults.append(f"policy: {policy}")
    directives = dict(part.strip().partition(" ")[::2] for part in policy.split(";"))
    if policy != FILE:
        faults += [name for name, value in LOCKED.items() if directives.get(name) != value]
    faults += [word for word in LAX if word in policy]
    if response.headers.get("Content-Type", "").startswith("text/html"):
        faults += list_inline(Html(response))
    return faults


@pytest.mark.parametrize("who", WHO)
def test_each_page_has_its_policy_and_nothing_inline(call, who):
    client, seen = client_for(who), {}
    for path in paths(call):
        if not path.startswith(("/api/", "/v1/")):
            seen[path] = client.get(path)
    found = {path: faults for path, reply in seen.items() if (faults := faults_of(path, reply))}
    assert found == {}
    assert Review.objects.count() == 1
    shown = sum(reply.status_code == 200 for reply in seen.values())
    assert shown > {"alice": 8, "staff": 60, "a visitor": 1}[who]


@pytest.mark.parametrize("who", ["alice", "staff"])
def test_no_reply_of_the_api_is_kept_or_run(call, who):
    client = client_for(who)
    for route in ROUTES:
        if route.method != "GET":
            continue
        reply = client.get(route.address(call.conversation))
        assert reply.headers["Cache-Control"] == "no-store", route
        assert not reply.headers["Content-Type"].startswith("text/html"), route
