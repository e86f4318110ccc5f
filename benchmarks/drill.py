"""`make drill`: callers call while processes and PostgreSQL die; then three books are compared.

    python benchmarks/drill.py [--seconds 60] [--callers 8] [--seed 1] [--only web,sessions]

Callers read documents and streams, slowly, to the end or not, and send calls one behind the other
on a connection. Lost, doubled, pending, a wrong status or a wrong text end it with an error. A
minute runs in CI; an hour is for before a release.
"""

import argparse
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO

import psutil
import psycopg
from books import Books, Note, Row, answer
from gateway import ROOT, Gateway, postgres

PATH = "/v1/chat/completions"
SETTLES = 120  # seconds until nothing is pending and all is sealed
BETWEEN = (1.5, 4.0)  # seconds from one kill to the next
ALL_SESSIONS = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"""
ROWS = """
    SELECT substring(question.text FROM '(drill-[0-9]+)'), s.status, coalesce(answer.text,  '')
    FROM conversations_snapshot s JOIN conversations_message question ON question.id = s.head_id
    LEFT JOIN conversations_message answer ON answer.id = s.reply_id"""
LEFT = """
    SELECT (SELECT count(*) FROM conversations_unsealed)
        + (SELECT count(*) FROM conversations_snapshot WHERE status = 'pending')"""


# The upstream -------------------------------------------------------------------------------------


class Upstream(ThreadingHTTPServer):
    """Answers every call with the words of its mark, and keeps a ledger."""

    daemon_threads, request_queue_size = True, 256

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Answer)
        self.ledger: Counter[str] = Counter()
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address) -> None:
        pass  # the gateway hung up, or was killed


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        mark = body["messages"][-1]["content"]
        with self.server.lock:
            self.server.ledger[mark] += 1
        chance = random.Random(mark)
        time.sleep(chance.uniform(0, 0.5))
        if body.get("stream"):
            self.stream(mark, chance.uniform(0.005, 0.1))
        else:
            message = {"role": "assistant", "content": answer(mark)}
            self.document([{"index": 0, "message": message, "finish_reason": "stop"}])

    def document(self, choices) -> None:
        data = json.dumps({"id": "c", "model": "m", "choices": choices}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, mark: str, pause: float) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for i, word in enumerate(answer(mark).split(" ")):
            self.event({"content": f" {word}" if i else word}, None)
            time.sleep(pause)
        self.event({}, "stop")
        self.chunk(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def event(self, delta, reason) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        event = {"id": "c", "model": "m", "object": "chat.completion.chunk", "choices": [choice]}
        self.chunk(b"data: %s\n\n" % json.dumps(event).encode())

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def log_message(self, *ignored) -> None:
        pass


# The callers --------------------------------------------------------------------------------------


class Callers:
    """Threads that call and note what they read. None asks again: a call is sent once."""

    def __init__(self, gateway: Gateway, count: int, seed: int) -> None:
        self.gateway, self.over = gateway, threading.Event()
        self.numbers, self.lock = iter(range(10**9)), threading.Lock()
        self.notes: list[Note] = []
        seeds = [random.Random(f"{seed} {number}") for number in range(count)]
        self.threads = [threading.Thread(target=self.call, args=[each]) for each in seeds]

    def call(self, chance: random.Random) -> None:
        while not self.over.is_set():
            note = self.begin_note()
            kind = chance.choice(("document", "stream", "stream", "slow", "gone", "pipelined"))
            with suppress(OSError, http.client.HTTPException):
                if kind == "pipelined":
                    self.ask_at_once(note, self.begin_note())
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
                    self.read_document(note, reply.status, reply.read())
                else:
                    self.read_stream(note, reply, kind, chance)

    def ask_at_once(self, *notes: Note) -> None:
        """Send calls one behind the other, before the first is answered."""
        with self.connect() as sock, sock.makefile("rb") as file:
            sock.sendall(b"".join(self.encode(note, stream=False) for note in notes))
            for note in notes:
                self.read_document(note, *read_reply(file))

    def read_document(self, note: Note, status: int, data: bytes) -> None:
        note.status = status
        document = json.loads(data)
        if status == 200:
            note.text = document["choices"][0]["message"]["content"]
            note.is_whole = True
        else:
            note.error = document["error"]["code"]
            note.is_unsent = "did not pass" in document["error"]["message"]

    def read_stream(
        self, note: Note, reply: http.client.HTTPResponse, kind: str, chance: random.Random
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
                    note.error = event["error"]["code"]
                    note.is_unsent = "did not pass" in event["error"]["message"]
                for choice in event.get("choices", ()):
                    note.text += choice["delta"].get("content") or ""

    def __enter__(self) -> "Callers":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *ignored: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()


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


# What dies ----------------------------------------------------------------------------------------


class Killer:
    """Ends what the gateway consists of, one thing after the other, as chance has it."""

    def __init__(self, gateway: Gateway, seed: int, only: list[str]) -> None:
        self.gateway, self.chance = gateway, random.Random(seed)
        self.data = gateway.folder / "var" / "pg"
        self.kills: dict[str, Callable[[], object]] = {
            "web": self.end_web_process,
            "master": lambda: os.kill(gateway.pid("web"), signal.SIGKILL),
            "worker": self.end_worker,
            "sessions": self.end_sessions,
            "stop": lambda: self.end_database(signal.SIGINT),
            "database": lambda: self.end_database(signal.SIGKILL),
        }
        self.names = [name for name in self.kills if not only or name in only]
        self.done: Counter[str] = Counter()

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(self.chance.uniform(*BETWEEN))
            name = self.chance.choice(self.names)
            with suppress(ProcessLookupError, psutil.NoSuchProcess, psycopg.Error):
                self.kills[name]()
                self.done[name] += 1

    def end_web_process(self) -> None:
        if found := psutil.Process(self.gateway.pid("web")).children():
            self.chance.choice(found).kill()

    def end_worker(self) -> None:
        os.kill(self.gateway.pid(self.chance.choice(self.gateway.workers)), signal.SIGKILL)

    def end_sessions(self) -> None:
        with connect(self.gateway) as sql:
            sql.execute(ALL_SESSIONS)

    def end_database(self, number: signal.Signals) -> None:
        """Stop or kill PostgreSQL itself, and start it again after a moment."""
        if server := postgres.postmaster(self.data):
            server.send_signal(number)
            with suppress(psutil.TimeoutExpired):
                server.wait(30)
        time.sleep(self.chance.uniform(0, 2))
        self.start_database()

    def start_database(self) -> None:
        postgres.stop(self.data)  # lets go only: others use it
        postgres.start(self.data)


def connect(gateway: Gateway) -> psycopg.Connection:
    data = str(gateway.folder / "var" / "pg")
    return psycopg.connect(host=data, user="postgres", dbname="llmgateway", autocommit=True)


def back_up(gateway: Gateway) -> int:
    """Take a backup while all this goes on. Its exit code may be an error, never a hang."""
    command = [sys.executable, ROOT / "manage.py", "backup", gateway.folder / "backup"]
    quiet = subprocess.DEVNULL
    done = subprocess.run(
        command, env=gateway.environment, timeout=120, stdout=quiet, stderr=quiet, check=False
    )
    return done.returncode


# The end ------------------------------------------------------------------------------------------


def settle(gateway: Gateway) -> int:
    """Wait until nothing is left to close and to seal; how many are left after SETTLES."""
    latest = time.monotonic() + SETTLES
    with connect(gateway) as sql:
        while left := sql.execute(LEFT).fetchone()[0]:
            if time.monotonic() > latest:
                return left
            time.sleep(0.5)
    return 0


def read_rows(gateway: Gateway) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {}
    with connect(gateway) as sql:
        for mark, status, text in sql.execute(ROWS):
            rows.setdefault(mark, []).append(Row(status, text))
    return rows


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--callers", type=int, default=8)
    options.add_argument("--seed", type=int, default=random.randrange(10**6))
    options.add_argument("--only", default="", help="of web,master,worker,sessions,stop,database")
    chosen = options.parse_args()
    say = print
    say(f"seed {chosen.seed}")
    settings = {"TITLES": "false", "OPEN_CALLS": "50", "LOG_LEVEL": "ERROR"}
    with Gateway(workers=2, own_upstream=True, **settings) as gateway:
        upstream = Upstream(gateway.upstream_port)
        threading.Thread(target=gateway.processes.watch, daemon=True).start()
        only = chosen.only.split(",") if chosen.only else []
        killer = Killer(gateway, chosen.seed, only)
        with Callers(gateway, chosen.callers, chosen.seed) as callers:
            saving = threading.Timer(chosen.seconds / 2, back_up, [gateway])
            saving.start()
            killer.run(chosen.seconds)
            killer.start_database()
            time.sleep(5)  # some calls after the last kill
        saving.join()
        left = settle(gateway)
        books = Books(dict(upstream.ledger), callers.notes, read_rows(gateway))
        wrong = [*books.compare()]
        if left:
            wrong.append(f"{left} rows are not closed or not sealed after {SETTLES} s")
        if backup := back_up(gateway):
            wrong.append(f"a backup of the end failed: exit code {backup}")
        gateway.processes.ask_to_stop()
    statuses = Counter(row.status for rows in books.rows.values() for row in rows)
    seen = Counter(note.error or ("whole" if note.is_whole else "cut") for note in books.notes)
    say(f"kills: {dict(killer.done)}")
    say(f"calls: {len(books.notes)}, at the upstream: {len(books.ledger)}")
    say(f"on record: {dict(statuses)}")
    say(f"as callers saw them: {dict(seen)}")
    say(f"read and not on record, at most: {books.measure_lag()} characters")
    if wrong:
        raise SystemExit("\n".join(wrong))
    say("The three books agree.")


if __name__ == "__main__":
    main()
