"""Each misconfiguration is said by its id, and the hint names what to do."""

import io
import os

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test import override_settings

from llmgateway import checks
from llmgateway.configuration import reading


def ids(**overridden):
    with override_settings(**overridden):
        return [
            message.id
            for check in (
                checks.upstream,
                checks.record,
                checks.secret,
                checks.pseudonyms,
                checks.tokens,
            )
            for message in check(None)
        ]


def test_the_settings_of_the_tests_are_in_order():
    assert ids() == []


def test_no_endpoint():
    assert ids(LLM_ENDPOINT="") == ["llmgateway.E001"]
    assert ids(LLM_ENDPOINT="", DEMO=True) == []
    with (
        override_settings(LLM_ENDPOINT=""),
        pytest.raises(
            SystemCheckError,
            match=r"(?s)llmgateway\.E001.*HINT: Set it to the whole address of chat completions",
        ),
    ):
        call_command("check", stderr=io.StringIO())


def test_no_authorization_warns_until_it_says_none():
    assert ids(LLM_API_AUTHORIZATION="") == ["llmgateway.W001"]
    assert ids(LLM_API_AUTHORIZATION="none") == []
    assert ids(LLM_API_AUTHORIZATION="Bearer x") == []


def test_tokens_of_peoples_own():
    assert (
        ids(
            ALLOW_USER_TOKENS=True,
            LLM_API_AUTHORIZATION="",
            TOKEN_URL="https://models.example/tokens",
        )
        == []
    )
    assert ids(ALLOW_USER_TOKENS=True, LLM_GATEWAY_URL="https://gateway.example") == [
        "llmgateway.E010"
    ]


@pytest.mark.parametrize("name", checks.UPSTREAMS)
@pytest.mark.parametrize(
    ("address", "fine"),
    [
        ("https://models.example/v1/chat/completions", True),
        ("http://127.0.0.1:11434/v1/chat/completions", True),
        ("http://[::1]:11434/v1", True),
        ("http://models.example/v1", False),
        ("http://localhost.example/v1", False),
        ("http://localhost@models.example/v1", False),
        ("ftp://localhost/v1", False),
        ("localhost:11434/v1", False),
        ("https:///v1", False),
        ("https://models.example:port/v1", False),
        ("http://[::1/v1", False),
    ],
)
def test_where_an_upstream_may_be(name, address, fine):
    assert ids(**{name: address}) == ([] if fine else ["llmgateway.E002"])


def test_a_named_host_may_speak_http():
    assert (
        ids(
            LLM_ENDPOINT="http://vllm.internal/v1/chat/completions",
            UPSTREAM_HTTP_HOSTS=["vllm.internal"],
        )
        == []
    )


def test_atomic_requests_stay_off(monkeypatch):
    monkeypatch.setitem(settings.DATABASES["default"], "ATOMIC_REQUESTS", True)
    assert ids() == ["llmgateway.E004"]


def read(**environment):
    """What a gateway with this environment reads, and no .env."""
    return reading.read({"ENV_FILE": os.devnull} | environment)


def test_a_secret_of_this_machine_only():
    assert ids(READING=read()) == ["llmgateway.W002"]
    assert ids(READING=read(), DEMO=True) == []
    assert ids(READING=read(SECRET_KEY="a long random text")) == []


def test_aliases_of_this_machine_only():
    key = {"SECRET_KEY": "a long random text"}
    assert ids(PSEUDONYMS=True, READING=read(**key)) == ["llmgateway.W005"]
    assert ids(PSEUDONYMS=True, READING=read(**key, PSEUDONYM_KEY="a long random text")) == []


def test_wrong_values_are_told_alone_and_all_of_them():
    wrong = read(DEMO="ture", PORT="http", LLM_ENDPONT="https://models.example/v1")
    with override_settings(READING=wrong):
        assert ids(LLM_ENDPOINT="") == []
        assert [message.id for message in checks.values(None)] == [
            "llmgateway.E030",
            "llmgateway.E030",
            "llmgateway.W030",
        ]
        with pytest.raises(SystemCheckError, match=r"(?s)DEMO.*HINT: Write true or.*PORT.*HINT"):
            call_command("check", stderr=io.StringIO())


def test_submissions_have_an_address():
    def found(**overridden):
        with override_settings(**overridden):
            return [message.id for message in [*checks.submissions(None), *checks.upstream(None)]]

    assert found(ENABLE_SUBMISSIONS_API=True) == ["llmgateway.E020"]
    assert found(ENABLE_SUBMISSIONS_API=True, SUBMISSIONS_API_URL="http://vendor.example/in") == [
        "llmgateway.E002"
    ]
    assert (
        found(
            ENABLE_SUBMISSIONS_API=True,
            SUBMISSIONS_API_URL="https://vendor.example/in",
        )
        == []
    )
    with (
        override_settings(ENABLE_SUBMISSIONS_API=True),
        pytest.raises(SystemCheckError, match="HINT: Set it to the address that takes the calls"),
    ):
        call_command("check", stderr=io.StringIO())


def test_a_sample_is_of_what_is_switched_on():
    def found(**overridden):
        with override_settings(**overridden):
            return [message.id for message in checks.assessments(None)]

    assert found(METADATA_CHECK=True, METADATA_SAMPLE=5.5) == found(METADATA_SAMPLE=0) == []
    assert found(METADATA_CHECK=False, METADATA_SAMPLE=5) == ["llmgateway.W006"]
