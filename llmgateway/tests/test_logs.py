"""Lines for a machine, whatever is to be said."""

import json
import logging
import sys

import pytest

from llmgateway import logs
from proxy import request_id


def line(message, *args, exc_info=None):
    return json.loads(logs.JSON().format(logging.LogRecord("proxy.relay", logging.ERROR, __file__, 1, message, args, exc_info)))


@pytest.mark.parametrize(("said", "written"), [("two\nlines", "two\nlines"), ('"quoted"', '"quoted"'), ("half \ud800", "half ?"), ("\x00", "\x00")])
def test_whatever_is_said_is_one_object(said, written):
    assert line("%s", said)["message"] == written


def test_the_id_of_the_request_where_there_is_one():
    before = request_id.current.set("")
    assert "request_id" not in line("x")
    request_id.current.set("01a2")
    assert line("x")["request_id"] == "01a2"
    assert logs.Plain().format(logging.LogRecord("a", logging.INFO, __file__, 1, "x", (), None)).endswith(" INFO a x [01a2]")
    request_id.current.reset(before)


def test_an_exception_says_where_and_which_but_not_what():
    try:
        try:
            raise KeyError("a secret")
        except KeyError:
            raise ValueError("another secret") from None
    except ValueError:
        found = line("failed", exc_info=sys.exc_info())
    assert found["exception"].splitlines()[-1].strip() == "builtins.ValueError"
    assert __file__ in found["exception"]
    assert "secret" not in json.dumps(found)
