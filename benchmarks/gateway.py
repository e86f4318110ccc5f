"""A whole gateway to measure: its own PostgreSQL, web server, worker and mock upstream.

It runs in a temporary folder, and ends with it.
"""

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

import orjson
import processes
import psycopg

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))
from llmgateway.embedded import postgres  # noqa: E402
from llmgateway.ops.processes import Processes  # noqa: E402

HERE = Path(__file__).parent
OPEN_CALLS = 800  # times two processes: one account gets two thirds, more than 1,000
MAKE_KEY = """
import django; django.setup()
from conversations.models import User
from proxy.models import ApiKey
ApiKey.make(User.objects.create_user("bench"), "bench", secret={!r})
"""


class Gateway:
    """`with Gateway() as gateway:` runs it; leaving ends every process, after errors too.

    `workers` and `settings` are as the drill wants them, which has an upstream of its own.
    """

    def __init__(self, *, workers: int = 1, own_upstream: bool = False, **settings: str) -> None:
        self.workers = ["worker", *(f"worker {number}" for number in range(2, workers + 1))]
        self.own_upstream, self.settings = own_upstream, settings

    def __enter__(self) -> "Gateway":
        with ExitStack() as ends:
            self.folder = Path(
                ends.enter_context(
                    tempfile.TemporaryDirectory(prefix="gw-", ignore_cleanup_errors=True)
                )
            )
            self.key = "gw-" + secrets.token_urlsafe(32)
            self.port = free_port()
            self.upstream_port = free_port()
            kept = ("PATH", "HOME", "LANG", "TMPDIR")
            self.environment = (
                {name: os.environ[name] for name in kept if name in os.environ}
                | {
                    "DJANGO_SETTINGS_MODULE": "llmgateway.settings",
                    "PYTHONPATH": str(ROOT),
                    "ENV_FILE": os.devnull,
                    "VAR_DIR": str(self.folder / "var"),
                    "PORT": str(self.port),
                    "WEB_WORKERS": "2",
                    "OPEN_CALLS": str(OPEN_CALLS),
                    "GRACE": "5",
                    "SECRET_KEY": "bench",
                    "LOG_LEVEL": "WARNING",
                    "GUNICORN_CMD_ARGS": "--log-level warning",
                    "LLM_ENDPOINT": f"http://127.0.0.1:{self.upstream_port}/v1/chat/completions",
                    "LLM_API_AUTHORIZATION": "Bearer bench",
                }
                | self.settings
            )
            data = self.folder / "var" / "pg"
            (self.folder / "var" / "static").mkdir(parents=True)
            ends.callback(postgres.stop, data)
            postgres.start(data)
            self.database = postgres.postmaster(data).pid
            self.manage("migrate", "--verbosity=0")
            subprocess.run(
                [sys.executable, "-c", MAKE_KEY.format(self.key)], env=self.environment, check=True
            )
            self.sql = ends.enter_context(
                psycopg.connect(
                    host=str(data), user="postgres", dbname="llmgateway", autocommit=True
                )
            )
            self.processes = Processes(self.folder / "processes.json", print)
            ends.callback(self.processes.stop, 10)
            if not self.own_upstream:
                mock = [sys.executable, str(HERE / "upstream.py"), str(self.upstream_port)]
                self.processes.start("upstream", mock, self.environment)
            worker = [sys.executable, str(ROOT / "manage.py"), "worker"]
            for name in self.workers:
                self.processes.start(name, worker, self.environment, beats=True)
            gunicorn = [
                sys.executable,
                "-m",
                "gunicorn",
                "-c",
                str(ROOT / "llmgateway" / "server" / "gunicorn.conf.py"),
            ]
            self.processes.start("web", gunicorn, self.environment)
            if not self.own_upstream:
                self._wait_for(self.upstream_port)
            self._wait_for(self.port)
            self.ends = ends.pop_all()
        return self

    def __exit__(self, *problem) -> None:
        self.ends.close()

    def manage(self, *arguments: str) -> None:
        subprocess.run(
            [sys.executable, ROOT / "manage.py", *arguments], env=self.environment, check=True
        )

    def pid(self, name: str) -> int:
        return self.processes.children[name].process.pid

    def watched(self) -> dict[str, int]:
        return {
            "web": self.pid("web"),
            "worker": self.pid("worker"),
            "postgres": self.database,
            "upstream": self.pid("upstream"),
        }

    def load(self, what: str, *, at_upstream: bool = False, **how) -> dict:
        """Measure in the callers' own process.

        `used` of the figures: CPU-ms from its start until the worker had caught up.
        """
        port = self.upstream_port if at_upstream else self.port
        parameters = how | {"what": what, "port": port, "key": self.key, "watched": self.watched()}
        done = subprocess.run(
            [sys.executable, HERE / "load.py", orjson.dumps(parameters)],
            env=self.environment,
            stdout=subprocess.PIPE,
            timeout=300,
        )
        if done.returncode:
            raise SystemExit(
                f"The load ended with exit code {done.returncode}; its output is above."
            )
        figures = orjson.loads(done.stdout)
        if not at_upstream:
            self.catch_up()
        figures["used"] = {
            name: processes.cpu(pid) - figures["before"][name]
            for name, pid in self.watched().items()
        }
        return figures

    def catch_up(self) -> None:
        """Wait until every closed call is sealed and indexed."""
        latest = time.monotonic() + 60
        waiting = "SELECT EXISTS (SELECT FROM conversations_unsealed)"
        while self.sql.execute(waiting).fetchone() == (True,):
            if time.monotonic() > latest:
                raise SystemExit("The worker does not keep up.")
            time.sleep(0.2)

    def ask(self, connection: HTTPConnection, body: dict) -> dict:
        """Call, and return the assistant's message as most clients send it back."""
        connection.request(
            "POST",
            "/v1/chat/completions",
            orjson.dumps(body),
            {"Authorization": f"Bearer {self.key}"},
        )
        response = connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise SystemExit(
                f"A call was answered {response.status}: {answer[:300].decode(errors='replace')}"
            )
        return {
            "role": "assistant",
            "content": orjson.loads(answer)["choices"][0]["message"]["content"],
        }

    def _wait_for(self, port: int) -> None:
        latest = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                if time.monotonic() > latest:
                    raise SystemExit(f"Nothing listens on port {port}.") from None
                time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
