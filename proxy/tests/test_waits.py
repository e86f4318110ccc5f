"""How long an upstream asks to wait, in every vendor's spelling. No process, no database."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from requests.structures import CaseInsensitiveDict

from proxy import faults
from proxy.protocols.waits import read_limit, read_wait

MOMENTS = {  # how one is written
    "HTTP": lambda moment: format_datetime(moment, usegmt=True),
    "RFC 3339": datetime.isoformat,
    "in UTC": lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "seconds": lambda moment: str(int(moment.timestamp())),
    "milliseconds": lambda moment: str(int(moment.timestamp() * 1000)),
}


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", None),
        ("7", "7"),
        (" 7 ", "7"),
        ("0", "0"),
        ("7.5", "8"),
        ("7.0", "7"),
        ("20s", "20"),
        ("0.2s", "1"),
        ("1m20s", "80"),
        ("6m0s", "360"),
        ("2h", "7200"),
        ("250ms", "1"),
        ("1s500ms", "2"),
        ("PT30S", "30"),
        ("PT1M20S", "80"),
        ("PT", None),
        ("30, 60", "60"),
        ("1m, 20", "60"),
        ("30, soon", None),
        (",", None),
        ("٧", None),
        ("soon", None),
        ("-3", None),
        ("9" * 30, None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", "0"),
        ("2015-10-21T07:28:00Z", "0"),
        ("2015-10-21T07:28:00", "0"),
        ("1445412480", "0"),  # a moment, in seconds or milliseconds
        ("1445412480000", "0"),
    ],
)
def test_retry_after_in_any_form(header, seconds):
    assert read_wait({"retry-after": header}) == seconds
    assert read_wait(CaseInsensitiveDict({"Retry-After": header})) == seconds
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        assert read_wait({"retry-after": header, name: "7500"}) == "8"
        assert read_wait({"retry-after": header, name: "soon"}) == seconds


@pytest.mark.parametrize("write", MOMENTS.values(), ids=MOMENTS)
def test_a_moment_that_comes(write):
    moment = write(datetime.now(UTC) + timedelta(hours=1))
    for wait in (
        read_wait({"retry-after": moment}),
        read_limit({"x-ratelimit-reset": moment}, ""),
    ):
        assert 3500 < int(wait) <= 3600


LIMITS = {  # what the reply says, beside a status that a limit was reached
    "nothing": ({}, "Slow down.", None),
    "OpenAI's requests": (
        {
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "6m0s",
            "x-ratelimit-remaining-tokens": "149984",
            "x-ratelimit-reset-tokens": "24h",
        },
        "",
        "360",
    ),
    "both of OpenAI's": (
        {
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "250ms",
            "x-ratelimit-remaining-tokens": "0",
            "x-ratelimit-reset-tokens": "20s",
        },
        "",
        "20",
    ),
    "limits that are not reached": (
        {"x-ratelimit-remaining-requests": "9", "x-ratelimit-reset-requests": "6m0s"},
        "",
        None,
    ),
    "Anthropic's": (
        {
            "anthropic-ratelimit-tokens-remaining": "0",
            "anthropic-ratelimit-tokens-reset": "2015-10-21T07:28:00Z",
        },
        "",
        "0",
    ),
    "a reset alone": ({"RateLimit-Reset": "30"}, "", "30"),
    "the IETF's": ({"RateLimit": '"burst";r=9;t=5, "day";r=0;t=40'}, "", "40"),
    "no number": ({"x-ratelimit-reset": "soon", "x-ratelimit-limit": "5"}, "", None),
    "Google's": (
        {},
        '{"error": {"details": [{"@type": "…/google.rpc.RetryInfo", "retryDelay": "34.07s"}]}}',
        "35",
    ),
    "a field": ({}, '{"message": "Later.", "retry_after": 7.5}', "8"),
    "a model that loads": ({}, '{"error": "Loading", "estimated_time": 20.0}', "20"),
    "OpenAI's words": ({}, "Limit 3 / min. Please try again in 6m0s. Contact us.", "360"),
    "Groq's words": ({}, "Please try again in 7.66s. Visit …", "8"),
    "milliseconds": ({}, "Please try again in 250ms.", "1"),
    "Azure's words": ({}, "Please retry after 7 seconds.", "7"),
    "minutes": ({}, "Try again in 2 minutes", "120"),
    "days": ({}, "You can try again in 2 days.", "172800"),
    "milliseconds apart": ({}, "Please try again in 250 ms.", "1"),
    "a field in camelCase": ({}, '{"error": {"retryAfterSeconds": 7}}', "7"),
    "milliseconds in words": ({}, "Retry in 250 milliseconds", "1"),
    "words without a number": ({}, "Please try again in a while.", None),
    "words before what is counted": (
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "60"},
        "Please retry in 5s",
        "5",
    ),
}


@pytest.mark.parametrize(("headers", "said", "wait"), LIMITS.values(), ids=LIMITS)
def test_when_a_limit_ends(headers, said, wait):
    assert read_limit(CaseInsensitiveDict(headers), said) == wait


def test_an_error_at_200_tells_its_wait_in_words():
    said = {"message": "Please try again in 20s.", "type": "rate_limit_error"}
    fault = faults.failed(said)
    assert (fault.status, fault.retry_after) == (429, "20")
    assert faults.failed(said | {"type": "invalid_request_error"}).retry_after is None
