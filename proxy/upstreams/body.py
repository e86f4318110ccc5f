"""The body of a stream, as it arrives."""

from typing import Any

import requests
from urllib3.exceptions import HTTPError

READ = 1 << 12  # bytes at a time: a waiting read holds them, in every open stream


class Truncated(Exception):
    """An end inside a body: of its own framing, or of the connection that brings it."""


def read_piece(raw: Any) -> bytes:
    """Return what came; empty at the end.

    Raises Truncated: what breaks an upstream's connection is told from any other OSError here.
    """
    try:
        piece: bytes = raw.read1(65536, decode_content=True)
    except (HTTPError, OSError) as problem:
        raise Truncated from problem
    return piece


class Body:
    """A streamed body: each read gives what one system call found, however many chunks that is.

    http.client gives one chunk a call and costs a fifth more CPU; its buffered file is read
    directly where the body is chunked and not compressed.
    """

    def __init__(self, reply: requests.Response) -> None:
        self.raw: Any = reply.raw
        self.left = 0  # bytes of the chunk under way, its CRLF included
        self.size_line = b""  # as far as it came
        self.ended = self.reusable = False
        self.file: Any = None  # to be read directly
        plain = self.raw._original_response
        if plain is not None and plain.chunked and not reply.headers.get("content-encoding"):
            self.file = plain.fp

    def read(self) -> bytes:
        """Return what came; empty at the end. Raises Truncated."""
        if self.file is None:
            data = read_piece(self.raw)
            self.ended = not data
            return data
        while not self.ended:
            try:
                data = self.file.read1(READ)
            except OSError as problem:
                raise Truncated from problem
            if not data:
                raise Truncated
            if data := self._unframe(data):
                return data
        return b""

    def _unframe(self, data: bytes) -> bytes:
        """Return what chunks hold, without their size lines and ends."""
        if self.size_line:
            data, self.size_line = self.size_line + data, b""
        at, content = 0, []
        while at < len(data):
            if self.left:
                if self.left > 2:
                    content.append(data[at : at + self.left - 2])
                step = min(self.left, len(data) - at)
                at, self.left = at + step, self.left - step
                continue
            line = data.find(b"\r\n", at)
            if line < 0:
                self.size_line = data[at:]
                if len(self.size_line) > 100:
                    raise Truncated
                break
            try:
                self.left = int(data[at:line].partition(b";")[0], 16) + 2
            except ValueError:
                raise Truncated from None
            if self.left < 2:
                raise Truncated
            if self.left == 2:
                self.ended, self.reusable = True, data[line:] == b"\r\n\r\n"
                break
            at = line + 2
        return content[0] if len(content) == 1 else b"".join(content)

    def close(self, *, complete: bool) -> None:
        """Give the connection back, if the body was read to its end and nothing is left in it."""
        if complete and self.file is None and self.ended:
            self.raw.release_conn()
        elif complete and self.reusable:
            self.raw._original_response.ended = True
            self.raw._original_response.close()
            self.raw.release_conn()
        else:
            self.raw.close()
