"""A real Chromium, started once for all of these tests, and the gateway that it opens."""

import functools
from collections.abc import Iterator

import pytest
from django.contrib.auth.hashers import make_password
from django.db import connection
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from conversations.models import User
from llmgateway.tests.browser.drive import CHROMIUM
from proxy.demo.server import DemoServer
from proxy.tests.conftest import parameters, url_of
from proxy.tests.gateway import CHAT, Gateway


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
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
        reduced_motion="reduce",
    )
    yield context
    context.close()


@pytest.fixture
def page(context) -> Page:
    page = context.new_page()
    page.set_default_timeout(30_000)
    return page
