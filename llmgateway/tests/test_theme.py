"""Light or dark by a cookie, also before sign-in and on the pages that say that there is none."""

import pytest

from conversations.tests.calls import person
from conversations.tests.html import Html, check

pytestmark = pytest.mark.django_db


def theme(client, path: str) -> str | None:
    html = Html(client.get(path))
    check(html)
    return html.all("html")[0].get("data-theme")


def test_a_theme_is_chosen_and_taken_back(client, settings):
    settings.BEHIND_TLS = True
    assert theme(client, "/sign-in/") is None
    response = client.post("/theme/", {"theme": "dark", "next": "/sign-in/?next=/history/"})
    assert (response.status_code, response["Location"]) == (302, "/sign-in/?next=/history/")
    cookie = response.cookies["theme"]
    assert (
        cookie["max-age"],
        cookie["samesite"],
        cookie["secure"],
        cookie["httponly"],
        cookie["path"],
    ) == (31_536_000, "Lax", True, True, "/")
    assert theme(client, "/sign-in/") == theme(client, "/nonesuch") == "dark"
    client.force_login(person("alice"))
    assert theme(client, "/") == "dark"
    [pressed] = [
        button["value"]
        for button in Html(client.get("/")).all("button", **{"aria-pressed": "true"})
    ]
    assert pressed == "dark"
    client.post("/theme/", {"theme": "auto"})
    assert theme(client, "/") is None


@pytest.mark.parametrize("chosen", ["", "auto", "sepia", '"><script>', "dark\0"])
def test_nothing_else_is_a_theme(client, chosen):
    client.cookies["theme"] = chosen or "x"
    assert theme(client, "/sign-in/") is None
    assert client.post("/theme/", {"theme": chosen}).cookies["theme"].value == ""


@pytest.mark.parametrize(
    "next",
    [
        "https://evil.example/",
        "//evil.example/",
        "javascript:alert(1)",
        "/\\evil.example",
        "",
        "1",
        "history",
    ],
)
def test_choosing_leads_nowhere_else(client, next):
    assert client.post("/theme/", {"theme": "dark", "next": next})["Location"] == "/"
    assert client.get("/theme/").status_code == 405
