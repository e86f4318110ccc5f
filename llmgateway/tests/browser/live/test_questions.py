"""Questions in a real Chromium: asked again, edited, refused, hostile, kept as drafts."""

import re

import pytest
from playwright.sync_api import expect

from conversations.aged_cache import OLDEST
from conversations.models import Snapshot
from conversations.tests import calls
from llmgateway.tests.browser.drive import IN_CHROMIUM, faults, sign_in
from llmgateway.tests.browser.live.answers import dom, send, status, whole
from proxy.models import UseCase
from proxy.tests.gateway import eventually

pytestmark = IN_CHROMIUM
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
    UseCase.objects.filter(name="Librarian").delete()
    # Each web process may offer it for so long: the next test's page would, and be refused.
    page.wait_for_timeout(1000 * OLDEST)


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
