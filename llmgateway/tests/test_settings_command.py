"""`manage.py settings`: each value and where it comes from, without a secret, also inside URLs."""

import io
import os
from contextlib import nullcontext

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import override_settings

from llmgateway.configuration import kinds, reading, schema

SECRET = "canary9f3a"
SECRETS = [each.name for each in schema.SETTINGS.values() if each.secret]
MASKED = [name for name, each in schema.SETTINGS.items() if each.kind.mask and not each.secret]


def shown(code=0, **environment):
    """Lines of the command by their first word, with this environment."""
    found = reading.read({"ENV_FILE": os.devnull} | environment)
    out, err = io.StringIO(), io.StringIO()
    with override_settings(READING=found), pytest.raises(SystemExit) if code else nullcontext():
        call_command("settings", stdout=out, stderr=err)
    text = out.getvalue() + err.getvalue()
    assert SECRET not in text
    return {line.split()[0]: " ".join(line.split()[1:]) for line in text.splitlines()}


def test_every_setting_is_shown_with_its_source(tmp_path):
    env = tmp_path / ".env"
    env.write_text("GRACE=5\n")
    lines = shown(PORT="8001", ENV_FILE=str(env))
    assert lines["PORT"] == "8001 environment"
    assert lines["GRACE"] == f"5 {env}:1"
    assert lines["TITLES"] == "true default"
    assert lines["ALLOWED_HOSTS"] == "localhost,127.0.0.1,[::1] default"
    assert shown(DEMO="1", ALLOWED_HOSTS="a.example")["ALLOWED_HOSTS"].endswith("the demo")
    assert lines["SUBMISSIONS_FROM"] == "not set default"
    assert {*schema.SETTINGS} <= {*lines}


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_set_or_not(tmp_path, name):
    value = {
        "LLM_PROXY": f"http://{SECRET}@p:1",
        "DATABASE_URL": f"postgres://u:{SECRET}@db/x",
        "NOTICE_MAIL": f"smtp://u:{SECRET}@mail:25",
    }
    (tmp_path / "secret").write_text(value.get(name, SECRET))
    assert shown()[name] == "not set default"
    assert shown(**{name: value.get(name, SECRET)})[name].endswith(" environment")
    lines = shown(**{f"{name}_FILE": str(tmp_path / "secret")})
    assert lines[name].endswith(f"the file {tmp_path}/secret")


@pytest.mark.parametrize("name", MASKED)
def test_no_secret_inside_an_address(name):
    if schema.SETTINGS[name].kind is kinds.DATABASE:
        for url in (
            f"postgres://u:{SECRET}@db:5433/x",
            f"postgres://u:{SECRET}%40@db:5433/x?sslmode=require",
            f"postgres://u:a#{SECRET}@db:5433/x",
            f"postgres://u:a?{SECRET}@db:5433/x",
            f"postgres://db:5433/x?password={SECRET}&user=a@b",
        ):
            assert shown(DATABASE_URL=url)[name] == "postgresql://…@db:5433/x environment"
        return
    for url, rest in (
        (f"https://u:{SECRET}@h.example:1/a", "https://…@h.example:1/a"),
        (f"https://{SECRET}@h.example", "https://…@h.example"),
        (f"https://h.example/a?key={SECRET}", "https://h.example/a?…"),
        (f"https://u:a@{SECRET}@h.example/a", "https://…@h.example/a"),
    ):
        assert shown(**{name: url})[name] == f"{rest} environment"


def test_credentials_of_upstreams_are_set_or_not():
    lines = shown(UPSTREAM_SECRETS="KEY_OF_A,KEY_OF_B", KEY_OF_A=SECRET)
    assert lines["UPSTREAM_SECRETS"] == "KEY_OF_A,KEY_OF_B environment"
    assert lines["KEY_OF_A"] == "set environment"
    assert lines["KEY_OF_B"] == "not set default"


def test_a_wrong_one_is_not_shown_as_its_default():
    lines = shown(1, TITLES="flase", LLM_API_AUTHORIZATION=f"{SECRET}…")
    assert lines["LLM_API_AUTHORIZATION"].startswith("holds a character")  # the last word is why
    assert lines["TITLES"].startswith("is “flase”")
    assert settings.TITLES is True
