"""An upstream that repeats a secret, in whatever spelling: it reaches no caller, row or log."""

import base64
import html
import json
import logging
from types import SimpleNamespace
from urllib.parse import quote

import orjson
import pytest
from django.conf import settings
from django.db import connection

from llmgateway.ops import logs
from proxy import redaction
from proxy.tests.gateway import ALICE, CHAT, UPSTREAM_KEY, marked
from proxy.tests.wire import ANSWER, DONE, SSE, chunk, exactly, json_reply, word
from proxy.upstreams import catalogue

KEY = UPSTREAM_KEY.removeprefix("Bearer ")
ODD = "sk-proj-Zk83/jdl+Q0aUu3kLq91xMZpWv7tRb"  # with signs that others escape
SPELLINGS = {
    "the header": lambda key: f"Bearer {key}",
    "the key": lambda key: key,
    "capitals": str.upper,
    "percent": lambda key: quote(f"Bearer {key}", safe=""),
    "percent, all": lambda key: "".join(f"%{ord(sign):02x}" for sign in key),
    "percent, twice": lambda key: quote(quote(f"x={key}&", safe=""), safe=""),
    "JSON in a text": lambda key: json.dumps(json.dumps({"authorization": key})),
    "JSON, slashes": lambda key: key.replace("/", "\\/").replace("-", "\\u002d"),
    "JSON, all": lambda key: "".join(f"\\u{ord(sign):04x}" for sign in key),
    "HTML": lambda key: "".join(f"&#{ord(sign)};" for sign in key),
    "HTML, names": lambda key: html.escape(f"<{key}>").replace("/", "&sol;"),
    "base64 of the header": lambda key: base64.b64encode(f"Bearer {key}".encode()).decode(),
    "base64 for URLs": lambda key: base64.urlsafe_b64encode(f"me:{key}!".encode()).decode(),
    "hex": lambda key: key.encode().hex(),
    "Python's": lambda key: repr({"api-key": key.encode()}),
    "the first half": lambda key: key[: (len(key) + 1) // 2] + " (cut)",
    "the second half": lambda key: f"…{key[len(key) // 2 :]}",
    "lines": lambda key: "\r\n  ".join((key[:20], key[20:])),
    "letter by letter": lambda key: " ".join(key),
}


# In a text ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [KEY, ODD])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_a_secret_is_hidden(settings, key, spelling):
    settings.LLM_API_AUTHORIZATION, spelled = f"Bearer {key}", SPELLINGS[spelling](key)
    hidden = redaction.hide(f"Wrong: “{spelled}”, try another.")
    assert redaction.MASK in hidden
    assert spelled not in hidden
    assert longest_run(hidden, spelled) < max(len(spelled) // 2, 12)


def longest_run(text: str, of: str) -> int:
    """The length of the longest piece of one in the other."""
    longest = 0
    for start in range(len(of)):
        while of[start : start + longest + 1] in text and start + longest < len(of):
            longest += 1
    return longest


@pytest.mark.parametrize(
    ("secret", "text", "hidden"),
    [
        ("Bearer sk-0123456789abcdef", "Wrong key: sk-01…cdef.", None),
        ("Bearer sk-0123456789abcdef", "Bearer authentication is required.", None),
        ("Bearer abc", "The bearer abcd is not abc.", None),
        ("Bearer abc", "You sent “Bearer abc”.", "You sent “[secret]”."),
        ("none", "There is none.", None),
        ("key", "Send a key.", None),
        ("Basic bWU6cGFzc3dvcmQtMTIzNA==", "password-1234 is wrong", "[secret] is wrong"),
        ("Basic bWU6cGFzc3dvcmQtMTIzNA==", "bWU6cGFzc3dvcmQtMTIzNA==", "[secret]"),
        ("AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7", "for AKIAIOSFODNN7EXAMPLE", "for [secret]"),
        ("AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7", "by wJalrXUtnFEMI/K7", "by [secret]"),
        ("", "Nothing.", None),
    ],
)
def test_what_is_hidden_and_what_is_not(settings, secret, text, hidden):
    settings.LLM_API_AUTHORIZATION = secret
    assert redaction.hide(text) == (text if hidden is None else hidden)


HOLDERS = dict.fromkeys(redaction.NAMES, ODD) | {
    "UPSTREAM_SECRETS": {"KEY_OF_A": ODD},
    "LLM_PROXY": "http://me:sk-proj-Zk83-jdl-Q0aU@proxy.example:3128",
    "NOTICE_MAIL": "smtps://me:sk-proj-Zk83-jdl-Q0aU@mail.example",
    "DATABASES": {"default": {"PASSWORD": ODD}},
}


@pytest.mark.parametrize("name", HOLDERS)
def test_every_secret_of_the_settings_is_known(monkeypatch, name):
    nothing = dict.fromkeys(redaction.NAMES, "") | {"UPSTREAM_SECRETS": {}, "DATABASES": {}}
    given = nothing | {"LLM_PROXY": "", "NOTICE_MAIL": "", name: HOLDERS[name]}
    monkeypatch.setattr(redaction, "settings", SimpleNamespace(**given))
    word = "sk-proj-Zk83-jdl-Q0aU" if name in ("LLM_PROXY", "NOTICE_MAIL") else ODD
    assert redaction.hide(f"It was {word}.") == "It was [secret]."


def test_every_setting_that_holds_a_secret_is_one_of_them():
    names = {name for name in dir(settings) if name.endswith(("_KEY", "_SECRET", "_TOKEN"))}
    names |= {name for name in dir(settings) if name.endswith("_AUTHORIZATION")}
    assert names <= {*redaction.NAMES}


@pytest.mark.parametrize("form", [logs.Plain, logs.JSON])
def test_a_line_of_the_log_holds_none(settings, form):
    settings.LLM_API_AUTHORIZATION = f"Bearer {ODD}"
    record = logging.LogRecord("x", logging.INFO, "", 0, "sent %s", (f"Bearer {ODD}",), None)
    line = form().format(record)
    assert "sent Bearer [secret]" in line
    assert ODD not in line


@pytest.mark.parametrize("nest", [lambda it: [it], lambda it: {"a": it}], ids=["list", "object"])
def test_a_deep_error_is_searched_or_hidden_whole(settings, nest):
    settings.LLM_API_AUTHORIZATION = f"Bearer {ODD}"
    for levels in (0, 10, 63, 64, 65, 1000):
        value = ODD
        for _ in range(levels):
            value = nest(value)
        hidden = redaction.hide_document(orjson.dumps(value) if levels < 200 else deep(levels))
        assert ODD.encode() not in hidden
        assert redaction.MASK.encode() in hidden


def deep(levels: int) -> bytes:
    return b"[" * levels + orjson.dumps(ODD) + b"]" * levels


# Wherever an upstream can put it -----------------------------------------------------------------


def failed(spelled: str, status: str = "400 Odd", **more) -> bytes:
    error = dict.fromkeys(("message", "code", "param", "type"), spelled)
    return json_reply(json.dumps({"error": error}).encode(), status, **more)


def with_header(name: str, status: str = "200 OK"):
    def answer(spelled: str):
        header = f"{name}: {' '.join(spelled.split())}\r\n".encode()
        return json_reply(json.dumps(ANSWER).encode(), status, headers=header)

    return answer


def answered(text: str) -> bytes:
    answer = json.loads(json.dumps(ANSWER))
    answer["choices"][0]["message"]["content"] = answer["model"] = answer["id"] = text
    return json.dumps(answer).encode()


def event(value) -> bytes:
    return chunk(b"data: %s\n\n" % orjson.dumps(value))


PLACES = {
    "an error": failed,
    "an error, tried again": lambda spelled: failed(spelled, "503 Odd"),
    "credentials": lambda spelled: failed(spelled, "401 Odd"),
    "an error that is a text": lambda spelled: json_reply(
        json.dumps({"error": spelled}).encode(), "422 Odd"
    ),
    "an error of a proxy": lambda spelled: json_reply(
        json.dumps({"detail": [{"headers": {spelled: spelled}}]}).encode(), "404 Odd"
    ),
    "no JSON": lambda spelled: json_reply(spelled.encode(), "400 Odd", "text/plain"),
    "an error at 200": lambda spelled: failed(spelled, "200 OK"),
    "an error at 200 with a status": lambda spelled: json_reply(
        json.dumps({"error": {"code": 400, "message": spelled, "param": spelled}}).encode()
    ),
    "its id of the request": with_header("x-request-id"),
    "its id of a request that failed": with_header("apim-request-id", "500 Odd"),
    "a wait": with_header("retry-after", "429 Odd"),
    "a place": with_header("location", "307 Odd"),
    "its kind": with_header("content-type"),
    "its status": lambda spelled: exactly(f"HTTP/1.1 400 {spelled.split()[-1]}\r\n\r\n".encode()),
    "the first event": lambda spelled: exactly(
        SSE, event({"error": {"message": spelled, "code": spelled}}), b"0\r\n\r\n"
    ),
    "a later event": lambda spelled: exactly(
        SSE,
        chunk(word("Once")),
        event({"error": {"message": spelled, "code": spelled, spelled: [spelled]}}),
        b"0\r\n\r\n",
    ),
}
ANSWERS = {  # where a model speaks, whole secrets in their own spelling are hidden
    "an answer": lambda spelled: json_reply(answered(spelled)),
    "an event": lambda spelled: exactly(SSE, chunk(word(spelled, "stop") + DONE), b"0\r\n\r\n"),
    "no event": lambda spelled: exactly(
        SSE, chunk(word("Once") + f"data: {spelled}\n\n".encode()), b"0\r\n\r\n"
    ),
    "an event in two reads": lambda spelled: exactly(
        SSE,
        *(chunk(half) for half in halves(word(spelled, "stop") + DONE)),
        b"0\r\n\r\n",
        pause=0.05,
    ),
}


def halves(data: bytes) -> tuple[bytes, bytes]:
    cut = data.index(b"secret")
    return data[:cut], data[cut:]


AT_THE_WIRE = ["the header", "base64 of the header", "percent, all"]


@pytest.mark.parametrize("secret", [KEY, ALICE], ids=["ours", "the caller's"])
@pytest.mark.parametrize("place", [*PLACES, *ANSWERS])
def test_it_reaches_no_caller_row_or_log(wired, wire, recorded, place, secret):
    answers = PLACES | ANSWERS
    names = ["the header", "the key"] if place in ANSWERS else AT_THE_WIRE
    spellings = [SPELLINGS[name](secret) for name in names]
    for spelled in spellings:
        wire.answer = answers[place](spelled)
        for stream in (False, True):
            reply = wired.ask(marked(), stream=stream)
            told = reply.body.decode() + json.dumps(reply.headers)
            assert spelled not in told
            assert secret not in told
    recorded(2 * len(spellings))
    assert found([*spellings, secret]) == set()
    log = wired.log.read_text()
    assert not any(spelled in log for spelled in spellings)


@pytest.mark.parametrize("spelling", AT_THE_WIRE)
def test_the_list_of_models_holds_none(client, database, settings, wire, spelling):
    settings.LLM_ENDPOINT, settings.LLM_API_AUTHORIZATION = f"{wire.url}{CHAT}", UPSTREAM_KEY
    catalogue.forget()
    spelled = SPELLINGS[spelling](KEY)
    wire.answer = json_reply(json.dumps({"data": [{"id": "m", "owned_by": spelled}]}).encode())
    listed = client.get("/v1/models", headers={"authorization": f"Bearer {ALICE}"})
    assert listed.json()["data"][0]["id"] == "m"
    assert spelled not in listed.content.decode()


def found(words: list[str]) -> set[tuple[str, str]]:
    """(table, column) of each value that holds one of them, whatever its type."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, array_agg(column_name::text) FROM information_schema.columns "
            "WHERE table_schema = 'public' GROUP BY 1"
        )
        searched = [
            f"SELECT '{table}', array_remove(ARRAY[{','.join(map(is_in, columns))}], NULL) "
            f'FROM "{table}", unnest(%(words)s::text[]) AS word'
            for table, columns in cursor.fetchall()
        ]
        cursor.execute(" UNION ALL ".join(searched), {"words": words})
        return {(table, column) for table, columns in cursor.fetchall() for column in columns}


def is_in(column: str) -> str:
    """SQL of the column's name if any of its values holds the word."""
    return f"CASE WHEN bool_or(strpos(\"{column}\"::text, word) > 0) THEN '{column}' END"
