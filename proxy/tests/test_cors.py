"""Scripts of other origins call the API where CORS_ORIGINS names them, and never a page."""

import pytest
from django.test import Client

from proxy.tests.gateway import ALICE

pytestmark = pytest.mark.usefixtures("database")
KEY = {"authorization": f"Bearer {ALICE}"}


def ask_from(origin: str, path: str):
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "api-key"}
    return Client(headers={"origin": origin} | asked).options(path)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/history", "/chat/completions"])
def test_no_other_origin_is_let_in_unless_it_is_set(settings, path):
    own, other = "https://tool.example", "https://tool.example.evil.example"
    for origins, origin in (([], own), ([own], other), ([own], "null"), ([own], f"{own}:8443")):
        settings.CORS_ORIGINS = origins
        for response in (
            ask_from(origin, path),
            Client(headers=KEY | {"origin": origin}).get(path),
        ):
            assert not [name for name in response.headers if name.lower().startswith("access")]
    settings.CORS_ORIGINS = [own]
    told = ask_from(own, path)
    assert (told.status_code, told["access-control-allow-origin"]) == (204, own)
    assert told["access-control-allow-headers"] == "api-key"
    reply = Client(headers=KEY | {"origin": own}).get(path)
    assert (reply["access-control-allow-origin"], reply["vary"]) == (own, "Origin")
    for response in (told, reply):
        assert "access-control-allow-credentials" not in response


def test_pages_are_open_to_no_other_origin(settings):
    settings.CORS_ORIGINS = ["https://tool.example"]
    response = Client(headers={"origin": "https://tool.example"}).get("/sign-in/")
    assert "access-control-allow-origin" not in response
