"""Everything that one machine needs, until Ctrl-C or SIGTERM.

That is the database, the web server, the worker and, in the demo, an upstream. Or one part of it,
for containers, which start again themselves what ends: after the same preparation this process
becomes that part.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import BaseCommand, CommandError, CommandParser, call_command
from django.db import OperationalError, connection

from llmgateway import secret
from llmgateway.demo import accounts
from llmgateway.embedded import postgres
from llmgateway.ops.processes import Processes

SLOWEST_START = 90  # seconds
FALSE_STARTS = 4  # ends of a child before the first answer that mean it cannot start at all
LOCK = 0x67775EDB  # of PostgreSQL's advisory locks: of several that start at once, one migrates
PARTS = {
    "web": [
        sys.executable,
        "-m",
        "gunicorn",
        "-c",
        str(settings.BASE_DIR / "llmgateway" / "server" / "gunicorn.conf.py"),
        "llmgateway.wsgi",
    ],
    "worker": [sys.executable, str(settings.BASE_DIR / "manage.py"), "worker", "--skip-checks"],
}

DEMO = """
LLM Gateway runs at {address}/
This is the demo: it answers this machine only, and forgets nothing you type.

  Sign in with the password `demo`
    alice  bob   employees: chat and history
    rita         reviews the log at {address}/admin/
    admin        administers at {address}/admin/

  Call it from a program
    curl {address}/v1/chat/completions {headers} -d '{body}'

Ctrl-C stops it.
"""
PLAIN = """
LLM Gateway runs at {address}/
Programs call {address}/v1 with a gateway key. The first account: manage.py createsuperuser
"""


class Command(BaseCommand):
    help = (
        "Migrates, then runs the web server and the worker until it is stopped. "
        "The embedded PostgreSQL too, where DATABASE_URL is not set."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "part",
            nargs="?",
            choices=PARTS,
            help="only this part, without a supervisor: for containers",
        )

    def handle(self, *, part: str | None, **options: Any) -> None:
        if part:
            become(part)
        try:
            self.processes = Processes(settings.VAR_DIR / "serve.json", self.say)
        except BlockingIOError:
            raise CommandError(
                f"The gateway runs already with the data of {settings.VAR_DIR}. "
                "Stop it, or set VAR_DIR to another folder."
            ) from None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup
                signal.signal(number, self.processes.ask_to_stop)
        try:
            refuse_a_taken_port()
            self.say("Preparing the database …")
            for step in (prepare, self.start, self.wait, self.announce, self.processes.watch):
                if not self.processes.stopping:
                    step()
        finally:
            if self.processes.children:
                self.say("Stopping …")
            self.processes.stop(settings.GRACE + 5)
            release()
            if connection.settings_dict["ENGINE"] == "llmgateway.embedded":
                postgres.stop(Path(connection.settings_dict["HOST"]))

    def say(self, text: str) -> None:
        with contextlib.suppress(OSError):  # the terminal may be gone; the work is not
            self.stdout.write(text)
            self.stdout.flush()

    def start(self) -> None:
        release()
        # Children that start again get what this process read, not a file that changed meanwhile.
        environment = os.environ | settings.READING.texts | {"ENV_FILE": os.devnull}
        if settings.DEMO and not settings.LLM_ENDPOINT:
            port = free_port()
            environment |= {
                "LLM_ENDPOINT": f"http://127.0.0.1:{port}/v1/chat/completions",
                "LLM_API_AUTHORIZATION": "none",
            }
            self.processes.start(
                "demo upstream",
                [sys.executable, "-m", "proxy.demo.server", "--port", str(port)],
                environment,
                subprocess.DEVNULL,
            )
        for part in ("worker", "web"):
            self.processes.start(part, PARTS[part], environment, beats=part == "worker")

    def wait(self) -> None:
        """Wait for the first answer. A child that dies meanwhile is started again, a few times."""
        latest = time.monotonic() + SLOWEST_START
        while not self.processes.stopping and not answers():
            time.sleep(0.1)
            self.processes.look()
            for name in self.processes.children:
                if self.processes.failures(name) == FALSE_STARTS:
                    raise CommandError(
                        f"The {name} process ended {FALSE_STARTS} times while it started; "
                        "what it said is above."
                    )
            if time.monotonic() > latest:
                raise CommandError(f"The web server did not answer within {SLOWEST_START} s.")

    def announce(self) -> None:
        question = {"role": "user", "content": "What is an LLM gateway?"}
        body = json.dumps({"model": "gpt-4o-mini", "messages": [question]})
        key = f"-H 'Authorization: Bearer {accounts.API_KEY}'"
        headers = f"{key} -H 'Content-Type: application/json'"
        text = DEMO if settings.DEMO else PLAIN
        self.say(text.format(address=address(), headers=headers, body=body))


def become(part: str) -> NoReturn:
    """Turn this process into the part, with its environment and its number."""
    if settings.DEMO:
        raise CommandError("The demo is served whole: manage.py serve.")
    prepare()
    release()
    os.execv(PARTS[part][0], PARTS[part])  # noqa: S606 - no shell is wanted


def release() -> None:
    """End the pool's threads too: children are forked, and the embedded server stops."""
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]


def prepare() -> None:
    try:
        secret.make_missing(settings)
    except secret.NoSecret as problem:
        raise CommandError(str(problem)) from None
    try:
        connection.ensure_connection()
    except postgres.PostgresUnavailable:
        raise
    except OperationalError as error:
        raise CommandError(f"The database does not answer: {error}") from error
    refuse_the_wrong_people()
    with alone():
        drop_unfinished_indexes()
        call_command("migrate", interactive=False, verbosity=0)
    if not settings.READING.is_set("STATIC_ROOT"):  # else they are there
        call_command("collectstatic", interactive=False, verbosity=0)
    if settings.DEMO:
        call_command("load_demo", verbosity=0)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Have others that start on the same database wait here.

    They ask again and again: CREATE INDEX CONCURRENTLY waits for every statement that waits.
    """
    with connection.cursor() as cursor:
        while True:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
            if cursor.fetchone()[0]:
                break
            time.sleep(0.5)
    yield
    with connection.cursor() as cursor:  # where migrating failed, the end of this process does it
        cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


def drop_unfinished_indexes() -> None:
    """Drop those of a start that was killed while it built one CONCURRENTLY.

    They serve no query, and the migration would find its name taken.
    """
    with connection.cursor() as cursor:
        cursor.execute("""
            SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
            WHERE NOT i.indisvalid AND c.relnamespace = current_schema()::regnamespace
                AND c.relname ~ '^[a-z_]+$'""")
        for (name,) in cursor.fetchall():
            cursor.execute(f"DROP INDEX {name}")


def refuse_the_wrong_people() -> None:
    """Keep the demo's accounts and others apart: the demo's passwords are known to everyone."""
    if get_user_model()._meta.db_table not in connection.introspection.table_names():
        return
    if not settings.DEMO and (
        names := list(accounts.active_demo_accounts().values_list("username", flat=True))
    ):
        raise CommandError(
            f"Demo accounts are active here, and their password is known to everyone: "
            f"{', '.join(names)}. Run manage.py remove_demo first."
        )
    if settings.DEMO and accounts.strangers().exists():
        text = "This database holds other people's users, and the demo's passwords are known."
        raise CommandError(
            f"{text} Give the demo a VAR_DIR or DATABASE_URL of its own, or use manage.py serve."
        )


def refuse_a_taken_port() -> None:
    with socket.socket(socket.AF_INET6 if ":" in settings.HOST else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.HOST, settings.PORT))
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            raise CommandError(
                f"Cannot listen on {settings.HOST} port {settings.PORT}: {why}. "
                "PORT=8001, say, chooses another."
            ) from error


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def host() -> str:
    """What a client on this machine writes to reach the gateway."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.HOST, settings.HOST)  # noqa: S104


def address() -> str:
    return (
        f"http://[{host()}]:{settings.PORT}"
        if ":" in host()
        else f"http://{host()}:{settings.PORT}"
    )


def answers() -> bool:
    connection = http.client.HTTPConnection(host(), settings.PORT, timeout=5)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
