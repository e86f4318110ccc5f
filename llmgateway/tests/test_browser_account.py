"""In a real Chromium: API keys and the other pages about oneself, at both widths, light and dark, with and without JavaScript."""

import re

import pytest
from playwright.sync_api import expect

from llmgateway.tests import test_browser
from llmgateway.tests.test_browser import VIOLATIONS, alice, chromium, context, fits, gateway, page, sign_in, upstream  # noqa: F401
from proxy.models import ApiKey

pytestmark = test_browser.pytestmark


def test_a_key_is_made_and_revoked_without_javascript(page):  # noqa: F811
    sign_in(page)
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="API keys").click()
    expect(page.get_by_text("You have no keys yet.")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("laptop")
    page.get_by_label("Embeddings").check()
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your new API key")
    secret = page.locator("#secret").inner_text()
    assert ApiKey.objects.usable().presented(secret).get().scopes == ["chat", "embeddings"]
    assert page.url.endswith("/keys/")
    page.get_by_role("link", name="I have copied it").click()
    assert secret not in page.content()
    page.get_by_role("link", name="Revoke laptop").click()
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("status")).to_contain_text("Revoked “laptop”")
    expect(page.get_by_role("link", name=re.compile("Revoke"))).to_have_count(0)
    assert not ApiKey.objects.usable().exists()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_pages_fit_and_copy(chromium, gateway, alice, scheme, width):  # noqa: F811
    made = {"base_url": gateway.url, "viewport": {"width": width, "height": 844}, "color_scheme": scheme}
    context = chromium.new_context(permissions=["clipboard-read", "clipboard-write"], **made)  # noqa: F811
    context.add_init_script(VIOLATIONS)
    page = context.new_page()  # noqa: F811
    said = []
    page.on("console", lambda message: said.append(message.text))
    sign_in(page)
    key, _ = ApiKey.make(alice, "a key with a name that is " + "long" * 18)
    for path in ("/keys/", f"/keys/{key.pk}/revoke/"):
        page.goto(path)
        fits(page, path, width)
    page.goto("/keys/")
    page.get_by_label("Name", exact=True).fill("laptop")
    page.get_by_role("button", name="Make the key").click()
    fits(page, "made", width)
    page.get_by_role("button", name="Copy").first.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#secret").inner_text()
    assert said == []
    context.close()
