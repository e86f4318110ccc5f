"""A person's own API keys on the page: alice creates, sees and revokes hers; bob sees none."""

import re
from datetime import timedelta
from hashlib import sha256
from importlib import import_module
from itertools import combinations

import pytest
from django.contrib.messages import get_messages
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.utils import timezone

from conversations.models import Approval
from conversations.tests.calls import person, turn, user
from conversations.tests.cast import signed_in
from conversations.tests.html import Html, check
from proxy.models import ApiKey
from proxy.tests.routes import ROUTES
from proxy.upstreams import catalogue

pytestmark = pytest.mark.django_db
KEYS = "/admin/proxy/apikey/"
FORM = {"name": "laptop", "scopes": ["chat"], "days": "30"}


def test_a_key_is_made_and_its_secret_shown_this_once(hers, alice):
    response = hers.post("/keys/", FORM | {"scopes": ["chat", "embeddings"]})
    key, secret = ApiKey.objects.get(), response.context["secret"]
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    assert ApiKey.objects.usable().presented(secret).get() == key
    assert (key.owner, key.name, key.scopes, key.shared) == (
        alice,
        "laptop",
        ["chat", "embeddings"],
        False,
    )
    assert timedelta(days=29) < key.expires - timezone.now() <= timedelta(days=30)
    assert Html(response).text.count(secret) == 3  # alone, and in the two examples
    digest = sha256(secret.encode()).hexdigest()
    for path in ("/keys/", "/", f"/keys/{key.pk}/revoke/"):
        body = hers.get(path).content.decode()
        assert secret not in body
        assert digest not in body
    assert not any(secret in str(session.get_decoded()) for session in Session.objects.all())
    assert not any(
        secret in str(value) for row in ApiKey.objects.values() for value in row.values()
    )


def test_the_list_says_what_there_is(hers, alice):
    key, _ = ApiKey.make(alice, "nightly job", scopes=["chat", "images"])
    key.mark_used(timezone.now())
    ApiKey.make(alice, "old one", expires=timezone.now() - timedelta(days=1))
    ApiKey.make(alice, "lost one")[0].revoke()
    ApiKey.make(person("bob"), "bob's own")
    html = Html(hers.get("/keys/"))
    check(html)
    for words in (
        "nightly job",
        f"{key.prefix}…",
        "Chat completions, Images",
        "last used",
        "never used",
        "expired",
        "revoked",
        "old one",
        "lost one",
    ):
        assert words in html.words
    assert "bob's own" not in html.words
    assert [link["href"] for link in html.all("a") if "revoke" in str(link.get("href"))] == [
        f"/keys/{key.pk}/revoke/"
    ]
    assert [
        link["href"] for link in Html(hers.get("/history/")).all("a", **{"class": "plain"})
    ].count("/keys/") == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": ""}, "Give the key a name."),
        ({"name": "x" * 101}, "at most 100 characters"),
        ({"scopes": []}, "Choose at least one permission."),
        ({"scopes": ["chat", "export"]}, "export is not one of the available choices"),
        ({"scopes": ["history", "usage"]}, "usage is not one of the available choices"),
        ({"days": ""}, "required"),
        ({"days": "0"}, "At least 1."),
        ({"days": "366"}, "At most 365."),
        ({"days": "soon"}, "Enter a whole number."),
    ],
)
def test_a_wrong_form_makes_no_key(hers, changes, said):
    response = hers.post("/keys/", FORM | changes)
    html = Html(response)
    check(html)
    assert response.status_code == 400
    assert said in html.words
    assert not ApiKey.objects.exists()


def test_no_field_of_the_form_makes_it_another_persons_or_shared(hers, alice):
    bob = person("bob")
    hers.post(
        "/keys/",
        FORM | {"owner": bob.pk, "shared": "on", "expires": "2999-01-01", "secret": "gw-mine"},
    )
    key = ApiKey.objects.get()
    assert (key.owner, key.shared) == (alice, False)
    assert key.expires < timezone.now() + timedelta(days=31)


def test_the_longest_expiry_is_what_the_setting_says(hers, settings):
    settings.API_KEY_MAX_DAYS = 7
    html = Html(hers.get("/keys/"))
    [days] = html.all("input", name="days")
    assert (days["max"], days["value"]) == ("7", "7")
    assert "at most 7" in html.words
    assert hers.post("/keys/", FORM | {"days": "8"}).status_code == 400
    assert hers.post("/keys/", FORM | {"days": "7"}).status_code == 200


def test_a_key_is_revoked_once_it_was_confirmed(hers, alice):
    key, secret = ApiKey.make(alice, "laptop")
    page = Html(hers.get(f"/keys/{key.pk}/revoke/"))
    check(page)
    assert "laptop" in page.words
    assert ApiKey.objects.usable().exists()
    response = hers.post(f"/keys/{key.pk}/revoke/")
    assert response["Location"] == "/keys/"
    assert not ApiKey.objects.usable().presented(secret).exists()
    when = ApiKey.objects.get().revoked
    assert "Revoked “laptop”" in str(next(iter(get_messages(response.wsgi_request))))
    hers.post(f"/keys/{key.pk}/revoke/")
    assert ApiKey.objects.get().revoked == when


def test_a_strangers_key_is_not_there(hers):
    key, _ = ApiKey.make(person("bob"), "laptop")
    for method in (hers.get, hers.post):
        theirs, none = method(f"/keys/{key.pk}/revoke/"), method("/keys/999999999/revoke/")
        assert theirs.status_code == none.status_code == 404
        same = [
            answer.content.replace(answer["x-request-id"].encode(), b"")
            for answer in (theirs, none)
        ]
        assert same[0] == same[1]
    assert ApiKey.objects.get().revoked is None


@pytest.mark.parametrize("path", ["/keys/", "/keys/1/revoke/"])
def test_without_a_session_one_signs_in(path):
    for method in (Client().get, Client().post):
        assert method(path)["Location"] == f"/sign-in/?next={path}"
    assert Client(enforce_csrf_checks=True).post(path, FORM).status_code == 403
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(
    ("scopes", "models", "used", "words"),
    [
        (["chat"], ["a", "b"], None, '"model": "a"'),
        (["chat"], ["a", "b"], "b", '"model": "b"'),
        (["chat", "images"], ["a", "gpt-4o-mini"], "gone", '"model": "gpt-4o-mini"'),
        (["images", "embeddings"], ["a", "dall-e-3"], None, '"model": "dall-e-3"'),
        (["embeddings"], ["a"], None, '"model": "text-embedding-3-small"'),
        (["chat"], ["it's $(x)"], None, "it'\"'\"'s $(x)"),
    ],
)
def test_the_example_asks_for_what_the_key_may_do(
    hers, monkeypatch, settings, scopes, models, used, words
):
    monkeypatch.setattr(catalogue, "list_models", lambda *_: [{"id": name} for name in models])
    settings.BEHIND_TLS = True
    session = hers.session
    session["model"] = used
    session.save()
    example = hers.post("/keys/", FORM | {"scopes": scopes}).context["example"]
    assert words in example.curl
    assert "https://testserver/v1/" in example.curl
    assert 'base_url="https://testserver/v1"' in example.python


def test_reading_is_ticked_by_its_owner_and_the_page_says_so(hers):
    page = Html(hers.get("/keys/"))
    ticked = [box["value"] for box in page.all("input", name="scopes") if "checked" in box]
    assert ticked == ["chat"]
    assert "The key can do only what you tick." in page.words
    example = hers.post("/keys/", FORM | {"scopes": ["history"]}).context["example"]
    for code in (example.curl, example.python):
        assert "/api/conversations" in code


SUBSETS = [
    list(scopes)
    for size in range(1, len(ApiKey.OWN_SCOPES) + 1)
    for scopes in combinations(ApiKey.OWN_SCOPES, size)
]


@pytest.mark.parametrize("scopes", SUBSETS, ids=",".join)
@pytest.mark.parametrize("has_asked", [True, False])
def test_the_example_is_a_request_that_the_key_may_send(hers, alice, scopes, has_asked):
    root = str(turn(alice, [user("hello")], "hi").conversation_id) if has_asked else "none"
    curl = hers.post("/keys/", FORM | {"scopes": scopes}).context["example"].curl
    path = re.search(r"http://testserver(/[\w/.-]+)", curl)[1].replace(root, "{root}")
    method = "PATCH" if "-X PATCH" in curl else "POST" if " -d " in curl else "GET"
    [route] = [each for each in ROUTES if (each.method, each.path) == (method, path)]
    assert set(route.scopes) <= set(scopes)


def test_people_read_what_a_key_may_do_and_no_codes(hers, alice, admin):
    """Wherever a page says it: the answer to the form, the list, and the admin."""
    every = list(ApiKey.Scope)
    made = Html(hers.post("/keys/", FORM | {"scopes": ApiKey.OWN_SCOPES}))
    key, _ = ApiKey.make(alice, "all", scopes=every)
    ApiKey.objects.update(accepted=None)  # as it is shown for her to accept, too
    pages = [Html(hers.get("/keys/"))]
    pages += [Html(admin.get(path)) for path in (KEYS, f"{KEYS}{key.pk}/change/")]
    for scope in every:
        for page in pages:
            assert str(scope.label) in page.words
            assert f"{scope.value}, " not in page.words
    assert "Permissions: Chat completions, Images, Embeddings, Read conversations," in made.words
    assert "history:write" not in made.words


def test_keys_that_exist_keep_what_they_could(alice):
    """By the migration that made reading a scope of its own, once and for all keys."""
    old, _ = ApiKey.make(alice, "old", scopes=["embeddings"])
    none, _ = ApiKey.make(alice, "none", scopes=[])
    migration = import_module("proxy.migrations.0010_history_scopes")
    for _ in range(2):
        with connection.cursor() as cursor:
            cursor.execute(migration.GIVE)
    assert ApiKey.objects.get(pk=old.pk).scopes == ["embeddings", "history", "history:write"]
    assert ApiKey.objects.get(pk=none.pk).scopes == ["history", "history:write"]
    with connection.cursor() as cursor:
        cursor.execute(migration.TAKE)
    assert ApiKey.objects.get(pk=old.pk).scopes == ["embeddings"]


def refuse(key: ApiKey) -> None:
    """Have a second person refuse it: it opens nothing any more, whatever its owner does."""
    asked = Approval.objects.create(
        kind=ApiKey.APPROVAL, target=str(key.pk), digest=b"", asked_by=key.owner
    )
    assert asked.decide(person("carol"), agreed=False)


def test_a_person_holds_twenty_keys_and_no_more(hers, admin):
    zoe = person("zoe")
    client = signed_in(zoe)
    for number in range(20):
        ApiKey.make(zoe, f"key {number}")
    ApiKey.make(zoe, "old", expires=timezone.now() - timedelta(days=1))
    refuse(ApiKey.objects.get(name="key 3"))
    ApiKey.make(zoe, "in its place")
    refused = client.post("/keys/", FORM)
    assert refused.status_code == 400
    assert "20 keys at most" in Html(refused).words
    by_admin = {"owner": zoe.pk, "scopes": ["chat"], "name": "one more"}
    page = admin.post("/admin/proxy/apikey/add/", by_admin).content.decode()
    assert "20 keys at most" in page
    assert ApiKey.objects.count() == 22
    ApiKey.objects.get(name="old").revoke()  # an expired one makes no room
    assert client.post("/keys/", FORM).status_code == 400
    ApiKey.objects.get(name="key 7").revoke()
    assert client.post("/keys/", FORM).status_code == 200
