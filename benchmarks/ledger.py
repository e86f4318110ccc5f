"""The drill's upstream: it answers each call with the words of its mark, and keeps a ledger."""

import json
import random
import re
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from books import answer

MARK = re.compile(r"drill-\d+")
MODELS = json.dumps({"object": "list", "data": [{"id": "m", "object": "model"}]}).encode()


class Upstream(ThreadingHTTPServer):
    """`ledger` and `titles` count how often each mark came, as a question and for its title."""

    daemon_threads, request_queue_size = True, 256

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Answer)
        self.ledger: Counter[str] = Counter()
        self.titles: Counter[str] = Counter()
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address) -> None:
        pass  # the gateway hung up, or was killed


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.document(MODELS)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        question = body["messages"][-1]["content"]
        mark = MARK.search(question)[0]
        if question != mark:
            self.title(mark)
            return
        with self.server.lock:
            self.server.ledger[mark] += 1
        chance = random.Random(mark)
        time.sleep(chance.uniform(0, 0.5))
        if body.get("stream"):
            self.stream(mark, chance.uniform(0.005, 0.1))
        else:
            self.document(complete(answer(mark)))

    def title(self, mark: str) -> None:
        """Take so long that some workers die in the middle."""
        with self.server.lock:
            self.server.titles[mark] += 1
        time.sleep(random.Random(mark).uniform(0, 2))
        self.document(complete(f"About {mark}"))

    def document(self, data: bytes) -> None:
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


def complete(text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode()
