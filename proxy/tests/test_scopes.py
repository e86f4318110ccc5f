"""Who may do what by the API: each route with each method, scope, right and role of the table."""

from datetime import timedelta

import orjson
import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import URLPattern
from django.utils import timezone

from conversations.models import Conversation, Snapshot, UsagePolicy, User
from conversations.tests.calls import turn, user
from conversations.tests.cast import signed_in
from proxy.api import authentication, urls_api, urls_v1
from proxy.api.openai import UnknownPath
from proxy.api.scoped import ScopedView
from proxy.models import ApiKey
from proxy.tests.keys import working_key
from proxy.tests.routes import OPEN, ROUTES, Route

pytestmark = pytest.mark.django_db
PLANTED = "planted-word-7c1e"
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
every = pytest.mark.parametrize("route", ROUTES, ids=str)


@pytest.fixture(autouse=True)
def upstream_asked(settings, sent):
    settings.METADATA_CHECK = True
    authentication.callers.forget()
    return sent


@pytest.fixture
def conversation(alice) -> Conversation:
    return turn(alice, [user(PLANTED)], f"{PLANTED} too").conversation


def allow(account: User, route: Route) -> None:
    account.user_permissions.add(*Permission.objects.filter(codename__in=route.rights))


def make_key(owner: User, scopes) -> dict[str, str]:
    _, secret = working_key(owner, "test", scopes=list(scopes))
    return {"authorization": f"Bearer {secret}"}


def ask(route: Route, conversation: Conversation, client: Client | None = None, **headers: str):
    body = route.content(conversation)
    return (client or Client()).generic(
        route.method,
        route.address(conversation),
        b"" if body is None else orjson.dumps(body),
        content_type="application/json",
        headers=headers,
    )


def asks_a_model(route: Route) -> bool:
    return bool(set(route.scopes) & set(ApiKey.ASKING_SCOPES))


def code_of(answer) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def read(answer) -> bytes:
    return b"".join(answer.streaming_content) if answer.streaming else answer.content


def served() -> dict[str, type[ScopedView]]:
    """The views of the API by their patterns, those of paths that are no endpoint left out."""
    views = {}
    for prefix, module in (("/v1/", urls_v1), ("/api/", urls_api)):
        for entry in module.urlpatterns:
            assert isinstance(entry, URLPattern), f"{entry}: the walk does not look into includes"
            pattern, view = prefix + str(entry.pattern), getattr(entry.callback, "cls", None)
            if pattern not in OPEN and view is not UnknownPath:
                assert issubclass(view or object, ScopedView), pattern
                views[pattern] = view
    return views


def test_each_route_and_method_stands_in_the_table():
    found = {(path, method) for path, view in served().items() for method in view.scopes}
    assert found == {(route.pattern or route.path, route.method.lower()) for route in ROUTES}


@pytest.mark.parametrize("path", sorted({route.path for route in ROUTES}))
def test_what_no_view_declares_it_does_not_serve(alice, conversation, path):
    key = make_key(alice, ApiKey.Scope.values)
    declared = {route.method for route in ROUTES if route.path == path}
    for method in set(METHODS) - declared:
        answer = ask(Route(method, path, ()), conversation, **key)
        assert answer.status_code == 405, method


@every
def test_without_one_of_its_scopes_nothing_is_done_or_shown(
    alice, conversation, upstream_asked, route
):
    allow(alice, route)
    less = [set(ApiKey.Scope.values) - {scope} for scope in route.scopes]
    for scopes in [*less, set()] if less else []:
        before = Conversation.objects.values().get()
        answer = ask(route, conversation, **make_key(alice, scopes))
        assert code_of(answer) == (403, "scope_missing")
        assert PLANTED.encode() not in answer.content
        assert Conversation.objects.values().get() == before
        assert upstream_asked() == []
        refused = Snapshot.objects.filter(status="refused").first()
        assert bool(refused) == asks_a_model(route)


@every
def test_with_just_its_scopes_it_is_done(alice, conversation, route):
    allow(alice, route)
    answer = ask(route, conversation, **make_key(alice, route.scopes))
    assert answer.status_code not in (401, 403, 405, 500), read(answer)
    reads = {"history", "export"} & set(route.scopes)
    if not reads:
        assert PLANTED.encode() not in read(answer)


@every
def test_nobody_gets_anything_without_key_or_session(conversation, route):
    assert code_of(ask(route, conversation)) == (401, "invalid_api_key")
    wrong = ask(route, conversation, authorization="Bearer gw-wrong")
    assert code_of(wrong) == (401, "invalid_api_key")


@every
@pytest.mark.parametrize("ended", ["expires", "revoked"])
def test_a_key_that_has_ended_opens_nothing(alice, conversation, route, ended):
    allow(alice, route)
    key = make_key(alice, ApiKey.Scope.values)
    ApiKey.objects.update(**{ended: timezone.now() - timedelta(seconds=1)})
    assert code_of(ask(route, conversation, **key)) == (401, "invalid_api_key")


@every
def test_a_session_does_what_its_person_may(alice, hers, conversation, route):
    allow(alice, route)
    answer = ask(route, conversation, hers)
    if route.by_session:
        assert answer.status_code not in (401, 403, 405, 500), read(answer)
    else:
        assert code_of(answer) == (401, "invalid_api_key")


@pytest.mark.parametrize("route", list(filter(asks_a_model, ROUTES)), ids=str)
def test_a_session_waits_for_the_usage_policy_as_pages_do(
    alice, hers, conversation, upstream_asked, route
):
    UsagePolicy(text="Be kind.").publish()
    if route.by_session:
        assert code_of(ask(route, conversation, hers)) == (403, "policy_not_accepted")
        assert upstream_asked() == []
        assert Snapshot.objects.get(status="refused").error_code == "policy_not_accepted"
    with_key = ask(route, conversation, **make_key(alice, route.scopes))
    assert with_key.status_code not in (401, 403)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.rights], ids=str)
@pytest.mark.parametrize("role", ["person", "superuser"])
def test_a_scope_and_a_session_give_no_right(conversation, route, role):
    owner = User.objects.create_user("zoe", is_staff=True, is_superuser=role == "superuser")
    for right in (None, *route.rights[:-1]):
        owner.user_permissions.set(Permission.objects.filter(codename=right))
        key = make_key(owner, ApiKey.Scope.values)
        for answer in (
            ask(route, conversation, **key),
            ask(route, conversation, signed_in(owner)),
        ):
            assert code_of(answer) == (403, "not_permitted")


@every
@pytest.mark.parametrize("role", ["bob", "superuser"])
def test_a_stranger_reaches_nothing_of_alices(conversation, route, role):
    stranger = User.objects.create_user(role, is_staff=True, is_superuser=role == "superuser")
    if route.rights == ("view_usage",):
        allow(stranger, route)
    before = Conversation.objects.values().get(id=conversation.id)
    for answer in (
        ask(route, conversation, **make_key(stranger, ApiKey.Scope.values)),
        ask(route, conversation, signed_in(stranger)),
    ):
        assert PLANTED.encode() not in read(answer)
    assert Conversation.objects.values().get(id=conversation.id) == before
