"""The pages in a real Chromium: all without JavaScript, on a small screen, within the CSP."""

import base64
import functools
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import axe_playwright_python
import pytest
from django.contrib.auth.hashers import make_password
from django.db import connection
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from conversations import record
from conversations.models import Conversation, Snapshot, User
from conversations.search import index
from conversations.tests import calls
from proxy.demo.picture import digest, png
from proxy.demo.server import DemoServer
from proxy.models import UseCase
from proxy.tests.conftest import parameters, url_of
from proxy.tests.gateway import CHAT, Gateway, eventually

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        not os.path.exists(CHROMIUM) and not os.environ.get("CI"),
        reason="Chromium is not installed (apt install chromium): no browser tests",
    ),
]

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
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
expect.set_options(timeout=20_000)  # two cores may have four browsers to drive
VIOLATIONS = """document.addEventListener("securitypolicyviolation", (event) =>
    console.error("CSP " + event.violatedDirective + " " + event.blockedURI)
)"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright keeps a loop in this thread; the ORM is not called from it
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def upstream() -> Iterator[DemoServer]:
    with DemoServer(pace=0.5) as server:
        yield server


@pytest.fixture
def slow(upstream) -> Iterator[None]:
    upstream.upstream.pace = 4
    yield
    upstream.upstream.pace = 0.5


@pytest.fixture(scope="module")
def gateway(django_db_setup, upstream, tmp_path_factory) -> Iterator[Gateway]:
    """As it is served, on the tests' own database."""
    database = url_of(parameters(connection.settings_dict["NAME"]))
    gateway = Gateway(
        tmp_path_factory.mktemp("gateway"),
        DATABASE_URL=database,
        LLM_ENDPOINT=f"{upstream.url}{CHAT}",
        LLM_STREAM_TIMEOUT=30,
    )
    yield gateway
    gateway.stop()


@functools.cache
def hashed() -> str:
    """It takes its time, as it should: once."""
    return make_password("correct horse battery")


@pytest.fixture
def alice() -> User:
    return User.objects.create(username="alice", password=hashed(), time_zone="Europe/Berlin")


@pytest.fixture
def context(chromium, gateway, alice) -> Iterator[BrowserContext]:
    """Without JavaScript, on a small screen, in the dark."""
    context = chromium.new_context(
        base_url=gateway.url,
        java_script_enabled=False,
        viewport={"width": 390, "height": 844},
        color_scheme="dark",
    )
    yield context
    context.close()


@pytest.fixture
def page(context) -> Page:
    page = context.new_page()
    page.set_default_timeout(30_000)
    return page


def enter(page: Page, user: User) -> None:
    """With a session that stands already."""
    client = Client()
    client.force_login(user)
    page.context.add_cookies(
        [
            {
                "name": "sessionid",
                "value": client.cookies["sessionid"].value,
                "domain": "127.0.0.1",
                "path": "/",
            }
        ]
    )
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("New conversation")


def sign_in(page: Page) -> None:
    page.goto("/")
    page.get_by_label("Username").fill("alice")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("New conversation")


def ask(page: Page, question: str) -> None:
    page.get_by_label("Your question").fill(question)
    page.get_by_role("button", name="Send").click()
    # Stop stands there until the answer is whole
    expect(page.get_by_role("button", name="Send")).to_be_visible(timeout=30_000)


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
    expect(page.get_by_role("button", name="Send")).to_be_visible(timeout=30_000)
    assert Snapshot.objects.count() == 3
    page.get_by_role("link", name="Edit").first.click()
    page.get_by_label("Your question").fill("What is a graph database?")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("button", name="Send")).to_be_visible(timeout=30_000)
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
        page.wait_for_url(lambda new, url=url: new != url, timeout=10_000)
        assert "#m" in page.url
    assert sizes[1] > sizes[0]
    expect(page.get_by_role("button", name="Send")).to_be_visible(timeout=60_000)
    assert Snapshot.objects.get().status == "ok"


def test_stop_keeps_what_has_come(page, alice, upstream, slow):
    enter(page, alice)
    upstream.seen.clear()
    page.get_by_label("Your question").fill("Explain how tides work, with a table")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("status")).to_contain_text("words so far")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped.")).to_be_visible(timeout=15_000)
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


def is_sound(page: Page, name: str) -> None:
    """At both widths, light and dark; axe, which takes its time, sees each of the four once."""
    for width, thorough in ((390, "light"), (1280, "dark")):
        page.set_viewport_size({"width": width, "height": 844})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            fits(page, f"{name}, {scheme}", width)
            if scheme == thorough:
                assert faults(page) == [], f"{name}, {scheme}, {width}"


def fits(page: Page, name: str, width: int) -> None:
    """Check widths, that controls are 36 pixels high, and that the colours are the device's."""
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") == width, name
    small = page.evaluate(
        """[...document.querySelectorAll(
             "button, .button, .action, nav a, summary, .entries a, "
               + "input:not([type=hidden]), select, textarea"
           )]
           .filter((element) => element.checkVisibility())
           .filter((element) => element.getBoundingClientRect().height < 35.9)
           .map((element) => element.outerHTML.slice(0, 90))"""
    )
    assert small == [], name
    code = page.evaluate(
        "getComputedStyle(document.body).colorScheme"
        " + getComputedStyle(document.body).backgroundColor"
    )
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert code.endswith("rgb(20, 23, 26)" if dark else "rgb(251, 251, 249)"), name


def faults(page: Page) -> list[str]:
    """What axe has to say against the page by WCAG 2.2 AA, and by its own best practice."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    page.evaluate(  # text that scrolls below them is no fault
        "for (const stuck of document.querySelectorAll('.bar, .composer'))"
        " stuck.style.position = 'static'"
    )
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = page.evaluate(
        "rules => axe.run({ runOnly: rules, resultTypes: ['violations'], preload: false })", rules
    )
    assert len(found["passes"]) > 10
    return [
        f"{rule['id']}: {node['html'][:120]}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


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
