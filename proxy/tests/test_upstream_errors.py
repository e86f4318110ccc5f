"""What an upstream says went wrong keeps its words, in every spelling. No process, no database."""

import json

import pytest

from proxy import faults
from proxy.protocols import chat, errors, events
from proxy.providers import openai

WORDS = "Unknown name"
SPELLINGS = {
    "OpenAI's": ({"error": {"message": WORDS, "type": "t", "param": "p", "code": "c"}}, "c"),
    "a text": ({"error": WORDS}, "bad_request"),
    "a list (Google)": (
        [{"error": {"code": 400, "message": WORDS, "status": "INVALID_ARGUMENT"}}],
        "INVALID_ARGUMENT",
    ),
    "an error that is a list": ({"error": [{"message": WORDS}]}, "bad_request"),
    "errors": ({"errors": [{"message": WORDS, "code": 7003}]}, "bad_request"),
    "errors of texts": ({"errors": [WORDS]}, "bad_request"),
    "errors by field": ({"errors": {"model": [WORDS]}}, "bad_request"),
    "error_msg (Baidu)": ({"error_code": 336003, "error_msg": WORDS}, "bad_request"),
    "base_resp (MiniMax)": (
        {"base_resp": {"status_code": 1004, "status_msg": WORDS}},
        "bad_request",
    ),
    "detail": ({"detail": WORDS}, "bad_request"),
    "a list of details (FastAPI)": (
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "x"], "msg": WORDS}]},
        "bad_request",
    ),
    "a message": ({"message": WORDS, "code": 400}, "bad_request"),
    "a number before its name": (
        {"error": {"code": "1211", "status": "NOT_FOUND", "message": WORDS}},
        "NOT_FOUND",
    ),
    "a capital (AWS)": ({"Message": WORDS}, "bad_request"),
    "object error (vLLM)": (
        {"object": "error", "message": WORDS, "type": "BadRequestError", "code": 400},
        "BadRequestError",
    ),
    "type error (Anthropic)": (
        {"type": "error", "error": {"type": "invalid_request_error", "message": WORDS}},
        "invalid_request_error",
    ),
    "a problem (RFC 9457)": ({"title": WORDS, "status": 400}, "bad_request"),
    "a name beside its words": ({"error": "unknown_name", "message": WORDS}, "unknown_name"),
    "words under a heading (Spring)": (
        {"status": 400, "error": "Bad Request", "message": WORDS},
        "bad_request",
    ),
    "a faultstring (Apigee)": (
        {"fault": {"faultstring": WORDS, "detail": {"errorcode": "policies.x"}}},
        "bad_request",
    ),
    "None as a text (LiteLLM)": (
        {"error": {"message": WORDS, "type": "None", "param": "None", "code": "400"}},
        "bad_request",
    ),
    "another's words behind its own (OpenRouter)": (
        {
            "error": {
                "message": "Provider returned error",
                "code": 400,
                "metadata": {"raw": json.dumps({"error": {"message": WORDS}})},
            }
        },
        "bad_request",
    ),
}
# Of no answer at 200 these are words; in a stream they might be anything.
BARE = ("detail", "a capital (AWS)", "a problem (RFC 9457)", "a faultstring (Apigee)")


@pytest.mark.parametrize(("body", "code"), SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize(
    "frame", [b"%s", b"\xef\xbb\xbf%s", b"data: %s\n\n", b"event: error\ndata: %s"]
)
def test_a_refusal_keeps_its_words(body, code, frame):
    status, error = openai.error(400, {}, frame % json.dumps(body).encode())
    fault = faults.refused(status, error)
    assert WORDS in fault.text
    assert "{" not in fault.text
    assert (fault.status, fault.code) == (400, code)


@pytest.mark.parametrize("name", [name for name in SPELLINGS if name not in BARE])
def test_an_error_at_200_is_known(name):
    assert WORDS in errors.find(SPELLINGS[name][0])["message"]


@pytest.mark.parametrize("name", ["detail", "a capital (AWS)", "a problem (RFC 9457)"])
def test_words_in_place_of_an_answer_are_told(name):
    with pytest.raises(faults.Fault) as raised:
        openai.reply(openai.Endpoint.CHAT, {}, SPELLINGS[name][0])
    assert raised.value.text == WORDS


def test_an_event_may_be_a_list_of_errors():
    reply = chat.new_reply()
    assert reply.feed(events.write([{"error": {"message": WORDS}}])) == b""
    assert (reply.bad, reply.error["message"]) == (False, WORDS)


@pytest.mark.parametrize("frame", ["%s", "\ufeff%s\n", "event: error\ndata: %s\n\n"])
@pytest.mark.parametrize("words", ["missing field `role`", "服务器繁忙"])
def test_a_text_is_words_too(words, frame):
    status, error = openai.error(422, {}, (frame % words).encode())
    assert faults.refused(status, error).text == words


@pytest.mark.parametrize("body", [b"", b"<html>Forbidden</html>", b"{}", b"\0\1"])
def test_a_403_without_words_is_about_credentials(body):
    assert faults.refused(*openai.error(403, {}, body)).code == "upstream_credentials"


@pytest.mark.parametrize(
    "answer",
    [
        {"choices": []},
        {"error": None},
        {"error": {}},
        {"error": {"code": 0, "message": ""}},
        {"error": {"code": "0", "message": "success"}},
        {"error": "", "errors": []},
        {"base_resp": {"status_code": 0, "status_msg": "success"}},
        {"error_code": 0, "error_msg": ""},
        {"data": [], "message": "Fine.", "code": 200},
        {"choices": [], "message": "Fine.", "type": "x"},
        {"message": "Fine."},
        [],
        None,
        "text",
    ],
)
def test_what_is_no_error_is_none(answer):
    assert errors.find(answer) is None


@pytest.mark.parametrize("body", [b"", b"<html>", b"null", b"[]", b"{}", b"\xff", b"data: \n\n"])
def test_no_words_are_told_by_the_status(body):
    status, error = openai.error(404, {}, body)
    fault = faults.refused(status, error)
    assert fault.text == "The model's server answered 404."
    assert fault.code == "not_found"
