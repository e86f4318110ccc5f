"""The review desk in a real browser: rita filters, opens, reads by keyboard, decides, goes on."""

import json

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone
from playwright.sync_api import Page, expect

from conversations.models import Decision, Review, User
from conversations.search import index
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


def signed_in_at(context, path: str, name: str = "rita") -> Page:
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.goto(f"/admin/login/?next={path}")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    return page


@pytest.fixture
def searchable(waiting) -> None:
    """Two conversations with the word; of one the second hit is on another page."""
    line = [assistant(f"a{i}") if i % 2 else user(f"q{i}") for i in range(121)]
    line[0] = user("Long: a needle, and one more needle")
    line[118] = user("| a | needle |\n|---|---|\n| 1 | 2 |\n\n- one\n\n```py\ncode\n```")
    older = turn(person("carla"), [user("Short: the needle")], "So.")
    begun = turn(person("carla"), line[:1], "a1")
    newer = turn(person("carla"), line, "end")
    index.index_messages([older.id, begun.id, newer.id])


def test_a_search_is_read_from_hit_to_hit(searchable, chromium, gateway):
    context = chromium.new_context(base_url=gateway.url)
    context.add_init_script(VIOLATIONS)
    page = signed_in_at(context, "/admin/conversations/conversation/?q=needle")
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.reload()
    page.get_by_label("Select all rows of this page").check()
    expect(page.get_by_text("With 2 selected rows:")).to_be_visible()
    expect(page.locator(".gw-snippet mark").first).to_have_text("needle")
    is_sound(page)
    page.locator(".gw-snippet a").first.click()
    arrived(page, "Long: a needle, and one more needle")
    is_sound(page)
    expect(page.locator(".gw-turn:focus")).to_contain_text("119")  # the newest match
    page.keyboard.press("p")
    expect(page.locator("mark")).to_have_count(2)
    first = page.url
    expect(page.locator(".gw-turn:focus mark.gw-current")).to_have_count(1)
    page.keyboard.press("n")
    expect(page.locator("mark").nth(1)).to_have_class("gw-current")
    page.keyboard.press("n")
    expect(page.locator(".gw-turn:focus")).to_contain_text("119")
    assert page.url != first
    expect(page.locator(".gw-turn code")).to_have_css("font-family", "ui-monospace, monospace")
    page.get_by_role("link", name="Lay out tables and lists").click()
    expect(page.locator("table.gw-laid-out mark")).to_have_text("needle")
    is_sound(page)
    page.keyboard.press("p")
    page.wait_for_url("**at=**")
    expect(page.locator("mark.gw-current")).to_be_visible()
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    arrived(page, "Short: the needle")
    expect(page.get_by_text("Decided: no issue.")).to_be_visible()
    expect(page.locator("mark.gw-current")).to_have_text("needle")
    page.keyboard.press("n")
    expect(page.get_by_text("That was the last conversation of this list.")).to_be_visible()
    page.goto("/admin/conversations/snapshot/?q=needle")
    is_sound(page)
    page.goto("/admin/queue/?of=all")
    is_sound(page)
    assert said == []
    context.close()


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


# What is wide: names without blanks, and every column that a Lead has.
WIDE = "maximilian.vandenberg@subsidiary.example"


@pytest.fixture
def wide(transactional_db) -> None:
    lead = User.objects.create_user(WIDE, password=PASSWORD, is_staff=True)
    lead.groups.add(Group.objects.get(name="Lead"))
    now = timezone.now()
    for title in ("a needle in one line of this conversation", "needle" * 20):
        call = turn(person(f"carla.{WIDE}"), [user(title)], "So.", model="m-mini-2026-07-18")
        index.index_messages([call.id])
        Review.objects.create(
            conversation=call.conversation, source="assigned", entered=now, due=now, assignee=lead
        )


LISTS = ("queue/?of=all", "conversations/conversation/", "conversations/snapshot/")


def test_the_lists_fit_a_desk_and_a_phone_whatever_the_names(wide, chromium, gateway):
    context = chromium.new_context(base_url=gateway.url)
    page = signed_in_at(context, "/admin/", WIDE)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    for path in (*LISTS, *(f"{each}?q=needle" for each in LISTS[1:])):
        page.goto(f"/admin/{path}")
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            table = page.locator(".results")
            assert table.evaluate("(it) => it.scrollWidth - it.clientWidth") <= 0, (path, width)
    context.close()
