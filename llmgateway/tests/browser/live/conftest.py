"""A page with JavaScript, where alice is signed in."""

import pytest
from playwright.sync_api import BrowserContext, Page

from llmgateway.tests.browser.drive import VIOLATIONS, enter


@pytest.fixture
def context(chromium, gateway) -> BrowserContext:
    context = chromium.new_context(
        base_url=gateway.url,
        viewport={"width": 1280, "height": 844},
        reduced_motion="reduce",  # what moves is drawn anew sixty times a second
    )
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.add_init_script(VIOLATIONS)
    yield context
    context.close()


@pytest.fixture
def page(context, gateway, alice) -> Page:
    """Sign in; in the end check: no error, no violated policy, no request to elsewhere."""
    page = context.new_page()
    page.set_default_timeout(30_000)
    said, asked = [], []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    enter(page, alice)
    yield page
    assert [line for line in said if "Failed to load resource" not in line] == []
    assert [url for url in asked if not url.startswith(gateway.url)] == []
