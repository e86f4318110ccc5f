"""Lines for a machine, whatever is to be said."""

import itertools
import json
import logging
import sys

import pytest

from llmgateway.ops import logs
from proxy import request_id


def record(message, *args, exc_info=None):
    return logging.LogRecord("proxy.relay", logging.ERROR, __file__, 1, message, args, exc_info)


def line(message, *args, exc_info=None):
    return json.loads(logs.JSON().format(record(message, *args, exc_info=exc_info)))


def plain(problem):
    """The lines of a terminal below the first: frames and classes, with their indent."""
    return logs.Plain().format(record("failed", exc_info=info(problem))).splitlines()[1:]


def as_json(problem):
    return line("failed", exc_info=info(problem))["exception"].splitlines()


def info(problem):
    return type(problem), problem, problem.__traceback__


def ring(link, *problems):
    """Each led to by the next, and the last by the first."""
    for problem, cause in zip(problems, [*problems[1:], problems[0]], strict=True):
        setattr(problem, link, cause)
    return problems[0]


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("two\nlines", "two\nlines"),
        ('"quoted"', '"quoted"'),
        ("half \ud800", "half ?"),
        ("\x00", "\x00"),
    ],
)
def test_whatever_is_said_is_one_object(said, written):
    assert line("%s", said)["message"] == written


def test_the_id_of_the_request_where_there_is_one():
    before = request_id.current.set("")
    assert "request_id" not in line("x")
    request_id.current.set("01a2")
    assert line("x")["request_id"] == "01a2"
    assert (
        logs.Plain()
        .format(logging.LogRecord("a", logging.INFO, __file__, 1, "x", (), None))
        .endswith(" INFO a x [01a2]")
    )
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


both = pytest.mark.parametrize("lines", [plain, as_json])


@both
@pytest.mark.parametrize("link", ["__cause__", "__context__"])
@pytest.mark.parametrize(
    "classes", [[KeyError], [KeyError, OSError], [KeyError, OSError, ValueError]]
)
def test_a_ring_of_exceptions_is_walked_once(lines, link, classes):
    problem = ring(link, *(each("a secret") for each in classes))
    assert lines(problem) == [f"  builtins.{each.__name__}" for each in classes]


@both
def test_a_ring_further_down_the_chain_is_walked_once(lines):
    problem = RuntimeError("a secret")
    problem.__cause__ = ring("__context__", KeyError("a secret"), OSError("a secret"))
    assert lines(problem) == [
        "  builtins.RuntimeError",
        "  builtins.KeyError",
        "  builtins.OSError",
    ]


@both
def test_a_ring_through_cause_and_context_is_walked_once(lines):
    first, second = KeyError("a secret"), OSError("a secret")
    first.__cause__, second.__context__ = second, first
    assert lines(first) == ["  builtins.KeyError", "  builtins.OSError"]


@both
def test_a_chain_of_any_length_is_cut(lines):
    problems = [KeyError(number) for number in range(logs.MOST + 1)]
    for problem, cause in itertools.pairwise(problems):
        problem.__context__ = cause
    assert lines(problems[0]) == ["  builtins.KeyError"] * logs.MOST


@both
def test_a_groups_members_stand_below_it_and_before_what_led_to_it(lines):
    group = ExceptionGroup(
        "a secret", [KeyError("a secret"), ExceptionGroup("a secret", [OSError("a secret")])]
    )
    group.__cause__ = ValueError("a secret")
    assert lines(group) == [
        "  builtins.ExceptionGroup",
        "    builtins.KeyError",
        "    builtins.ExceptionGroup",
        "      builtins.OSError",
        "  builtins.ValueError",
    ]


@both
def test_a_group_that_led_to_its_own_member_is_walked_once(lines):
    member = KeyError("a secret")
    member.__context__ = ExceptionGroup("a secret", [member])
    assert lines(member) == ["  builtins.KeyError", "  builtins.ExceptionGroup"]


@both
def test_a_group_of_any_size_is_cut(lines):
    group = ExceptionGroup("a secret", [KeyError(number) for number in range(10 * logs.MOST)])
    assert lines(group) == ["  builtins.ExceptionGroup"] + ["    builtins.KeyError"] * (
        logs.MOST - 1
    )


@both
def test_an_exception_that_is_false_is_said_all_the_same(lines):
    class Empty(Exception):
        def __len__(self):
            return 0

    problem = KeyError("a secret")
    problem.__cause__ = Empty()
    assert [each.rpartition(".")[2] for each in lines(problem)] == ["KeyError", "Empty"]
    assert lines(Empty())[0].endswith("Empty")
