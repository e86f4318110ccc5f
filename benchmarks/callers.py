"""The drill's callers: threads that call and note what they read. A call is sent once."""

import http.client
import json
import random
import socket
import threading
import time
from contextlib import suppress
from typing import IO
from urllib.parse import urlencode

from books import Note
from gateway import Gateway

PATH = "/v1/chat/completions"
KINDS = ("document", "stream", "stream", "slow", "gone", "pipelined", "page")
TOKEN = "d" * 32  # that a form repeats from its cookie


class Callers:
    """`with Callers(…) as callers:` has them call; leaving waits for the last of them."""

    def __init__(self, gateway: Gateway, session: str, count: int, seed: int) -> None:
        self.gateway, self.session = gateway, session
        self.over = threading.Event()
        self.numbers, self.lock = iter(range(10**9)), threading.Lock()
        self.notes: list[Note] = []
        seeds = [random.Random(f"{seed} {number}") for number in range(count)]
        self.threads = [threading.Thread(target=self.call, args=[each]) for each in seeds]

    def call(self, chance: random.Random) -> None:
        while not self.over.is_set():
            note = self.begin_note()
            kind = chance.choice(KINDS)
            with suppress(OSError, http.client.HTTPException):
                if kind == "pipelined":
                    self.ask_at_once(note, self.begin_note())
                elif kind == "page":
                    form = {"message": note.mark, "model": "m"}
                    note.status = post_form(self.gateway, self.session, "/", form)
                else:
                    self.ask(note, kind, chance)
            time.sleep(chance.uniform(0, 0.2) if note.status else 0.5)

    def begin_note(self) -> Note:
        with self.lock:
            note = Note(f"drill-{next(self.numbers)}")
            self.notes.append(note)
        return note

    def encode(self, note: Note, *, stream: bool) -> bytes:
        """Encode the call as it is sent, with its head."""
        messages = [{"role": "user", "content": note.mark}]
        body = json.dumps({"model": "m", "messages": messages, "stream": stream})
        return (
            f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {self.gateway.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.gateway.port), timeout=60)

    def ask(self, note: Note, kind: str, chance: random.Random) -> None:
        with self.connect() as sock:
            sock.sendall(self.encode(note, stream=kind != "document"))
            with http.client.HTTPResponse(sock) as reply:
                reply.begin()
                if reply.status != 200 or kind == "document":
                    read_document(note, reply.status, reply.read())
                else:
                    read_stream(note, reply, kind, chance)

    def ask_at_once(self, *notes: Note) -> None:
        """Send calls one behind the other, before the first is answered."""
        with self.connect() as sock, sock.makefile("rb") as file:
            sock.sendall(b"".join(self.encode(note, stream=False) for note in notes))
            for note in notes:
                read_document(note, *read_reply(file))

    def __enter__(self) -> "Callers":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *ignored: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()


def post_form(gateway: Gateway, session: str, path: str, form: dict[str, str]) -> int:
    """Post a page's form as the person of a session; the status. Raises OSError, HTTPException."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Cookie": f"sessionid={session}; csrftoken={TOKEN}",
    }
    try:
        connection.request("POST", path, urlencode(form | {"csrfmiddlewaretoken": TOKEN}), headers)
        return connection.getresponse().status
    finally:
        connection.close()


# What they read -----------------------------------------------------------------------------------


def read_document(note: Note, status: int, data: bytes) -> None:
    note.status = status
    document = json.loads(data)
    if status == 200:
        note.text = document["choices"][0]["message"]["content"]
        note.is_whole = True
    else:
        read_error(note, document["error"])


def read_error(note: Note, error: dict[str, str]) -> None:
    note.error = error["code"]
    note.is_unsent = "did not pass" in error["message"]


def read_stream(
    note: Note, reply: http.client.HTTPResponse, kind: str, chance: random.Random
) -> None:
    note.status = reply.status
    leaves_at = chance.randrange(40) if kind == "gone" else None
    for count, line in enumerate(reply):
        if count == leaves_at:
            return
        if kind == "slow":
            time.sleep(0.01)
        if line == b"data: [DONE]\n":
            note.is_whole = True
        elif line.startswith(b"data: "):
            event = json.loads(line[6:])
            if "error" in event:
                read_error(note, event["error"])
            for choice in event.get("choices", ()):
                note.text += choice["delta"].get("content") or ""


def read_reply(file: IO[bytes]) -> tuple[int, bytes]:
    """Read one reply of several on a connection. Raises OSError where there is none."""
    line = read_line(file)
    headers = http.client.parse_headers(file)
    if headers.get("transfer-encoding") != "chunked":
        return int(line.split()[1]), read_exactly(file, int(headers["content-length"]))
    data = b""
    while size := int(read_line(file), 16):
        data += read_exactly(file, size)
        read_line(file)
    read_line(file)
    return int(line.split()[1]), data


def read_line(file: IO[bytes]) -> bytes:
    line = file.readline()
    if not line.endswith(b"\n"):
        raise ConnectionResetError
    return line


def read_exactly(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise ConnectionResetError
    return data
