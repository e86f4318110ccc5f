"""What a test does with a page in Chromium: enter, ask, look for faults."""

import os
import shutil
from pathlib import Path

import axe_playwright_python
import pytest
from django.test import Client
from playwright.sync_api import Page, expect

from conversations.models import User

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
IN_CHROMIUM = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        not os.path.exists(CHROMIUM) and not os.environ.get("CI"),
        reason="Chromium is not installed (apt install chromium): no browser tests",
    ),
]
expect.set_options(timeout=60_000)  # two cores may have four browsers to drive
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
VIOLATIONS = """document.addEventListener("securitypolicyviolation", (event) =>
    console.error("CSP " + event.violatedDirective + " " + event.blockedURI)
)"""


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
    expect(page.get_by_role("button", name="Send")).to_be_visible()


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
