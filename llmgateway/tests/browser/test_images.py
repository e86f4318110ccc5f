"""Images and one's own token in Chromium: both widths, light and dark, with or without JS."""

import re
from collections.abc import Iterator

import pytest
from django.db import connection
from playwright.sync_api import expect

from conversations.models import Snapshot
from llmgateway.tests.browser.drive import IN_CHROMIUM, VIOLATIONS, enter, fits, sign_in
from proxy.tests.conftest import parameters, url_of
from proxy.tests.gateway import CHAT, Gateway, eventually

pytestmark = IN_CHROMIUM


@pytest.fixture(scope="module")
def gateway(django_db_setup, upstream, tmp_path_factory) -> Iterator[Gateway]:
    """Without credentials of its own: people bring theirs."""
    database = url_of(parameters(connection.settings_dict["NAME"]))
    theirs = {
        "LLM_TIMEOUT": 30,
        "ALLOW_USER_TOKENS": True,
        "LLM_API_AUTHORIZATION": "",
        "TOKEN_URL": "https://models.example/tokens",
    }
    gateway = Gateway(
        tmp_path_factory.mktemp("gateway"),
        DATABASE_URL=database,
        LLM_ENDPOINT=f"{upstream.url}{CHAT}",
        LLM_STREAM_TIMEOUT=30,
        **theirs,
    )
    yield gateway
    gateway.stop()


def test_the_journey_without_javascript(page, upstream):
    sign_in(page)
    expect(page.get_by_role("link", name="Get a token")).to_have_attribute(
        "href", "https://models.example/tokens"
    )
    page.goto("/images/")
    page.get_by_label("Describe the image").fill("A lighthouse at dusk")
    page.get_by_label("Model and size").select_option("dall-e-2 256x256")
    page.get_by_label("Number of images").fill("2")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("alert")).to_contain_text("Paste it under “Your token”")
    assert Snapshot.objects.get().status == "refused"
    page.get_by_label("Your token", exact=True).fill("sk-own")
    page.get_by_role("button", name="Use this token").click()
    expect(page.get_by_role("button", name="Use this token")).to_have_count(0)

    page.get_by_label("Describe the image").fill("A lighthouse at dusk")
    page.get_by_label("Model and size").select_option("dall-e-2 256x256")
    page.get_by_label("Number of images").fill("2")
    page.get_by_role("button", name="Create").click()
    pictures = page.get_by_role("img", name="A lighthouse at dusk")
    expect(pictures).to_have_count(2)
    assert all(
        picture.evaluate("element => element.naturalWidth") == 256 for picture in pictures.all()
    )
    expect(page.locator(".figures")).to_contain_text("dall-e-2 256x256 · $0.0320")
    assert upstream.seen[-1]["headers"]["authorization"] == "Bearer sk-own"
    with page.expect_download() as saved:
        page.get_by_role("link", name="Download image 2").click()
    assert re.fullmatch(r"[0-9a-f]{12}\.png", saved.value.suggested_filename)

    page.goto("/images/")
    upstream.seen.clear()
    page.get_by_label("Describe the image").fill("!silent a boat")
    page.get_by_role("button", name="Create").click()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped.")).to_be_visible()
    expect(page.get_by_role("button", name="Retry")).to_be_visible()
    assert eventually(lambda: any(seen["closed_early"] for seen in upstream.seen))
    call = Snapshot.objects.latest("id")
    assert (call.status, call.cost) == ("cancelled", None)

    page.goto("/images/")
    page.get_by_role("link", name="A lighthouse at dusk").click()
    page.get_by_role("link", name="Create another like it").click()
    expect(page.get_by_label("Describe the image")).to_have_value("A lighthouse at dusk")
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("button", name="Sign out").click()
    assert [
        cookie["name"] for cookie in page.context.cookies() if cookie["name"] == "user_token"
    ] == []


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_the_pages_fit_and_say_the_price(chromium, gateway, alice, scheme, width):
    context = chromium.new_context(
        base_url=gateway.url, viewport={"width": width, "height": 844}, color_scheme=scheme
    )
    context.add_init_script(VIOLATIONS)
    page = context.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text))
    enter(page, alice)
    fits(page, "asked for a token", width)
    page.goto("/token/")
    fits(page, "token", width)
    page.get_by_label("Your token", exact=True).fill("sk-own")
    page.get_by_role("button", name="Use this token").click()
    fits(page, "token kept", width)
    for prompt, ending in (
        ("A lighthouse " + "x" * 300, "Create another like it"),
        ("!down a boat", "Retry"),
    ):
        page.goto("/images/")
        page.get_by_label("Describe the image").fill(prompt)
        page.get_by_label("Number of images").fill("3")
        page.get_by_label("Model and size").select_option("dall-e-2 512x512")
        expect(page.locator("output")).to_have_text("Costs about $0.0540")
        page.get_by_role("button", name="Create").click()
        expect(page.get_by_text(ending)).to_be_visible()  # the page turned to it by itself
        fits(page, ending, width)
    page.goto("/images/")
    fits(page, "images", width)
    assert said == []
    context.close()
