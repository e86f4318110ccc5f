"""The lines that a new key is shown with, run as they stand; and what its use does not wait for."""

import html
import re
import shutil
import subprocess
import sys

import orjson
import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from conversations.models import UsagePolicy
from proxy.models import ApiKey

ANSWERS = {"chat": "choices", "images": "data", "embeddings": "data"}
READING = {"history": "conversations", "history:write": "title"}


@pytest.fixture
def shown(gateway):
    """The texts to be copied, by their ids."""

    def shown(scope: str) -> dict[str, str]:
        client = Client()
        client.force_login(get_user_model().objects.get(username="alice"))
        page = client.post(
            "/keys/",
            {"name": scope, "scopes": [scope], "days": "1"},
            headers={"host": gateway.url.removeprefix("http://")},
        )
        return {
            id: html.unescape(text)
            for id, text in re.findall(
                r'<pre id="(\w+)"[^>]*>(.*?)</pre>', page.content.decode(), re.DOTALL
            )
        }

    return shown


@pytest.mark.parametrize("scope", ANSWERS)
def test_the_curl_line_works(shown, recorded, scope):
    texts = shown(scope)
    assert shutil.which("curl")
    ran = subprocess.run(
        ["sh", "-c", texts["curl"].replace("curl ", "curl --silent --noproxy '*' ", 1)],
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert orjson.loads(ran.stdout)[ANSWERS[scope]], ran.stdout
    [call] = recorded()
    assert (call.status, call.key, call.kind) == (
        "ok",
        texts["secret"][:11],
        scope.removesuffix("s").removesuffix("ding") + "ding" * (scope == "embeddings"),
    )
    assert ApiKey.objects.get(prefix=call.key).name == scope


@pytest.mark.parametrize("scope", READING)
def test_a_key_that_asks_no_model_has_lines_that_work(gateway, shown, recorded, scope):
    gateway.ask("What is a mutex?")
    recorded()
    texts = shown(scope)
    curl = ["sh", "-c", texts["curl"].replace("curl ", "curl -sf --noproxy '*' ", 1)]
    for command in (curl, [sys.executable, "-c", texts["python"]]):
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, ran.stderr
        assert READING[scope] in ran.stdout


@pytest.mark.parametrize("scope", ANSWERS)
def test_the_python_lines_work(shown, recorded, scope):
    texts = shown(scope)
    ran = subprocess.run(
        [sys.executable, "-c", texts["python"]], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip()
    [call] = recorded()
    assert (call.status, call.key) == ("ok", texts["secret"][:11])


def test_programs_need_not_accept_the_usage_policy(gateway, recorded):
    policy = UsagePolicy(text="Be kind.")
    policy.publish()
    try:
        assert gateway.ask("What is a mutex?").status == 200
    finally:
        policy.delete()
    [call] = recorded()
    assert call.status == "ok"
