"""API keys and the policy in a real Chromium: both widths, light and dark, with and without JS."""

import re

import pytest
from playwright.sync_api import expect

from conversations.models import Snapshot, UsagePolicy
from conversations.tests.calls import turn, user
from llmgateway.tests.browser.drive import IN_CHROMIUM, VIOLATIONS, ask, enter, is_sound, sign_in
from proxy.models import ApiKey

pytestmark = IN_CHROMIUM


def test_a_key_is_made_and_revoked_without_javascript(page, alice):
    enter(page, alice)
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="API keys").click()
    expect(page.get_by_text("You have no keys yet.")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("laptop")
    page.get_by_label("Embeddings").check()
    page.get_by_role("button", name="Create key").click()
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


def test_the_policy_is_accepted_with_one_click_and_asked_again_on_a_new_version(page, alice):
    UsagePolicy(text="Be kind.").publish()
    enter(page, alice)
    page.get_by_label("Your question").fill("What is a mutex?")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_contain_text("Accept the usage policy first.")
    expect(page.get_by_label("Your question")).to_have_value("What is a mutex?")
    assert not Snapshot.objects.exclude(status="refused").exists()
    page.get_by_role("button", name="Accept").click()
    expect(page.get_by_role("status")).to_contain_text("You accepted version 1")
    ask(page, "What is a mutex?")
    expect(page.get_by_role("button", name="Accept")).to_have_count(0)
    with page.expect_download() as saved:
        page.get_by_role("link", name="Markdown").click()
    assert saved.value.suggested_filename == "What is a mutex.md"
    UsagePolicy(text="Be kinder.").publish()
    page.reload()
    expect(page.get_by_text("The usage policy has changed: version 2.")).to_be_visible()
    page.get_by_role("link", name="usage policy", exact=True).first.click()
    expect(page.get_by_text("Be kinder.")).to_be_visible()
    page.get_by_role("button", name="Accept version 2").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("New conversation")
    expect(page.get_by_role("button", name="Accept")).to_have_count(0)


@pytest.mark.drill
def test_the_pages_are_sound_and_copy(chromium, gateway, alice):
    context = chromium.new_context(
        base_url=gateway.url, permissions=["clipboard-read", "clipboard-write"]
    )
    context.add_init_script(VIOLATIONS)
    page = context.new_page()
    page.set_default_timeout(30_000)
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.goto("/sign-in/")
    page.get_by_label("Username").fill("alice")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("do not match")
    is_sound(page, "wrong password")
    sign_in(page)
    page.goto("/history/")
    is_sound(page, "empty history")
    call = turn(alice, [user("q")], "a")
    UsagePolicy(text="## Kind\n\nBe **kind**.\n\n| a | b |\n|---|---|\n| 1 | 2 |").publish()
    key, _ = ApiKey.make(alice, "a key with a name that is " + "long" * 18)
    for path in (
        "/",
        f"/c/{call.conversation_id}/",
        f"/c/{call.conversation_id}/edit/{call.head_id}/",
        "/policy/",
        "/keys/",
        f"/keys/{key.pk}/revoke/",
    ):
        page.goto(path)
        is_sound(page, path)
    # what was not let through, with its reason
    for path, label in (
        (f"/c/{call.conversation_id}/rename/", "Title"),
        ("/keys/", "Name"),
    ):
        page.goto(path)
        page.evaluate(
            "for (const field of document.querySelectorAll('[required]')) field.required = false"
        )
        page.get_by_label(label, exact=True).fill("")
        page.locator("main form [type=submit]").click()
        expect(page.get_by_label(label, exact=True)).to_have_attribute("aria-invalid", "true")
        is_sound(page, f"{path} with an error")
    page.get_by_label("Name", exact=True).fill("laptop")
    page.get_by_role("button", name="Create key").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your new API key")
    is_sound(page, "made")
    page.get_by_role("button", name="Copy").first.click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#secret").inner_text()
    assert [line for line in said if "status of 400" not in line] == []
    context.close()
