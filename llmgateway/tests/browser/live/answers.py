"""A question asked on a page with JavaScript, and its answer."""

import re

from playwright.sync_api import Page, expect


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
