"""A person's own token: it goes to LLM_ENDPOINT's origin only, and stays in their browser."""

import time
from base64 import urlsafe_b64encode

import pytest
from django.test import Client

from conversations.models import Snapshot
from conversations.tests.calls import person
from conversations.tests.html import Html, check
from proxy import faults, user_token
from proxy.models import Model, Route, Upstream
from proxy.upstreams import client, routing

pytestmark = pytest.mark.django_db

TOKEN = "sk-own-51c0ffee"
OURS = "Bearer sk-gateway"


@pytest.fixture(autouse=True)
def sent(settings, server):
    """The Authorization of each chat that reached the upstream."""
    settings.LLM_ENDPOINT = f"{server.url}/v1/chat/completions"
    settings.ALLOW_USER_TOKENS, settings.LLM_API_AUTHORIZATION = True, OURS
    server.seen.clear()
    yield lambda: [
        seen["headers"].get("authorization")
        for seen in server.seen
        if seen["path"].endswith("/chat/completions")
    ]
    routing.forget()  # the models of a test are no other's


def paste(client: Client, token: str = TOKEN, **form) -> Html:
    response = client.post("/token/", {"token": token} | form, follow=True)
    assert response.status_code == 200
    return Html(response)


def ask(client: Client, message: str = "q", path: str = "/") -> Snapshot:
    response = client.post(path, {"message": message, "model": "gpt-4o"})
    assert response.status_code == 303, Html(response).words
    assert b"".join(response) == b""
    return Snapshot.objects.latest("id")


def cookie(client: Client) -> str:
    return client.cookies[user_token.COOKIE].value if user_token.COOKIE in client.cookies else ""


def test_a_pasted_token_is_sent_instead_of_the_gateways(hers, sent):
    ask(hers)
    html = paste(hers)
    check(html)
    assert "Your token is in use." in html.words
    call = ask(hers)
    assert b"".join(hers.post(f"/c/{call.conversation_id}/again/", {"call": call.id})) == b""
    ask(hers, "r", f"/c/{call.conversation_id}/edit/{call.head_id}/")
    assert sent() == [OURS, *[f"Bearer {TOKEN}"] * 3]


def test_a_whole_header_is_sent_as_it_is(hers, sent):
    paste(hers, "Basic YTpi")
    ask(hers)
    assert sent() == ["Basic YTpi"]


def test_the_cookie_is_sealed_and_out_of_reach(hers, settings):
    settings.SESSION_COOKIE_SECURE = True
    response = hers.post("/token/", {"token": TOKEN, "next": "/history/"})
    assert response["Location"] == "/history/"
    made = response.cookies[user_token.COOKIE]
    assert (made["httponly"], made["samesite"], made["secure"], made["max-age"]) == (
        True,
        "Strict",
        True,
        "",
    )
    assert TOKEN not in made.value
    assert TOKEN not in str(dict(hers.session))
    for elsewhere in ("https://elsewhere.example/", "1", "history"):
        stored = hers.post("/token/", {"token": TOKEN, "next": elsewhere})
        assert stored["Location"] == "/token/"


def test_the_longest_token_fits_a_cookie(hers, sent):
    token = "x" * user_token.LONGEST
    paste(hers, token)
    assert len(cookie(hers)) < 3800
    ask(hers)
    assert sent() == [f"Bearer {token}"]


@pytest.mark.parametrize(
    "token", ["", "two\nlines", "three words here", "ünlesbar", "x" * (user_token.LONGEST + 1)]
)
def test_what_is_no_token_is_not_kept_and_not_shown_again(hers, token):
    response = hers.post("/token/", {"token": token})
    assert response.status_code == 400
    check(html := Html(response))
    assert html.all("ul", **{"class": "errorlist"})
    assert not token or token not in response.content.decode()
    assert not cookie(hers)


def test_forget_and_sign_out_delete_it(hers, sent):
    paste(hers)
    response = hers.post("/token/", {"forget": "1"}, follow=True)
    assert "was removed from this browser" in Html(response).words
    assert not cookie(hers)
    ask(hers)
    paste(hers)
    hers.post("/sign-out/")
    assert not cookie(hers)
    assert sent() == [OURS]


def tampered(sealed: str) -> str:
    return sealed[:40] + ("A" if sealed[40] != "A" else "B") + sealed[41:]


def old(sealed: str) -> str:
    """The same token, sealed before yesterday."""
    alice = person("alice")
    long_ago = int(time.time() - user_token.OLDEST.total_seconds() - 60)
    return user_token._seal(alice).encrypt_at_time(f"Bearer {TOKEN}".encode(), long_ago).decode()


@pytest.mark.parametrize(
    "spoiled",
    [
        tampered,
        old,
        lambda sealed: "",
        lambda sealed: "no token",
        lambda sealed: urlsafe_b64encode(b"\x80" * 90).decode(),
    ],
)
def test_a_cookie_that_opens_nothing_is_ignored_and_deleted(hers, sent, spoiled):
    paste(hers)
    hers.cookies[user_token.COOKIE] = spoiled(cookie(hers))
    ask(hers)
    assert not cookie(hers)
    assert sent() == [OURS]


def test_somebody_elses_cookie_opens_nothing(hers, his, sent):
    paste(hers)
    his.cookies[user_token.COOKIE] = cookie(hers)
    ask(his)
    assert not cookie(his)
    assert sent() == [OURS]


def test_without_the_mode_there_is_no_page_and_no_use(hers, settings, sent):
    paste(hers)
    settings.ALLOW_USER_TOKENS = False
    assert (
        hers.get("/token/").status_code == hers.post("/token/", {"token": TOKEN}).status_code == 404
    )
    assert not cookie(hers)
    ask(hers)
    assert sent() == [OURS]
    assert "Your token" not in Html(hers.get("/")).words


def test_without_any_credentials_the_page_says_where_to_paste(hers, settings, sent):
    settings.LLM_API_AUTHORIZATION, settings.TOKEN_URL = "", "https://models.example/tokens"
    check(html := Html(hers.get("/")))
    assert html.all("form", action="/token/")
    assert html.all("a", href="https://models.example/tokens")
    response = hers.post("/", {"message": "my question", "model": "gpt-4o"})
    assert response.status_code == 400
    assert user_token.MISSING in Html(response).words
    assert "my question" in Html(response).words
    assert sent() == []
    assert Snapshot.objects.get().error_code == "token_missing"
    html = paste(hers, next="/")
    assert html.all("form", action="/token/") == []
    ask(hers)
    assert sent() == [f"Bearer {TOKEN}"]


def test_who_pasted_none_is_served_where_the_gateway_has_credentials(hers, settings, server, sent):
    """Only LLM_ENDPOINT waits for a token; another place of the model does not."""
    settings.LLM_API_AUTHORIZATION, settings.UPSTREAM_SECRETS = "", {"SPARE": "Bearer sk-spare"}
    spare = Upstream.objects.create(name="spare", base_url=f"{server.url}/v1", secret="SPARE")
    for name, places in (("gpt-4o", (None, spare)), ("gpt-4", (None,))):
        model = Model.objects.create(name=name)
        for order, place in enumerate(places):
            Route.objects.create(model=model, upstream=place, order=order)
    routing.forget()
    call = ask(hers)
    assert (call.status, call.upstream, call.attempts, sent()) == (
        "ok",
        "spare",
        "",
        ["Bearer sk-spare"],
    )
    response = hers.post("/", {"message": "q", "model": "gpt-4"})
    assert (response.status_code, Snapshot.objects.latest("id").error_code) == (
        400,
        "token_missing",
    )
    paste(hers)
    ask(hers)
    assert sent()[1:] == [f"Bearer {TOKEN}"]


def test_where_the_upstream_wants_none_nobody_has_to_paste(hers, settings, sent):
    settings.LLM_API_AUTHORIZATION = "none"
    ask(hers)
    assert sent() == [None]


def test_a_refused_token_is_named_as_the_persons(hers):
    ours = ask(hers, "!401 q")
    assert "gateway's credentials" in ours.error
    paste(hers)
    call = ask(hers, "!401 q")
    assert (call.status, call.error_code, call.error) == ("failed", "token_refused", faults.REFUSED)
    assert "Your token was refused" in Html(hers.get(f"/c/{call.conversation_id}/")).words


def test_it_goes_to_no_other_origin(hers, settings, server, sent):
    """Another gateway, or an images' host: there the gateway's own credentials are used."""
    paste(hers)
    settings.LLM_ENDPOINT = "https://models.example/v1/chat/completions"
    settings.LLM_GATEWAY_URL = f"{server.url}/v1/chat/completions"
    ask(hers)
    assert sent() == [OURS]
    for url in (
        f"{server.url}/v1",
        "http://models.example/v1",
        "https://models.example:8443/v1",
        "https://models.example.evil/v1",
        "https://a@models.example/v1",
    ):
        assert not client.may_take_token(url)
    assert client.may_take_token("https://models.example/v1/images/generations")
