"""Each kind of upstream on the wire, and OpenAI: what arrives, what its answers amount to.

No database.
"""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.faults import Fault
from proxy.providers.base import Endpoint, Target
from proxy.providers.kinds import KINDS, find_kind
from proxy.tests.providers import QUESTION, arrived

COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "So."}}],
}
WORDS = [
    "error",
    "message",
    "Message",
    "detail",
    "code",
    "type",
    "param",
    "choices",
    "generation",
    "generated_text",
    "content",
    "errorMessage",
]
WORDS += ["OriginalStatusCode", "OriginalMessage"]


# all kinds ---------------------------------------------------------------------------------------


jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(WORDS) | st.text(), inner, max_size=4)
    ),
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(
    answer=jsons,
    status=st.integers(300, 599),
    headers=st.dictionaries(st.just("x-amzn-errortype"), st.text()),
    raw=st.none() | st.binary(),
)
def test_whatever_comes_is_an_answer_or_a_fault(kind, answer, status, headers, raw):
    module = find_kind(Target(kind, "https://x.example"), Endpoint.CHAT)
    try:
        amounts_to = module.reply(Endpoint.CHAT, QUESTION, answer)
    except Fault as fault:
        amounts_to = fault
    assert (
        amounts_to.status == 502
        if isinstance(amounts_to, Fault)
        else isinstance(amounts_to["choices"], list)
    )
    found, error = module.error(
        status, headers, json.dumps(answer).encode() if raw is None else raw
    )
    assert 300 <= found < 600
    assert error.keys() == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert error["message"]
    assert {type(error[name]) for name in ("type", "param", "code")} <= {str, type(None)}


# openai ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["/v1", "/v1/", "/v1/chat/completions", "/v1/chat/completions/"])
@pytest.mark.parametrize("endpoint", Endpoint)
def test_openai_has_one_root(wire, base, endpoint):
    request = arrived(
        wire, Target("openai", wire.url + base, credential="Bearer sk-1"), endpoint, QUESTION
    )
    assert request.line == f"POST /v1/{endpoint} HTTP/1.1"
    assert request.headers["authorization"] == "Bearer sk-1"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert json.loads(request.body) == QUESTION


def test_openai_may_have_addresses_of_its_own(wire):
    target = Target(
        "openai",
        f"{wire.url}/v1",
        urls={Endpoint.IMAGES: f"{wire.url}/pictures?x=1"},
        credential="none",
        content_type="application/json; a=b",
    )
    request = arrived(wire, target, Endpoint.IMAGES, {"prompt": "A house"})
    assert request.line == "POST /pictures?x=1 HTTP/1.1"
    assert request.headers["content-type"] == "application/json; a=b"
    assert "authorization" not in request.headers
    assert (
        arrived(wire, target, Endpoint.CHAT, QUESTION).line == "POST /v1/chat/completions HTTP/1.1"
    )


def test_openai_is_asked_by_the_upstreams_name(wire):
    target = Target("openai", f"{wire.url}/v1", model="meta-llama/Llama-3:8b")
    assert json.loads(arrived(wire, target, Endpoint.CHAT, QUESTION).body) == QUESTION | {
        "model": "meta-llama/Llama-3:8b"
    }
    assert QUESTION["model"] == "house"


def test_openai_takes_a_form(wire):
    form = [
        ("model", "house"),
        ("prompt", "Ünder"),
        ("image[]", ("a.png", b"\x89PNG\r\n--", "image/png")),
        ("image[]", ("b.png", b"", "image/png")),
    ]
    request = arrived(
        wire, Target("openai", f"{wire.url}/v1", model="theirs"), Endpoint.EDITS, form
    )
    boundary = re.fullmatch("multipart/form-data; boundary=(.+)", request.headers["content-type"])[
        1
    ]
    first, *parts, last = request.body.split(f"--{boundary}".encode())
    assert (first, last) == (b"", b"--\r\n")
    found = [
        tuple(part.removeprefix(b"\r\n").removesuffix(b"\r\n").split(b"\r\n\r\n", 1))
        for part in parts
    ]
    assert [value for _, value in found] == ["Ünder".encode(), b"\x89PNG\r\n--", b"", b"theirs"]
    assert [re.search(rb'name="([^"]+)"', head)[1] for head, _ in found] == [
        b"prompt",
        b"image[]",
        b"image[]",
        b"model",
    ]


def test_openais_answer_is_left_alone():
    module = find_kind(Target("openai", ""), Endpoint.CHAT)
    assert module.STREAMS
    assert module.reply(Endpoint.CHAT, QUESTION, COMPLETION) is COMPLETION


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        ([], "upstream_bad_reply", "not a JSON object"),
        (None, "upstream_bad_reply", "not a JSON object"),
        ({"data": []}, "upstream_bad_reply", "empty answer"),
        ({"choices": {}}, "upstream_bad_reply", "empty answer"),
        ({"error": {"message": "Broken"}}, "upstream_failed", "Broken"),
        ({"error": "Broken"}, "upstream_failed", "Broken"),
    ],
)
def test_openais_answer_is_none(answer, code, text):
    with pytest.raises(Fault) as caught:
        find_kind(Target("openai", ""), Endpoint.CHAT).reply(Endpoint.CHAT, QUESTION, answer)
    assert (caught.value.status, caught.value.code) == (502, code)
    assert text in caught.value.text


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            b'{"error": {"message": "No", "type": "invalid_request_error", "param": "n", '
            b'"code": 7}}',
            {"message": "No", "type": "invalid_request_error", "param": "n", "code": "7"},
        ),
        (
            b'{"error": "model not found"}',
            {"message": "model not found", "type": None, "param": None, "code": None},
        ),
        (
            b'{"object": "error", "message": "Too long", "code": 400}',
            {"message": "Too long", "type": None, "param": None, "code": "400"},
        ),
        (
            b'{"detail": "Not Found"}',
            {"message": "Not Found", "type": None, "param": None, "code": None},
        ),
        (
            b"<html>",
            {
                "message": "The model's server answered 404.",
                "type": None,
                "param": None,
                "code": None,
            },
        ),
        (
            b"[1]",
            {
                "message": "The model's server answered 404.",
                "type": None,
                "param": None,
                "code": None,
            },
        ),
        (
            b'{"error": null}',
            {
                "message": "The model's server answered 404.",
                "type": None,
                "param": None,
                "code": None,
            },
        ),
    ],
)
def test_openais_errors(data, expected):
    assert find_kind(Target("openai", ""), Endpoint.CHAT).error(404, {}, data) == (404, expected)
