"""Process logs hold ids, classes and routes; never what a person or an upstream wrote.

An exception's text may quote a row, a header or a body, so a traceback is printed without it: where, and which class.
Django's words about a request quote its path or its host: in their place stand its method, its route and its status.
"""

import logging
import traceback
from datetime import UTC, datetime
from typing import Any

import orjson

from proxy import request_id

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Plain(logging.Formatter):
    """For a terminal."""

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname} {name} {message}", style="{")

    def formatMessage(self, record) -> str:
        record.message = words(record)
        id = request_id.current.get()
        return super().formatMessage(record) + (f" [{id}]" if id else "")

    def formatException(self, ei) -> str:
        lines = []
        problem = ei[1]
        while problem is not None:
            lines += [f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(problem.__traceback__, limit=-12)]
            lines.append(f"  {type(problem).__module__}.{type(problem).__qualname__}")
            problem = problem.__cause__ or (None if problem.__suppress_context__ else problem.__context__)
        return "\n".join(lines)


class JSON(Plain):
    """For a machine: one object a line."""

    def format(self, record) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        message = words(record).encode(errors="replace").decode()  # a folder's name may hold half of a surrogate pair
        line: dict[str, Any] = {"time": time, "level": record.levelname, "logger": record.name, "message": message}
        if id := request_id.current.get():
            line["request_id"] = id
        if record.exc_info and record.exc_info[1]:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


def words(record: logging.LogRecord) -> str:
    request = getattr(record, "request", None)
    return f"{method(request)} {route(request)} {getattr(record, 'status_code', '')}" if hasattr(request, "path_info") else record.getMessage()


def route(request) -> str:
    """The pattern that its path matched, before anybody's ids and words are put in."""
    match = getattr(request, "resolver_match", None)
    return "/" + match.route if match else "/static/" if request.path_info.startswith("/static/") else "elsewhere"


def method(request) -> str:
    return request.method if request.method in METHODS else "another method"
