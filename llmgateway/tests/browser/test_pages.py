"""The pages in a real Chromium: all without JavaScript, on a small screen, within the CSP."""

import base64
import re

import pytest
from playwright.sync_api import expect

from conversations import record
from conversations.models import Conversation, Snapshot
from conversations.search import index
from conversations.tests import calls
from llmgateway.tests.browser.drive import (
    IN_CHROMIUM,
    VIOLATIONS,
    ask,
    enter,
    faults,
    fits,
    is_sound,
    sign_in,
)
from proxy.demo.picture import digest, png
from proxy.models import UseCase
from proxy.tests.gateway import eventually

pytestmark = IN_CHROMIUM
ANSWER = """### Heading

# Another

#### And a third

A [link](https://example.com/), `code` and a picture: ![cat](https://evil.example/pixel.png)

| left | right | a column with a long name | another column with a long name |
|:--|--:|---|---|
| 1 | 2 | some words that fill it | and some more words |

```python
def a_function_with_a_long_name(first_parameter: int, second_parameter: int, \
third_parameter: int) -> None: ...
```

<script>document.title = 'owned'</script> <img src=x onerror="document.title='owned'">

a-word-without-end-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
"""


def test_the_journey_without_javascript(page):
    UseCase.objects.create(name="Librarian", description="finds things", prompt="Whisper.")
    sign_in(page)
    page.get_by_label("Use case").select_option("Librarian: finds things")
    for shown in (True, False):
        page.locator("summary", has_text="Parameters").click()
        expect(page.get_by_label("Temperature")).to_be_visible(visible=shown)
    ask(page, "What is a vector database?")
    answers = page.locator(".answer .prose")
    expect(answers).to_have_count(1)
    expect(page.locator(".figures")).to_contain_text(
        re.compile(r" · Librarian · \d+ tokens · .*\$\d")
    )
    assert "Whisper" not in page.content()
    expect(page.get_by_label("Use case").locator("option:checked")).to_have_text(
        "Librarian: finds things"
    )
    ask(page, "Show it as a table")
    expect(answers).to_have_count(2)
    assert Conversation.objects.get().turns == 2

    page.get_by_role("link", name="Rename").click()
    page.get_by_label("Title").fill("Vectors, explained")
    page.get_by_role("button", name="Rename").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Vectors, explained")
    expect(page.get_by_role("status")).to_have_text("Conversation renamed.")

    page.get_by_role("button", name="Regenerate").last.click()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    assert Snapshot.objects.count() == 3
    page.get_by_role("link", name="Edit").first.click()
    page.get_by_label("Your question").fill("What is a graph database?")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    expect(page.get_by_role("navigation", name="Versions")).to_contain_text("2 of 2")
    page.get_by_role("link", name="Earlier version").click()
    expect(page.locator(".question").first).to_contain_text("vector")

    index.index_messages(list(Snapshot.objects.values_list("id", flat=True)))
    page.get_by_role("button", name="Menu").click()
    page.get_by_label("Search your history").fill("graph database")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("1 conversation matches “graph database”.")
    expect(page.locator("mark").first).to_have_text(re.compile("graph", re.I))
    page.locator("summary", has_text="Filter").click()
    page.get_by_label("Use case").select_option("Librarian")
    page.get_by_label("From").fill("2026-01-01")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("status")).to_have_text(
        "1 conversation matches “graph database” and the filter."
    )
    page.locator(".entries a").click()
    expect(page.locator(".question").first).to_contain_text("graph")

    page.get_by_role("link", name="Remove").click()
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("status").first).to_contain_text("It stays in the log.")
    expect(page.locator(".entries")).to_have_count(0)
    assert Snapshot.objects.filter(status="ok").count() == 4

    page.get_by_role("button", name="Menu").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_a_growing_answer_is_followed_to_its_end(page, alice, slow):
    enter(page, alice)
    page.get_by_label("Your question").fill("Explain how tides work, with a table")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    sizes = []
    for _ in range(2):
        expect(page.get_by_role("status")).to_contain_text("words so far")
        sizes.append(len(page.locator(".answer").inner_text()))
        url = page.url
        page.wait_for_url(lambda new, url=url: new != url, timeout=60_000)
        assert "#m" in page.url
    assert sizes[1] > sizes[0]
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    assert Snapshot.objects.get().status == "ok"


def test_stop_keeps_what_has_come(page, alice, upstream, slow):
    enter(page, alice)
    upstream.seen.clear()
    page.get_by_label("Your question").fill("Explain how tides work, with a table")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("status")).to_contain_text("words so far")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped.")).to_be_visible()
    expect(page.get_by_role("button", name="Regenerate")).to_have_count(1)
    call = Snapshot.objects.get()
    assert call.status == "cancelled"
    assert call.reply.text.strip()
    assert eventually(lambda: any(seen["closed_early"] for seen in upstream.seen))


@pytest.fixture
def everything(alice) -> dict[str, str]:
    """Every page, by name: its path."""
    call = calls.turn(
        alice,
        [{"role": "system", "content": "Be terse."}, calls.user("x" * 300 + " and a question")],
        ANSWER,
    )
    calls.turn(
        alice,
        [{"role": "system", "content": "Be terse."}, calls.user("x" * 300 + " and a question")],
        "Another answer",
        root=call.conversation_id,
    )
    growing = calls.ask(alice, [calls.user("q")])
    tool = calls.ask(alice, [calls.user("weather")])
    calls.answer(
        tool,
        None,
        tool_calls=[
            {
                "id": "c",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city": "' + "x" * 200 + '"}'},
            }
        ],
    )
    theirs = calls.turn(calls.person("bob"), [calls.user("private")], "a")
    data = base64.b64encode(png(digest("a"), 256, 256)).decode()
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
    seen = calls.turn(
        alice, [calls.user([{"type": "text", "text": "What is this?"}, picture])], "A picture."
    )
    index.index_messages([call.id])
    root = f"/c/{call.conversation_id}/"
    return {name: ended(alice, **how) for name, how in ENDS.items()} | {
        "chat": "/",
        "conversation": f"{root}?at={call.reply_id}",
        "growing": f"/c/{growing.conversation}/",
        "tools": f"/c/{tool.conversation}/",
        "picture": f"/c/{seen.conversation_id}/",
        "edit": f"{root}edit/{call.head_id}/",
        "rename": f"{root}rename/",
        "remove": f"{root}remove/",
        "history": "/history/",
        "search": "/history/?q=picture",
        "filter": "/history/?q=picture&model=m&since=2026-01-01&until=2026-01-01",
        "nothing found": "/history/?q=zebra",
        "not found": "/nonesuch",
        "another's": f"/c/{theirs.conversation_id}/",
        "policy": "/policy/",
    }


ENDS = {
    "cut off": {"status": "failed", "text": "half", "error": "The model's server hung up."},
    "refused": {
        "status": "failed",
        "error_code": "content_policy_violation",
        "error": "Your request was rejected by the safety system. " * 4,
    },
    "too long": {
        "status": "failed",
        "error_code": "context_length_exceeded",
        "error": "At most 128,000 tokens.",
    },
    "stopped": {"status": "cancelled", "text": "half an"},
    "interrupted": {"status": "interrupted", "error": "The gateway stopped while the answer grew."},
}


def ended(owner, text: str = "", **how) -> str:
    """The page of a conversation whose last call ended so."""
    call = calls.ask(owner, [calls.user("q")])
    record.close(call, record.Outcome(replies=[calls.assistant(text)] if text else [], **how))
    return f"/c/{call.conversation}/"


@pytest.mark.drill
def test_every_page_is_sound_keeps_the_policy_and_loads_nothing_from_elsewhere(
    chromium, gateway, everything
):
    context = chromium.new_context(base_url=gateway.url)
    context.add_init_script(VIOLATIONS)
    page = context.new_page()
    page.set_default_timeout(30_000)
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/sign-in/")
    is_sound(page, "sign in")
    sign_in(page)
    for name, path in everything.items():
        page.goto(path)
        is_sound(page, name)
        assert page.title() != "owned"
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/")
    page.get_by_role("button", name="Menu").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    fits(page, "menu", 390)
    assert faults(page) == []
    assert [line for line in said if "status of 404" not in line] == []
    assert [url for url in asked if not url.startswith(gateway.url)] == []
    context.close()


def test_a_theme_is_chosen_without_javascript_and_with_it(chromium, gateway, page, slow):
    """Here the device is dark."""
    background = "getComputedStyle(document.body).backgroundColor"
    page.goto("/sign-in/?next=/history/")
    page.get_by_role("button", name="Light").click()
    assert page.url.endswith("/sign-in/?next=/history/")
    assert page.evaluate(background) == "rgb(251, 251, 249)"
    sign_in(page)
    assert page.evaluate(background) == "rgb(251, 251, 249)"
    context = chromium.new_context(
        base_url=gateway.url, storage_state=page.context.storage_state(), color_scheme="dark"
    )
    page = context.new_page()
    page.goto("/")
    page.get_by_label("Your question").fill("Explain how tides work, with a table")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Stop")).to_be_enabled()
    page.get_by_role("button", name="Dark").click()
    expect(page.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")
    assert page.evaluate(background) == "rgb(20, 23, 26)"
    # nothing else became of the page
    expect(page.get_by_role("button", name="Stop")).to_be_enabled()
    page.keyboard.press("Escape")
    expect(page.locator(".answer .problem")).to_contain_text("Stopped.")
    page.reload()
    assert page.evaluate(background) == "rgb(20, 23, 26)"
    context.close()


def test_the_keyboard_is_enough(chromium, gateway, alice, everything):
    context = chromium.new_context(base_url=gateway.url, viewport={"width": 1280, "height": 844})
    page = context.new_page()
    enter(page, alice)
    page.goto(everything["history"])
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Search titles and messages")).to_be_focused()
    outline = page.evaluate(
        "getComputedStyle(document.activeElement).outlineStyle"
        " + getComputedStyle(document.activeElement).outlineWidth"
    )
    assert outline == "solid2px"
    context.close()
