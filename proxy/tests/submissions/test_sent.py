"""Closed calls to the receiver of submissions: what it is sent, and of which calls."""

import base64
import hmac
import json
import time

import pytest

from conversations.models import Seal
from llmgateway.management.commands import worker
from proxy.jobs import submissions
from proxy.models import Submission
from proxy.tests.gateway import (
    ALICE,
    CANARY,
    CHAT,
    SECRET,
    SHARED,
    marked,
)
from proxy.tests.submissions.deliveries import ANSWER, closed, keys
from proxy.tests.wire import DONE, SSE, Wire, chunk, exactly, json_reply, word

PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(3000)).decode()


# What is sent ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def listening():
    with Wire() as receiver:
        yield receiver


@pytest.fixture
def receiver(listening):
    listening.seen.clear()
    return listening


@pytest.fixture
def gateway(shared, wire, receiver):
    return shared(
        LLM_ENDPOINT=f"{wire.url}{CHAT}",
        LLM_LABEL="ACME",
        ENABLE_SUBMISSIONS_API="true",
        SUBMISSIONS_API_URL=f"{receiver.url}/in?tenant=7",
        SUBMISSIONS_API_AUTHORIZATION=f"Bearer {SECRET}",
        SUBMISSIONS_HMAC_SECRET=f"hmac {SECRET}",
    )


def test_the_classic_fields_of_a_json_call_a_stream_and_an_image(gateway, wire, receiver, recorded):
    accepted = receiver.accepted
    question = [
        {"type": "text", "text": marked()},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}},
    ]
    asked = {
        "model": "gpt-4o-mini",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": question},
        ],
        "temperature": 0.5,
        "x": None,
    }
    wire.answer = json_reply(json.dumps(ANSWER).encode())
    assert gateway.call(CHAT, asked, ALICE, User_Agent="acme/1.0").status == 200

    told = marked()
    wire.answer = exactly(SSE, chunk(word("Once ") + word("upon", "stop") + DONE), b"0\r\n\r\n")
    assert (
        gateway.ask(
            told, key=SHARED, stream=True, user="carol", headers={"User-Agent": "curl"}
        ).status
        == 200
    )

    painted = {"prompt": marked(), "model": "dall-e-2", "size": "256x256"}
    wire.answer = json_reply(json.dumps({"created": 5, "data": [{"b64_json": PICTURE}]}).encode())
    assert gateway.call("/v1/images/generations", painted, ALICE, User_Agent="").status == 200
    assert (
        gateway.call("/v1/embeddings", {"input": marked(), "model": "e"}, ALICE).status == 200
    )  # not submitted
    calls = recorded(4)

    began = int(time.time())
    log = gateway.work()
    assert CANARY not in log
    assert SECRET not in log
    assert not Submission.objects.exists()
    assert keys(receiver) == [str(call.id) for call in calls[:3]]
    streamed = {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": told}],
        "stream": True,
        "user": "carol",
        "stream_options": {"include_usage": True},
    }
    completion = {"id": "c", "model": "m", "object": "chat.completion", "usage": None} | {
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Once upon"},
                "finish_reason": "stop",
            }
        ]
    }
    expected = [
        {
            "raw_request": asked,
            "raw_response": ANSWER,
            "associated_users": ["alice"],
            "llm_model": "gpt-4o-mini",
            "associated_software": ["acme/1.0"],
            "api_token_id": ALICE[:11],
        },
        {
            "raw_request": streamed,
            "raw_response": completion,
            "associated_users": ["service", "carol"],
            "llm_model": "gpt-4o-mini",
            "associated_software": ["curl"],
            "api_token_id": SHARED[:11],
        },
        {
            "raw_request": painted,
            "raw_response": {"created": 5, "data": [{"b64_json": PICTURE}]},
            "associated_users": ["alice"],
            "llm_model": "dall-e-2",
            "associated_software": [],
            "api_token_id": ALICE[:11],
        },
    ]
    for request, call, fields in zip(receiver.seen, calls, expected, strict=False):
        seal = Seal.objects.get(subject=call.id)
        times = {
            "time_submitted": call.opened,
            "response_timestamp": call.closed,
            "time_logged": seal.sealed,
        }
        assert json.loads(request.body) == fields | {
            "llm_provider": "ACME",
            "associated_devices": ["127.0.0.1"],
        } | {
            name: at.isoformat(timespec="seconds").removesuffix("+00:00")
            for name, at in times.items()
        }
        assert request.line == "POST /in?tenant=7 HTTP/1.1"
        stamp = request.headers["x-signature-timestamp"]
        assert began <= int(stamp) <= time.time()
        signature = hmac.new(
            f"hmac {SECRET}".encode(), f"{stamp}.".encode() + request.body, "sha256"
        ).hexdigest()
        assert request.headers["x-signature"] == f"sha256={signature}"
        assert request.headers["authorization"] == f"Bearer {SECRET}"
        assert request.headers["content-type"] == "application/json"
    assert receiver.accepted == accepted + 1  # one connection for all


def test_nothing_of_ours_travels_that_was_not_asked_for(on, receiver):
    closed()
    submissions.deliver_due()
    assert receiver.seen[0].headers.keys() == {
        "host",
        "accept-encoding",
        "user-agent",
        "content-type",
        "content-length",
        "idempotency-key",
    }


def test_which_endings_are_sent(gateway, wire, on, receiver, settings, tmp_path):
    settings.CHECKPOINT_FILE = tmp_path / "checkpoints.jsonl"
    refused, failed, fine = (marked() for _ in range(3))

    def calls() -> list[str]:
        assert gateway.ask(refused, model=5).status == 400
        wire.answer = json_reply(b"{}", "500 Oh")
        assert gateway.ask(failed).status == 502
        wire.answer = json_reply(json.dumps(ANSWER).encode())
        return [str(gateway.ask(fine).id)]

    only = calls()
    worker.work_once()
    assert keys(receiver) == only
    settings.SUBMISSIONS_STATUSES = ["refused", "failed"]
    calls()
    worker.work_once()
    widened = [json.loads(request.body) for request in receiver.seen[1:]]
    assert [body["raw_response"] and "Fine." for body in widened] == [None, None, "Fine."]
    assert [body["raw_request"]["messages"][0]["content"] for body in widened] == [
        refused,
        failed,
        fine,
    ]
