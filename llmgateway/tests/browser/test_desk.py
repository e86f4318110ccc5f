"""The review desk in a real browser: rita filters, opens, reads by keyboard, decides, goes on."""

import json

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone
from playwright.sync_api import Page, expect

from conversations.models import Decision, Review, User
from conversations.tests.calls import assistant, person, turn, user
from llmgateway.tests.browser.drive import IN_CHROMIUM, VIOLATIONS, faults

pytestmark = IN_CHROMIUM
PASSWORD = "a good long password"


@pytest.fixture
def waiting(transactional_db) -> None:
    rita = User.objects.create_user("rita", password=PASSWORD, is_staff=True)
    rita.groups.add(Group.objects.get(name="Reviewer"))
    first = turn(
        person("carla"),
        [user("May we share the client list?"), assistant("No."), user("Why not?")],
        "Because.",
    )
    second = turn(person("hugo"), [user("Another matter")], "So.")
    now = timezone.now()
    for conversation in (first.conversation, second.conversation):
        Review.objects.create(
            conversation=conversation, source=Review.Source.SAMPLED, entered=now, due=now
        )


def arrived(page: Page, title: str) -> None:
    """The transcript is there, and its module: a key that is pressed before does nothing."""
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    page.wait_for_load_state("load")


def is_sound(page: Page) -> None:
    """At both widths, light and dark; axe sees two of the four."""
    for width, scheme in ((390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        if (width, scheme) in ((390, "dark"), (1280, "light")):
            # colours fade
            page.evaluate(
                "Promise.allSettled(document.getAnimations().map((each) => each.finished))"
            )
            assert faults(page) == []


def test_rita_filters_reads_by_keyboard_decides_and_goes_on(waiting, chromium, gateway):
    context = chromium.new_context(base_url=gateway.url)
    context.add_init_script(VIOLATIONS)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.set_default_timeout(30_000)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto("/admin/login/?next=/admin/conversations/conversation/")
    page.get_by_label("Username").fill("rita")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    said.clear()
    page.get_by_label("Search").fill("user:carla")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("1 conversation")
    expect(page.get_by_label("User")).to_have_value("carla")
    page.locator("summary", has_text="Saved filters").press("Enter")
    page.get_by_label("Save the current filter as").fill("Carla’s")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Saved: Carla’s.")).to_be_visible()
    page.goto("/admin/conversations/conversation/")
    page.locator("summary", has_text="Saved filters 1").press("Enter")
    page.get_by_role("link", name="Carla’s", exact=True).press("Enter")
    expect(page.get_by_role("status")).to_contain_text("1 conversation")
    is_sound(page)
    page.get_by_role("link", name="May we share the client list?").click()
    arrived(page, "May we share the client list?")
    is_sound(page)

    page.get_by_role("link", name="Call", exact=True).press("Enter")
    page.get_by_role("button", name="Copy request").press("Enter")
    expect(page.locator(".gw-copy [role=status]").first).to_have_text("Copied")
    assert (
        json.loads(page.evaluate("navigator.clipboard.readText()"))["messages"][0]["content"]
        == "May we share the client list?"
    )
    is_sound(page)
    page.get_by_role("link", name="May we share the client list?").first.click()
    arrived(page, "May we share the client list?")

    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator(".gw-turn:focus")).to_contain_text("No.")
    page.keyboard.press("k")
    expect(page.locator(".gw-turn:focus")).to_contain_text("May we share")
    page.keyboard.press("?")
    expect(page.locator("#review-keys dl")).to_be_visible()
    page.keyboard.press("c")
    expect(page.locator("#review [role=status]")).to_contain_text("Assigned to you")
    page.keyboard.press(
        "3"
    )  # a violation needs a reason: the focus is there, and keys are letters again
    page.keyboard.type("1 client named, ck")
    expect(page.get_by_label("Violation")).to_be_checked()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Decide and go to next").focus()
    page.keyboard.press("Enter")

    arrived(page, "Another matter")
    expect(page.get_by_text("Decided: violation.")).to_be_visible()
    page.keyboard.press("1")
    expect(page.get_by_role("button", name="Decide and go to next")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("No conversations left in this queue.")).to_be_visible()
    assert list(Decision.objects.order_by("id").values_list("disposition", "reason")) == [
        ("violation", "1 client named, ck"),
        ("no_issue", ""),
    ]

    page.goto("/admin/cases/new/")
    page.get_by_label("Name").fill("Client list")
    page.get_by_label("Purpose").fill("who sent it where")
    page.get_by_role("button", name="Open case").click()
    conversation = Decision.objects.earliest("id").conversation_id
    page.get_by_label("Link a conversation").fill(str(conversation))
    page.get_by_role("button", name="Link", exact=True).click()
    page.get_by_label("New note").fill("Asked the head of sales.")
    page.get_by_role("button", name="Add note").click()
    expect(page.get_by_role("link", name="May we share the client list?")).to_be_visible()
    is_sound(page)
    assert said == []
    context.close()
