"""LLM_GATEWAY_URL: the pages in front of another gateway, one like OpenAI's or a classic one."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import orjson
import pytest
from django.test import Client

from conversations.models import Snapshot
from conversations.tests.calls import person

pytestmark = pytest.mark.django_db

REPLY = {
    "id": "chatcmpl-classic",
    "model": "gpt-4",
    "uuid": "u",
    "root_uuid": "r",
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "From over there."},
            "finish_reason": "stop",
        }
    ],
}


class Classic(BaseHTTPRequestHandler):
    """Answers in JSON whatever is asked, as the classic gateway does."""

    def do_POST(self):
        body = orjson.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.seen.append((self.path, body, self.headers.get("authorization")))
        data = orjson.dumps(REPLY)
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def other():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Classic)
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/api", "/api/chat"),
        ("/api/", "/api/chat"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/x/chat/completions/", "/x/chat/completions/"),
    ],
)
def test_a_question_goes_to_the_other_gateway(settings, other, url, path):
    settings.LLM_ENDPOINT = ""
    settings.LLM_GATEWAY_URL = f"http://127.0.0.1:{other.server_port}{url}"
    settings.LLM_API_AUTHORIZATION = "Bearer gw-of-the-pages"
    browser = Client()
    browser.force_login(person("alice"))
    response = browser.post("/", {"message": "Hello over there", "model": "gpt-4"})
    assert response.status_code == 303
    assert b"".join(response) == b""
    [(asked, body, authorization)] = [seen for seen in other.seen if seen[0] == path]
    assert (asked, authorization) == (path, "Bearer gw-of-the-pages")
    assert body["messages"] == [{"role": "user", "content": "Hello over there"}]
    snapshot = Snapshot.objects.get()
    assert (snapshot.status, snapshot.reply.text, snapshot.prompt_tokens) == (
        "ok",
        "From over there.",
        5,
    )
    assert b"From over there." in browser.get(response["Location"]).content
