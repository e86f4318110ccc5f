"""Growing answers in a real Chromium: streamed, followed, cut, stopped."""

import re

import pytest
from django.contrib.auth import get_user_model
from playwright.sync_api import expect

from conversations.models import Partial, Snapshot
from conversations.tests import calls
from llmgateway.tests.browser.drive import IN_CHROMIUM
from llmgateway.tests.browser.live.answers import dom, send, status, whole
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

    eventually(grows)
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
    expect(code).to_contain_text("line_3 = 3")
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
    expect(page.locator(".answer .problem")).to_contain_text("Stopped.")
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
