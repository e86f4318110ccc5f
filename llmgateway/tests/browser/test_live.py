"""Growing answers in a real Chromium: streamed, followed, cut, stopped, refused, hostile."""

import re

import pytest
from django.contrib.auth import get_user_model
from playwright.sync_api import BrowserContext, Page, expect

from conversations.models import Partial, Snapshot
from conversations.tests import calls
from llmgateway.tests.browser.drive import IN_CHROMIUM, VIOLATIONS, enter, faults, sign_in
from proxy.models import UseCase
from proxy.tests.gateway import eventually

pytestmark = IN_CHROMIUM
LONG = "Explain how tides work, with a table"
PARAGRAPHS = "!echo " + "\n\n".join(
    f"{n}. paragraph of a few words that take a moment to come\n\n---" for n in range(12)
)
CODE = (
    "!echo Look:\n\n```python\n"
    + "\n".join(f"line_{n} = {n}  # and a comment" for n in range(60))
    + "\n```\n\nThat was *all*."
)
HOSTILE = """!echo <script>document.title='owned'</script> \
<img src=x onerror="document.title='owned'">

[click](javascript:document.title='owned') ![pixel](https://evil.example/p.png) \u202ereversed

```html
</code></pre><script>document.title='owned'</script>
```

<iframe src="https://evil.example/"></iframe> [a](data:text/html,<script>1</script>)

````html
```
</code></pre></div><script>document.title='owned'</script>
````

```
never closed <script>document.title='owned'</script>
"""


@pytest.fixture
def context(chromium, gateway) -> BrowserContext:
    context = chromium.new_context(base_url=gateway.url, viewport={"width": 1280, "height": 844})
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


def send(page: Page, question: str) -> None:
    expect(status(page)).to_be_attached()  # the module is there
    page.get_by_label("Your question").fill(question)
    page.keyboard.press("Enter")


def status(page: Page):
    return page.locator(".composer [role=status]")


def whole(page: Page) -> None:
    expect(status(page)).to_have_text(re.compile("^Complete, "), timeout=60_000)


def dom(page: Page) -> str:
    """What is said on the page, without what only an address adds."""
    return page.evaluate(
        """[...document.querySelectorAll("main > .turn")]
           .map((turn) => turn.id + turn.innerHTML.replace(/value="[\\w-]{64}"/g, ""))
           .join("\\n")"""
    )


def test_an_answer_streams_and_is_what_a_reload_shows(page, slow):
    send(page, LONG)
    expect(page).to_have_url(re.compile("/c/[0-9a-f-]{36}/$"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("tides")
    expect(page.get_by_role("button", name="Stop")).to_be_enabled()
    expect(status(page)).to_have_text("Generating…")
    sizes = set()

    def grows() -> bool:
        """More often than the record, whose pieces a page without the stream is made of."""
        sizes.add(len(page.locator(".answer .said").inner_text()))
        return len(sizes) > 3 + Partial.objects.count()

    eventually(grows, 20)
    assert Snapshot.objects.get().status == "pending"
    expect(page.get_by_label("Your question")).to_be_focused()
    expect(page.get_by_label("Your question")).to_have_value("")
    top, scrolled = page.locator(".question").bounding_box()["y"], page.evaluate("scrollY")
    assert 50 < top < 90
    begins = page.locator(".answer").bounding_box()["y"]
    whole(page)
    assert page.evaluate("scrollY") == scrolled
    assert page.locator(".answer").bounding_box()["y"] == begins
    expect(page.locator(".figures")).to_contain_text(re.compile(r"\d+ tokens · .*\$\d"))
    expect(page.locator("[role=log]")).to_have_count(0)
    streamed = dom(page)
    page.reload()
    assert dom(page) == streamed


def test_closed_blocks_are_not_touched_again(page, slow):
    send(page, LONG)
    expect(page.locator("[role=log] > *").first).to_be_visible()
    page.evaluate("window.first = document.querySelector('[role=log]').firstElementChild")
    whole(page)
    assert page.evaluate(
        "window.first === document.querySelector('.answer .prose').firstElementChild"
    )


def test_a_conversation_goes_on(page):
    send(page, "What is a vector database?")
    whole(page)
    send(page, "Show it as a table")
    whole(page)
    assert Snapshot.objects.latest("id").head.parent == Snapshot.objects.earliest("id").reply
    streamed = dom(page)
    page.reload()
    assert dom(page) == streamed
    expect(page.locator(".turn")).to_have_count(4)
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("New conversation")


def test_code_grows_as_text_and_is_coloured_once_it_is_whole(page, upstream, slow):
    send(page, CODE)
    code = page.locator(".tail .code code")
    expect(code).to_contain_text("line_3 = 3", timeout=20_000)
    assert code.locator("span").count() == 0
    upstream.upstream.pace = 0.5
    whole(page)
    assert page.locator(".answer .code code span").count() > 60
    page.get_by_role("button", name="Copy the code").click()
    assert page.evaluate("navigator.clipboard.readText()").startswith(
        "line_0 = 0  # and a comment\nline_1 = 1"
    )
    page.get_by_role("button", name="Copy the answer").click()
    assert page.evaluate("navigator.clipboard.readText()").endswith("That was all.")


def test_a_reload_finds_the_answer_growing(page, slow):
    send(page, LONG)
    expect(page.locator(".answer .said p").first).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(status(page)).to_have_text("Generating…")
    size = len(page.locator(".answer .said").inner_text())
    page.wait_for_function(
        "size => document.querySelector('.answer .said').innerText.length > size", arg=size
    )
    whole(page)
    assert Snapshot.objects.get().status == "ok"
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    expect(page.get_by_label("Your question")).to_be_visible()
    followed = dom(page)
    page.reload()
    assert dom(page) == followed


def test_a_cut_is_followed_from_where_it_was(page, context, slow):
    """The first connection is gone; the second brings only what the page lacks."""
    page.add_init_script(
        """const real = window.fetch; window.fetched = [];
        window.fetch = async (url, how) => {
          window.fetched.push(String(url));
          const cut = new AbortController();
          if (how?.method === 'POST' && !String(url).includes('stop')) window.cut = cut;
          return real(url, { ...how, signal: cut.signal });
        };"""
    )
    page.goto("/")
    send(page, PARAGRAPHS)
    expect(page.locator("[role=log] > *").nth(1)).to_be_visible()
    page.evaluate("window.cut.abort()")
    whole(page)
    assert [
        url
        for url in page.evaluate("window.fetched")
        if re.search(r"/live/[0-9a-f-]{36}\?after=[1-9]\d*$", url)
    ]
    assert Snapshot.objects.get().status == "ok"
    followed = dom(page)
    page.reload()
    assert dom(page) == followed


@pytest.mark.parametrize("way", ["button", "Escape"])
@pytest.mark.parametrize("again", [False, True])
def test_stop(page, upstream, slow, way, again):
    upstream.seen.clear()
    send(page, LONG)
    expect(page.locator(".answer .said p").first).to_be_visible()
    eventually(Partial.objects.exists)
    if again:
        page.reload()
    if way == "button":
        page.get_by_role("button", name="Stop").click()
    else:
        page.keyboard.press("Escape")
    expect(page.locator(".answer .problem")).to_contain_text("Stopped.", timeout=15_000)
    expect(status(page)).to_contain_text("Stopped")
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    if way == "button" or not again:
        expect(page.get_by_label("Your question")).to_be_focused()
    call = Snapshot.objects.get()
    assert call.status == "cancelled"
    assert call.reply.text.strip()
    assert eventually(lambda: any(seen["closed_early"] for seen in upstream.seen))
    stopped = dom(page)
    page.reload()
    assert dom(page) == stopped


@pytest.mark.parametrize(
    ("word", "title", "action"),
    [
        ("!down", "No answer.", "Retry"),
        ("!cut", "The answer was cut off.", "Retry"),
        ("!400", "The model's provider refused this.", "Edit the question"),
    ],
)
def test_each_problem_is_named_with_its_action(page, word, title, action):
    send(page, f"{word} what is DNS, in some detail?")
    problem = page.locator(".answer .problem")
    expect(problem).to_contain_text(title)
    expect(status(page)).to_have_text(title)
    expect(problem.locator("button, a")).to_have_text(action)
    shown = dom(page)
    page.reload()
    assert dom(page) == shown
    if action == "Retry":
        page.get_by_role("button", name="Retry").click()
        expect(problem).to_contain_text(title)
        assert eventually(lambda: Snapshot.objects.filter(status="failed").count() == 2)
        expect(page.get_by_role("button", name="Send")).to_be_visible()
        send(page, "Something else")
        whole(page)
        shown = dom(page)
        page.reload()
        assert dom(page) == shown


def test_what_stopped_short_is_asked_again_in_place(page, alice, upstream):
    """Silent, out of turn, failing, killed: each is named, and Retry asks again on the page."""
    call = calls.ask(
        alice, [calls.user("What is DNS?")], params={"temperature": 0.5}, model="gpt-4o"
    )
    calls.answer(call, "half an", status="interrupted")
    page.goto(f"/c/{call.conversation}/?at={call.head}")
    page.evaluate("window.stands = true")
    page.get_by_label("Your question").fill("a draft")
    problem = page.locator(".answer .problem")
    expect(problem).to_contain_text("Interrupted.")
    page.get_by_role("button", name="Retry").click()
    whole(page)
    expect(page.locator(".answer .versions")).to_contain_text("2 of 2")
    expect(page.get_by_label("Your question")).to_have_value("a draft")
    expect(page.get_by_label("Your question")).to_be_focused()
    assert page.evaluate("window.stands")
    assert upstream.seen[-1]["body"]["temperature"] == 0.5
    assert page.url.endswith(f"/c/{call.conversation}/")
    shown = dom(page)
    page.reload()
    assert dom(page) == shown
    for word, says in (
        ("!silent", "No answer. The model's server was silent for too long."),
        ("!429", "No answer. Rate limit reached"),
        ("!500", "No answer. The server had an error"),
        ("!error", "The answer was cut off. The server had an error"),
    ):
        send(page, f"{word} what is DNS?")
        expect(problem).to_contain_text(says)
        expect(problem.locator("button, a")).to_have_text("Retry")
    problem.get_by_label("with").select_option("gpt-4.1-mini")
    problem.get_by_role("button").click()
    expect(page.get_by_label("Model", exact=True)).to_have_value("gpt-4.1-mini")
    # what was asked this time
    expect(problem.get_by_label("with").locator("option").first).to_have_text("gpt-4.1-mini")
    assert upstream.seen[-1]["body"]["model"] == "gpt-4.1-mini"


def test_an_answer_and_a_question_have_other_versions(page, alice):
    first = calls.turn(
        alice, [calls.user("What is a vector database?")], "A place for vectors.", model="gpt-4o"
    )
    page.goto(f"/c/{first.conversation_id}/")
    send(page, "Show it as a table")
    whole(page)
    page.evaluate("window.stands = true")
    page.get_by_role("button", name="Regenerate").first.click()
    whole(page)
    assert page.evaluate("window.stands")
    # what followed the first answer is beside the line now
    expect(page.locator(".turn")).to_have_count(2)
    expect(page.locator(".answer .versions")).to_contain_text("2 of 2")
    expect(page.get_by_role("navigation", name="Export")).to_have_count(1)
    expect(page.get_by_label("Your question")).to_be_focused()
    shown = dom(page)
    page.reload()
    assert dom(page) == shown
    page.get_by_role("link", name="Earlier version").click()
    expect(page.locator(".turn")).to_have_count(4)


def test_a_question_is_edited_where_it_stands(page, alice):
    first = calls.turn(
        alice, [calls.user("What is a vector database?")], "A place for vectors.", model="gpt-4o"
    )
    page.goto(f"/c/{first.conversation_id}/")
    send(page, "Show it as a table")
    whole(page)
    page.evaluate("window.stands = true")
    page.get_by_label("Your question").fill("a draft")
    link, box = page.get_by_role("link", name="Edit").last, page.get_by_label("Edited question")
    link.press("Enter")
    expect(box).to_be_focused()
    expect(box).to_have_value("Show it as a table")
    assert faults(page) == []
    page.keyboard.press("Escape")
    expect(box).to_have_count(0)
    expect(link).to_be_focused()
    link.click()
    box.fill("!400 as a list")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Edit the question").click()  # the provider refused it
    box.fill("Show it as a list")
    page.locator("form.rewording").get_by_role("button", name="Send").click()
    whole(page)
    expect(page.locator(".question").last).to_have_text(re.compile("as a list"))
    expect(page.locator(".turn")).to_have_count(4)
    expect(page.locator(".question .versions")).to_contain_text("3 of 3")
    expect(page.get_by_label("Your question")).to_have_value("a draft")
    assert page.evaluate("window.stands")
    assert (
        Snapshot.objects.filter(kind="chat").latest("id").head.parent
        == Snapshot.objects.earliest("id").reply
    )
    page.get_by_label("Your question").fill("")
    shown = dom(page)
    page.reload()
    assert dom(page) == shown
    page.get_by_role("link", name="Edit").last.click()
    expect(box).to_be_focused()
    page.evaluate("document.querySelector('form.rewording [name=use_case]').value = '999'")
    # A question that is refused stays where it is written.
    page.locator("form.rewording").get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_contain_text("This use case is no longer offered.")
    expect(box).to_be_focused()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("link", name="Earlier version").last.click()
    page.get_by_role("link", name="Earlier version").last.click()
    expect(page.locator(".question").last).to_contain_text("as a table")


def test_hostile_text_does_nothing_while_it_streams(page):
    send(page, HOSTILE)
    whole(page)
    assert page.title() != "owned"
    assert (
        page.locator(
            "main :is(script, img, iframe, [onerror], [href^='javascript:'], [href^='data:'])"
        ).count()
        == 0
    )
    assert page.locator(".answer .code").count() == 3
    streamed = dom(page)
    page.reload()
    assert dom(page) == streamed


def test_a_draft_outlives_a_reload_and_a_session(page, context):
    box = page.get_by_label("Your question")
    box.fill("half a question")
    page.reload()
    expect(box).to_have_value("half a question")
    context.clear_cookies(name="sessionid")
    page.keyboard.press("Tab")
    box.press("Enter")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Your session has ended. What you wrote is kept here.")
    expect(box).to_have_value("half a question")
    assert Snapshot.objects.count() == 0
    alert.get_by_role("link", name="Sign in").click()
    sign_in(page)
    expect(box).to_have_value("half a question")
    box.press("Enter")
    whole(page)
    page.goto("/")
    expect(box).to_have_value("")
    box.fill("another draft")
    page.get_by_role("button", name="Sign out").click()
    sign_in(page)
    expect(box).to_have_value("")


def test_a_form_that_is_too_old_keeps_the_question(page, context):
    context.clear_cookies(name="csrftoken")
    send(page, "my question")
    expect(page.get_by_role("alert")).to_contain_text("kept here")
    expect(page.get_by_label("Your question")).to_have_value("my question")
    assert Snapshot.objects.count() == 0


def test_what_is_not_let_through_stays_in_its_box(page):
    page.get_by_text("Parameters").click()
    page.get_by_label("Temperature").fill("1.5")
    page.evaluate(
        "document.querySelector('[name=temperature]').max = '';"
        " document.querySelector('[name=temperature]').value = '7'"
    )
    send(page, "my question")
    expect(page.get_by_text("At most 2.")).to_be_visible()
    expect(page.get_by_label("Your question")).to_have_value("my question")
    page.get_by_label("Temperature").fill("1.5")
    page.get_by_label("Your question").press("Enter")
    whole(page)
    assert Snapshot.objects.get().status == "ok"


def test_the_gateway_away(page):
    page.route(
        "**/*", lambda route: route.abort() if route.request.method == "POST" else route.continue_()
    )
    send(page, "my question")
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    expect(page.get_by_label("Your question")).to_have_value("my question")
    page.unroute("**/*")
    page.get_by_role("button", name="Send").click()
    whole(page)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_use_case_brings_its_model_along(page):
    UseCase.objects.create(name="Librarian", model="gpt-4o-mini")
    eventually(
        lambda: (
            page.goto("/")
            and page.get_by_label("Use case").locator("option", has_text="Librarian").count()
        )
    )
    page.get_by_label("Model").select_option("gpt-4o")
    page.get_by_label("Use case").select_option("Librarian")
    expect(page.get_by_label("Model")).to_have_value("gpt-4o-mini")
    expect(status(page)).to_have_text("Model: gpt-4o-mini")
    for shown in (True, False):
        page.locator("summary", has_text="Parameters").click()
        expect(page.get_by_label("Temperature")).to_be_visible(visible=shown)
    page.evaluate("document.querySelector('[name=temperature]').value = 9")
    send(page, "What is a mutex?")
    expect(page.get_by_text("At most 2.")).to_be_visible()  # what is wrong unfolds
    expect(page.get_by_label("Your question")).to_have_value("What is a mutex?")
    assert not Snapshot.objects.exists()


def test_enter_while_composing_and_with_shift_sends_nothing(page):
    box = page.get_by_label("Your question")
    box.fill("にほん")
    box.dispatch_event(
        "keydown", {"key": "Enter", "isComposing": True, "bubbles": True, "cancelable": True}
    )
    box.dispatch_event(
        "keydown", {"key": "Enter", "keyCode": 229, "bubbles": True, "cancelable": True}
    )
    box.press("Shift+Enter")
    page.wait_for_timeout(300)
    assert Snapshot.objects.count() == 0
    expect(box).to_have_value("にほん\n")
    box.press("Enter")
    whole(page)
    assert Snapshot.objects.count() == 1


def test_a_stranger_finds_neither_stream_nor_stop(page, alice, context, gateway):
    bob = get_user_model().objects.create_user("bob", password="another horse battery")
    his = calls.ask(bob, [calls.user("private")])
    for id in (his.conversation, calls.turn(alice, [calls.user("q")], "a").conversation_id):
        response = context.request.get(
            f"{gateway.url}/c/{id}/live/{his.id}", headers={"Accept": "text/event-stream"}
        )
        assert response.status == 404
        assert "private" not in response.text()
        token = page.locator("form.composer [name=csrfmiddlewaretoken]").get_attribute("value")
        assert (
            context.request.post(
                f"{gateway.url}/c/{id}/stop/",
                form={"call": str(his.id), "csrfmiddlewaretoken": token},
            ).status
            == 404
        )
    assert not Snapshot.objects.get(id=his.id).stop
