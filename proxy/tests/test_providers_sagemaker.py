"""SageMaker on the wire, in both ways: what its container reads, and what it answers.

No database.
"""

import json

import pytest

from proxy.faults import Fault
from proxy.protocols import chat
from proxy.providers.base import Endpoint, Target
from proxy.providers.kinds import find_kind
from proxy.tests import aws
from proxy.tests.sagemaker import QUESTION, asked, runtime
from proxy.tests.wire import json_reply

DEFAULTS = {"max_new_tokens": 512, "top_p": 0.9, "temperature": 0.6}


def lambda_(wire, **more):
    return Target("sagemaker_gateway", f"{wire.url}/prod/chat?stage=1", **more)


def reads(target, body):
    """What the model's container gets."""
    return json.loads(find_kind(target, Endpoint.CHAT).request(target, Endpoint.CHAT, body).body)


# What the container reads ------------------------------------------------------------------------


def test_behind_an_api_gateway_nothing_proves_anything(wire):
    wire.answer = aws.generation("So.")
    status, answer, _ = asked(lambda_(wire, credential="none"))
    request = wire.seen[-1]
    assert (status, answer) == (200, [{"generation": {"role": "assistant", "content": "So."}}])
    assert request.line == "POST /prod/chat?stage=1 HTTP/1.1"
    assert request.headers["content-type"] == "application/json"
    assert not {
        name for name in request.headers if name == "authorization" or name.startswith("x-amz")
    }
    assert json.loads(request.body) == {
        "inputs": [[{"role": "user", "content": "Why?"}]],
        "parameters": DEFAULTS,
    }
    asked(lambda_(wire, credential="Bearer t"))
    assert wire.seen[-1].headers["authorization"] == "Bearer t"


@pytest.mark.parametrize("kind", [runtime, lambda_])
def test_messages_and_parameters_in_the_containers_words(wire, kind):
    messages = [
        {"role": "developer", "content": "Be short."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}],
        },
        {
            "role": "assistant",
            "content": "Ünder",
            "refusal": None,
            "annotations": [],
            "tool_calls": None,
            "reasoning_content": "Hm.",
        },
        {"role": "user", "content": "Why?", "name": None},
    ]
    labels = {
        "user": "u",
        "stream": True,
        "stream_options": {"include_usage": True},
        "metadata": {"a": "b"},
        "safety_identifier": "s",
    }
    neutral = {
        "n": 1,
        "presence_penalty": 0.0,
        "frequency_penalty": 0,
        "tools": [],
        "logit_bias": {},
        "response_format": {"type": "text"},
        "seed": None,
    }
    found = reads(kind(wire), {"model": "m", "messages": messages, **labels, **neutral})
    assert found == {
        "inputs": [
            [
                {"role": "system", "content": "Be short."},
                {"role": "user", "content": "One.\nTwo."},
                {"role": "assistant", "content": "Ünder"},
                {"role": "user", "content": "Why?"},
            ]
        ],
        "parameters": DEFAULTS,
    }


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"max_tokens": 9}, {"max_new_tokens": 9}),
        ({"max_completion_tokens": 9}, {"max_new_tokens": 9}),
        ({"temperature": 0, "top_p": 1}, {"temperature": 0, "top_p": 1}),
        ({"stop": "."}, {"stop": ["."]}),
        ({"stop": [".", "!"]}, {"stop": [".", "!"]}),
        (
            {"seed": 0, "top_k": 3, "repetition_penalty": 1.1},
            {"seed": 0, "top_k": 3, "repetition_penalty": 1.1},
        ),
    ],
)
def test_parameters_are_renamed(wire, given, read):
    assert reads(lambda_(wire), QUESTION | given)["parameters"] == DEFAULTS | read


PICTURE = [
    {"type": "text", "text": "What?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}},
]


@pytest.mark.parametrize("kind", [runtime, lambda_])
@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"n": 2}, "n"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tomorrows_parameter": 0}, "tomorrows_parameter"),
        ({"messages": [{"role": "user", "content": PICTURE}]}, "messages[0].content"),
        (
            {
                "messages": [
                    {"role": "user", "content": "a"},
                    {"role": "tool", "content": "b", "tool_call_id": "c"},
                ]
            },
            "messages[1].role",
        ),
        (
            {"messages": [{"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}]},
            "messages[0].tool_calls",
        ),
        ({"messages": [{"role": "assistant", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "a", "name": "alice"}]}, "messages[0].name"),
        ({"messages": [{"role": "user", "content": [1]}]}, "messages[0].content"),
    ],
)
def test_what_it_has_no_words_for_is_refused_by_name(wire, kind, body, param):
    with pytest.raises(Fault) as caught:
        reads(kind(wire), QUESTION | body)
    fault = caught.value
    assert (fault.status, fault.code, fault.type, fault.param) == (
        400,
        "unsupported_parameter",
        "invalid_request_error",
        param,
    )
    assert param.rpartition(".")[2] in fault.text or "text only" in fault.text


@pytest.mark.parametrize("endpoint", [Endpoint.IMAGES, Endpoint.EDITS, Endpoint.EMBEDDINGS])
@pytest.mark.parametrize("kind", [runtime, lambda_])
def test_it_only_chats(wire, kind, endpoint):
    with pytest.raises(Fault) as caught:
        find_kind(kind(wire), endpoint)
    assert (caught.value.status, caught.value.code, caught.value.param) == (
        404,
        "endpoint_not_supported",
        "model",
    )


# What an answer amounts to -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        [{"generation": {"role": "assistant", "content": "So, so."}}],
        [{"generation": "So, so."}],
        {"generation": {"role": "assistant", "content": "So, so."}},
        {"generated_text": "So, so."},
        [{"generated_text": "So, so."}],
    ],
)
@pytest.mark.parametrize("kind", [runtime, lambda_])
def test_an_answer_is_a_completion(wire, kind, answer):
    module = find_kind(kind(wire), Endpoint.CHAT)
    assert not module.STREAMS
    completion = module.reply(Endpoint.CHAT, QUESTION, answer)
    assert completion["id"].startswith("chatcmpl-")
    assert completion["id"] != module.reply(Endpoint.CHAT, QUESTION, answer)["id"]
    assert (completion["object"], completion["model"]) == ("chat.completion", "llama")
    [choice] = completion["choices"]
    assert choice == {
        "index": 0,
        "message": {"role": "assistant", "content": "So, so."},
        "logprobs": None,
        "finish_reason": "stop",
    }
    assert completion["usage"] == {
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "total_tokens": 3,
        "estimated": True,
    }
    streamed = chat.Reply()
    streamed.feed(chat.as_stream(completion))
    assert streamed.whole() == completion | {
        "choices": [{key: value for key, value in choice.items() if key != "logprobs"}]
    }


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        "So.",
        [[]],
        [{"generation": None}],
        {"generation": {"content": 1}},
        {"generated_text": [{}]},
    ],
)
def test_an_answer_is_none(wire, answer):
    with pytest.raises(Fault) as caught:
        find_kind(runtime(wire), Endpoint.CHAT).reply(Endpoint.CHAT, QUESTION, answer)
    assert (caught.value.status, caught.value.code) == (502, "upstream_bad_reply")


def test_a_lambda_that_failed_says_so_at_200(wire):
    with pytest.raises(Fault) as caught:
        find_kind(lambda_(wire), Endpoint.CHAT).reply(
            Endpoint.CHAT,
            QUESTION,
            {"errorMessage": "Task timed out after 3.00 seconds", "errorType": "Sandbox.Timedout"},
        )
    assert (caught.value.status, caught.value.code, caught.value.text) == (
        502,
        "upstream_failed",
        "Task timed out after 3.00 seconds",
    )


MODEL_ERROR = {
    "ErrorCode": "X",
    "Message": "Received client error",
    "OriginalStatusCode": 422,
    "OriginalMessage": "temperature must be positive",
}


@pytest.mark.parametrize(
    ("status", "kind", "body", "expected"),
    [
        (424, "ModelError", MODEL_ERROR, (422, "temperature must be positive", "ModelError")),
        (
            424,
            "ModelError",
            MODEL_ERROR | {"OriginalStatusCode": 500, "OriginalMessage": ""},
            (500, "Received client error", "ModelError"),
        ),
        (
            424,
            "ModelError",
            MODEL_ERROR | {"OriginalStatusCode": 200},
            (424, "temperature must be positive", "ModelError"),
        ),
        (
            400,
            "ThrottlingException:http://x/",
            {"message": "Rate exceeded"},
            (429, "Rate exceeded", "ThrottlingException"),
        ),
        (
            400,
            "ExpiredTokenException",
            {"message": "Expired"},
            (403, "Expired", "ExpiredTokenException"),
        ),
        (
            400,
            "ValidationError",
            {"Message": "Endpoint not found."},
            (400, "Endpoint not found.", "ValidationError"),
        ),
        (
            504,
            "",
            {"message": "Endpoint request timed out"},
            (504, "Endpoint request timed out", None),
        ),
        (502, "", {"message": None}, (502, "The model's server answered 502.", None)),
        (503, "", [], (503, "The model's server answered 503.", None)),
    ],
)
def test_errors(wire, status, kind, body, expected):
    headers = f"x-amzn-ErrorType: {kind}\r\n".encode() if kind else b""
    wire.answer = json_reply(json.dumps(body).encode(), f"{status} Odd", headers=headers)
    target = runtime(wire)
    code, answer, fields = asked(target)
    found, error = find_kind(target, Endpoint.CHAT).error(code, fields, json.dumps(answer).encode())
    assert (found, error["message"], error["code"]) == expected
    assert error.keys() == {"message", "type", "param", "code"}
