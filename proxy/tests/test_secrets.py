"""Where words and secrets may be: words in the record's own columns and nowhere else.

Secrets in no row and no log.
"""

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client

from proxy import user_token
from proxy.tests.conftest import is_discreet, made_database, url_of
from proxy.tests.gateway import ALICE, BOB, CANARY, CHAT, SECRET, UPSTREAM_KEY, Gateway, marked
from proxy.tests.wire import SSE, chunk, exactly, json_reply

TOKEN = f"sk-own-{SECRET}"
SAID = {  # the columns that are for what people and models say, and what they call it
    "conversations_conversation": {"title", "session_key"},
    "conversations_message": {"text", "raw", "role"},
    "conversations_partial": {"text"},
    "conversations_searchterms": {"words", "document", "text", "vector"},
    "conversations_snapshot": {
        "params",
        "response",
        "error",
        "attempts",
        "error_code",
        "end_user",
        "model",
        "served_model",
        "user_agent",
        "upstream_id",
        "upstream_request_id",
        "finish_reason",
    },
    "conversations_usage": {"model"},
}
REPLY = (
    b'{"id": "%s", "model": "%s", "choices": [{"message": {"role": "assistant", "content": "%s"}, '
    b'"finish_reason": "%s"}]}' % ((CANARY.encode(),) * 4)
)
EVENT = (
    b'data: {"id": "%s", "choices": [{"index": 0, "delta": {"content": "%s"}, '
    b'"finish_reason": null}]}\n\n' % ((CANARY.encode(),) * 2)
)
ODD = f"X-Odd: {CANARY} {SECRET}\r\nX-Request-Id: {CANARY}\r\nSet-Cookie: a={SECRET}\r\nLocation: http://{CANARY}.example/\r\n".encode()


def found(word: str) -> set[tuple[str, str]]:
    """(table, column) of each value that holds it, whatever its type."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns "
            "WHERE table_schema = 'public'"
        )
        searched = [
            f"SELECT '{table}', '{column}' FROM \"{table}\" "
            f'WHERE strpos("{column}"::text, %(word)s) > 0'
            for table, column in cursor.fetchall()
        ]
        cursor.execute(" UNION ".join(searched), {"word": word})
        return set(cursor.fetchall())


@pytest.fixture(scope="module")
def committed(django_db_blocker, worker_id):
    """Every value of every row is looked at, and the worker seals them all: few are enough."""
    with django_db_blocker.unblock(), made_database(f"test_secrets_{worker_id}") as made:
        yield made


@pytest.fixture(scope="module", params=["plain", "json"])
def logging(request, committed, folder, wire):
    """A gateway that logs for a terminal, or for a machine."""
    gateway = Gateway(
        folder,
        DATABASE_URL=url_of(committed),
        LLM_ENDPOINT=f"{wire.url}{CHAT}",
        LOG_FORMAT=request.param,
        ALLOW_USER_TOKENS=True,
    )
    yield gateway
    gateway.stop()
    is_discreet(gateway.log)


@pytest.fixture
def spread(database, logging, wire, recorded):
    """Calls that end in every way, with canaries wherever they can be put: the worker's log."""
    wired = logging
    error = (
        f'{{"error": {{"message": "{CANARY}", "code": "{CANARY}", "param": "{CANARY}"}}}}'.encode()
    )
    answers = [
        json_reply(REPLY, headers=ODD),
        json_reply(error, "500 Odd", headers=ODD),
        json_reply(error, "400 Odd", headers=ODD),
        json_reply(error, "401 Odd"),
        json_reply(b"<html>" + CANARY.encode(), "200 OK", "text/html"),
        json_reply(error),
        json_reply(b"{" + CANARY.encode(), headers=ODD),
        json_reply(error, "302 Found", headers=ODD),
        exactly(f"HTTP/1.1 {CANARY}\r\n\r\n".encode()),
        exactly(f"{CANARY}\r\n\r\n".encode()),
        exactly(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", CANARY.encode() + b"\r\n"
        ),
        exactly(SSE, chunk(EVENT)),
        exactly(SSE, chunk(EVENT), chunk(b"data: " + CANARY.encode() + b"\n\n"), b"0\r\n\r\n"),
        exactly(SSE, chunk(EVENT), CANARY.encode() + b"\r\n", pause=0.05),
        json_reply(
            REPLY.replace(b'"choices": [', b'"choices": [' + b"[" * 300 + b"]" * 300 + b", ")
        ),
        exactly(b"HTTP/1.1 200 OK\r\n" + ODD * 200 + b"\r\n"),
        exactly(
            SSE.replace(b"chunked", b"gzip, chunked").replace(
                b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"
            ),
            chunk(CANARY.encode()),
            b"0\r\n\r\n",
        ),
    ]
    headers = {
        "X-Odd": SECRET,
        "Cookie": f"csrftoken={SECRET}",
        "Referer": f"http://x/?{SECRET}",
        "x-session-id": f"session {CANARY}",
    }
    for answer in answers:
        wire.answer = answer
        for stream in (False, True):
            assert wired.ask(
                marked(),
                {"role": CANARY, "content": CANARY, CANARY: CANARY},
                stream=stream,
                headers=headers,
                **{CANARY: CANARY},
            ).body
    wire.answer = json_reply(
        b'{"data": [{"url": "http://%s.example/%s.png"}, {"b64_json": "%s"}]}'
        % ((CANARY.encode(),) * 3)
    )
    assert (
        wired.call("/v1/images/generations", {"prompt": marked(), "model": CANARY}, ALICE).status
        == 200
    )
    for path in (
        f"/{CANARY}",
        f"/{CANARY}/{SECRET}/",
        f"/c/{CANARY}/",
        f"/admin/{CANARY}/?{SECRET}",
    ):
        assert wired.call(path, key=ALICE).status >= 300
        assert wired.call(path, method=CANARY[:12].upper(), host=f"{CANARY}.example").status >= 400
    assert wired.call(f"/v1/models/{CANARY}", key=ALICE).status == 200  # it may be asked
    for path, body, key in (
        (CHAT, f'{{"{CANARY}": '.encode(), ALICE),
        (CHAT, {"model": CANARY}, ALICE),
        (f"/v1/nowhere?{CANARY}", b"{}", ALICE),
        (CHAT, {}, f"gw-{SECRET}"),
        (
            CHAT,
            {
                "model": "m",
                "messages": [{"role": "user", "content": CANARY}],
                "stream_options": CANARY,
                "stream": True,
            },
            BOB,
        ),
    ):
        assert 400 <= wired.call(path, body, key, x_conversation_id=CANARY).status < 500
    repeated = f'{{"error": {{"message": "{TOKEN}", "code": "{TOKEN}"}}}}'.encode()
    pages = [
        answers[0],
        answers[1],
        exactly(SSE, chunk(EVENT)),
        *(json_reply(repeated, status) for status in ("400 Odd", "200 OK", "401 Odd")),
    ]
    asked_with_a_token(wired, wire, pages)
    recorded(2 * len(answers) + 4 + len(pages))
    return wired.work()


def asked_with_a_token(wired, wire, answers) -> None:
    """Pasted on its page, then sent along with a question for each answer."""
    alice = get_user_model().objects.get(username="alice")
    client = Client()
    client.force_login(alice)
    csrf = "c" * 32
    cookies = f"sessionid={client.cookies['sessionid'].value}; csrftoken={csrf}"

    def post(path: str, cookies: str, **form: str) -> int:
        body = urlencode(form | {"csrfmiddlewaretoken": csrf}).encode()
        return wired.call(
            path, body, Content_Type="application/x-www-form-urlencoded", Cookie=cookies
        ).status

    assert post("/token/", cookies, token=TOKEN) == 302
    assert post("/token/", cookies, token=f"{TOKEN} and more words") == 400
    sealed = user_token._seal(alice).encrypt(f"Bearer {TOKEN}".encode()).decode()
    for answer in answers:
        wire.answer = answer
        assert (
            post("/", f"{cookies}; {user_token.COOKIE}={sealed}", message=marked(), model=CANARY)
            == 303
        )


def test_secrets_and_words_are_only_where_they_belong(logging, wire, spread):
    assert {UPSTREAM_KEY, f"Bearer {TOKEN}"} <= {
        request.headers.get("authorization") for request in wire.seen
    }
    assert found(SECRET) == set()
    places = found(CANARY)
    assert ("conversations_message", "text") in places  # the search finds what is there
    assert {
        (table, column) for table, column in places if column not in SAID.get(table, ())
    } == set()
    assert CANARY not in spread
    assert SECRET not in spread
    is_discreet(logging.log)
    metrics = logging.call("/metrics").body.decode()
    assert "llmgateway_failures_total" in metrics
    assert CANARY not in metrics
    if connection.settings_dict["ENGINE"] == "llmgateway.embedded":
        is_discreet(next(settings.VAR_DIR.rglob("postgresql.log")))


def test_each_line_for_a_machine_says_when_what_and_of_which_request(logging, wire, recorded):
    if logging.environment["LOG_FORMAT"] == "plain":
        pytest.skip("lines for a terminal")
    wire.answer = json_reply(b"{}", "500 Odd")
    failed = logging.ask(marked())
    refused = logging.call(CHAT, {"model": "m"}, ALICE)
    nothing = logging.call(f"/c/{failed.root}/no-such/")
    lines = [json.loads(line) for line in logging.log.read_text().splitlines()]
    for line in lines:
        assert (
            {"time", "level", "logger", "message"}
            <= line.keys()
            <= {"time", "level", "logger", "message", "request_id", "exception"}
        )
        assert datetime.fromisoformat(line["time"]).utcoffset() == timedelta()
    said = {
        line.get("request_id"): (line["level"], line["logger"], line["message"]) for line in lines
    }
    for reply, level, message in (
        (failed, "ERROR", "POST /v1/chat/completions 502"),
        (refused, "WARNING", "POST /v1/chat/completions 400"),
        (nothing, "WARNING", "GET elsewhere 404"),
    ):
        assert said[reply.headers["x-request-id"]] == (level, "django.request", message)
    assert {line["logger"] for line in lines if "request_id" not in line} == {"gunicorn.error"}


SERVER = f"""
from django.conf import settings
from gunicorn.config import Config
from gunicorn.glogging import Logger

config = Config()
config.set("logconfig_dict", settings.LOGGING)
try:
    raise ValueError("{CANARY}")
except ValueError:
    Logger(config).exception("a request failed")
"""


@pytest.mark.parametrize("form", ["plain", "json"])
def test_the_servers_own_log_does_not_say_what_exceptions_say(form):
    environment = os.environ | {"LOG_FORMAT": form}
    done = subprocess.run(
        [sys.executable, "-c", SERVER],
        cwd=settings.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "builtins.ValueError" in done.stderr
    assert form == "plain" or "builtins.ValueError" in json.loads(done.stderr)["exception"]
    assert CANARY not in done.stderr
