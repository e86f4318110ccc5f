"""The demo answers this machine only."""

import pytest
from django.conf import settings
from django.test import Client, override_settings

MIDDLEWARE = [
    settings.MIDDLEWARE[0],
    "llmgateway.demo.loopback.LoopbackOnly",
    *settings.MIDDLEWARE[1:],
]


@pytest.fixture
def demo():
    with override_settings(
        MIDDLEWARE=MIDDLEWARE, ALLOWED_HOSTS=["localhost", "127.0.0.1", "[::1]"]
    ):
        yield Client(headers={"host": "localhost:8000"})


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000"])
def test_this_machine_is_answered(demo, address, host):
    assert demo.get("/ping", REMOTE_ADDR=address, headers={"host": host}).content == b"pong\n"


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "192.168.1.5", "::2", "::ffff:10.0.0.1", "", "localhost"]
)
def test_another_machine_is_refused(demo, address):
    response = demo.get("/ping", REMOTE_ADDR=address)
    assert response.status_code == 403
    assert response["content-type"].startswith("text/plain")
    assert "this machine only" in response.text


@pytest.mark.parametrize(
    "host",
    [
        "gateway.example",
        "localhost.example",
        "127.0.0.1.example:8000",
        "10.0.0.1",
        "attacker.example:80",
    ],
)
def test_another_host_is_refused(demo, host):
    assert demo.get("/ping", headers={"host": host}).status_code == 400


@pytest.mark.parametrize(
    "header",
    ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Real-IP", "Via"],
)
def test_a_forwarded_request_is_refused(demo, header):
    response = demo.get("/ping", headers={header: "127.0.0.1"})
    assert response.status_code == 403
    assert "forwarded" in response.text


@pytest.mark.parametrize("path", ["/v1/models", "/v1/nothing", "/api/history"])
@pytest.mark.parametrize(
    ("extra", "status", "code"),
    [
        ({"REMOTE_ADDR": "10.0.0.1"}, 403, "demo_loopback_only"),
        ({"headers": {"x-forwarded-for": "127.0.0.1"}}, 403, "demo_forwarded"),
        ({"headers": {"host": "gateway.example"}}, 400, "demo_host"),
    ],
)
def test_programs_are_refused_in_their_own_words(demo, path, extra, status, code):
    response = demo.get(path, **extra)
    assert response.status_code == status
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == code
    assert response["x-request-id"]
