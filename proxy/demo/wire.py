"""What the demo upstream reads and writes: a request, a reply, an error in OpenAI's shape."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from enum import Enum
from typing import Any

import orjson


class Then(Enum):
    """What follows instead of the rest of a reply."""

    SILENCE = 1
    END = 2


class Problem(Exception):
    """An error reply in OpenAI's shape."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}

    @classmethod
    def missing(cls, param: str) -> "Problem":
        message = f"Missing required parameter: '{param}'."
        return cls(400, message, param=param, code="missing_required_parameter")

    @classmethod
    def server_error(cls) -> "Problem":
        """Return OpenAI's own 500, as it comes in mid-stream too."""
        message = "The server had an error while processing your request. Sorry about that!"
        return cls(500, message, kind="server_error")


@dataclass
class Request:
    method: str
    path: str
    version: str
    headers: dict[str, str]
    raw: bytes = b""
    body: Any = None

    @property
    def bare_path(self) -> str:
        """The path without its query."""
        return self.path.partition("?")[0]

    def parse(self) -> None:
        kind = self.headers.get("content-type", "")
        if kind.startswith("multipart/"):
            self.body = parse_form(kind, self.raw)
        elif self.raw:
            try:
                self.body = orjson.loads(self.raw)
            except orjson.JSONDecodeError:
                self.body = self.raw


@dataclass
class Reply:
    """A status line's worth, and the body: in one, or a stream's events one by one."""

    body: bytes | Iterator[Any]  # bytes, or a Then
    status: int = 200
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    tokens: int = 0  # how much a model would have had to write
    pause: float = 0.04  # seconds between a stream's events

    @classmethod
    def json(cls, value: Any, status: int = 200, tokens: int = 0) -> "Reply":
        return cls(orjson.dumps(value, option=orjson.OPT_INDENT_2), status, tokens=tokens)


def as_list(value: Any) -> list:
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def parse_form(kind: str, raw: bytes) -> dict[str, Any]:
    """Parse a multipart body: texts as strings, files as dicts, a repeated name as a list."""
    head = b"Content-Type: " + kind.encode("latin-1") + b"\r\n\r\n"
    fields: dict[str, Any] = {}
    for part in BytesParser(policy=HTTP).parsebytes(head + raw).iter_parts():
        name = str(part.get_param("name", header="content-disposition"))
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        value: Any = content.decode(errors="replace")
        if part.get_filename() is not None:
            value = {
                "filename": part.get_filename(),
                "content_type": part.get_content_type(),
                "bytes": content,
            }
        fields[name] = [*as_list(fields[name]), value] if name in fields else value
    return fields
