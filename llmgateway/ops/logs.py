"""Process logs hold ids, classes and routes; never what a person or an upstream wrote.

An exception's text may quote a row, a header or a body, so a traceback is printed without it:
where, and which class. Django's words about a request quote its path or its host: in their place
stand its method, its route and its status. Secrets are hidden in the rest.
"""

import logging
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
from django.http import HttpRequest

from proxy import redaction, request_id
from proxy.api import paths

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
MOST = 20  # exceptions of one record: the one caught, what led to it, the members of a group
UNKNOWN = "(?P<rest>.*)$"  # the end of the API's patterns that take what no other does
FRAMES = 12  # of each, the innermost


class Plain(logging.Formatter):
    """For a terminal."""

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname} {name} {message}", style="{")

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = words(record)
        current = request_id.current.get()
        return super().formatMessage(record) + (f" [{current}]" if current else "")

    def formatException(self, ei: Any) -> str:
        lines = []
        for indent, problem in chain(ei[1]):
            frames = traceback.extract_tb(problem.__traceback__, limit=-FRAMES)
            lines += [f"{indent}{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
            lines.append(f"{indent}{type(problem).__module__}.{type(problem).__qualname__}")
        return "\n".join(lines)


class JSON(Plain):
    """For a machine: one object a line."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        # a folder's name may hold half of a surrogate pair
        message = words(record).encode(errors="replace").decode()
        line: dict[str, Any] = {
            "time": time,
            "level": record.levelname,
            "logger": record.name,
            "message": message,
        }
        if current := request_id.current.get():
            line["request_id"] = current
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


def chain(problem: BaseException | None) -> Iterator[tuple[str, BaseException]]:
    """Walk as Python's own traceback does: a group's members, further in, then what led to it.

    Each exception comes once, however it is reached: a chain may be a ring, since code sets
    `__cause__` and `__context__` as it likes. No more than MOST come: it may be of any length.
    """
    waiting = [("  ", problem)]
    seen: set[int] = set()
    while waiting and len(seen) < MOST:
        indent, problem = waiting.pop()
        if problem is None or id(problem) in seen:
            continue
        seen.add(id(problem))
        yield indent, problem
        waiting.append((indent, led_to(problem)))
        if isinstance(problem, BaseExceptionGroup):
            waiting += [(indent + "  ", member) for member in reversed(problem.exceptions[:MOST])]


def led_to(problem: BaseException) -> BaseException | None:
    """Its cause; else what was being handled, unless it was raised `from None`."""
    if problem.__cause__ is not None:
        return problem.__cause__
    return None if problem.__suppress_context__ else problem.__context__


def words(record: logging.LogRecord) -> str:
    """What the line says: of Django's about a request, its method, route and status."""
    request = getattr(record, "request", None)
    if not isinstance(request, HttpRequest):
        return redaction.hide(record.getMessage())
    return f"{method(request)} {route(request)} {getattr(record, 'status_code', '')}"


def route(request: HttpRequest) -> str:
    """The pattern that its path matched, without the ids and words that stand in the path.

    An endpoint that the API has not is told by the vendors' own path.
    """
    unknown = paths.name_unknown(request.path_info)
    if match := getattr(request, "resolver_match", None):
        return unknown if match.route.endswith(UNKNOWN) else "/" + match.route
    if unknown != paths.OTHER:
        return unknown
    return "/static/" if request.path_info.startswith("/static/") else "elsewhere"


def method(request: HttpRequest) -> str:
    return request.method if request.method in METHODS else "another method"
