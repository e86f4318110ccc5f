"""Measure the page of a long conversation: server CPU of its first showing, and of later ones.

    python benchmarks/pages.py [--conversations 20] [--exchanges 30]

The answers are the demo upstream's: prose, lists, tables and code, about 1 KB each, no two alike.
"""

import argparse
import subprocess
import sys
from http.client import HTTPConnection

import processes
from gateway import Gateway

MAKE = """
import django; django.setup()
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from conversations import record
from conversations.models import User
from proxy.demo.answers import answer

TOPICS = (
    "Python function that sorts {}",
    "Compare {} and planning for a small team",
    "A table of {}",
    "Steps to roll out {}",
    "Explain {}",
    "SQL query for {}",
)
alice = User.objects.create_user("alice")
for n in range(CONVERSATIONS):
    root, messages = None, []
    for i in range(EXCHANGES):
        question = TOPICS[i % len(TOPICS)].format(f"invoices of supplier {n} in week {i}")
        messages.append({"role": "user", "content": question})
        text = answer(messages[-1:]) + f"\\n\\nThat was answer {i} of {n}."
        reply = {"role": "assistant", "content": text}
        request = record.CallRequest(
            owner=alice.pk,
            kind="chat",
            model="m",
            body={"model": "m", "messages": messages},
            messages=list(messages),
            root=root,
        )
        outcome = record.Outcome(
            status="ok", replies=[reply], prompt_tokens=9, completion_tokens=300
        )
        call = record.open(request)
        record.close(call, outcome)
        root = call.conversation
        messages.append(reply)
    print(root)
session = SessionStore()
session[SESSION_KEY] = str(alice.pk)
session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
session[HASH_SESSION_KEY] = alice.get_session_auth_hash()
session.create()
print(session.session_key)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--conversations", type=int, default=20)
    parser.add_argument("--exchanges", type=int, default=30)
    options = parser.parse_args()
    with Gateway() as gateway:
        gateway.manage("collectstatic", "--noinput", "--verbosity=0")
        script = MAKE.replace("CONVERSATIONS", str(options.conversations)).replace(
            "EXCHANGES", str(options.exchanges)
        )
        made = subprocess.run(
            [sys.executable, "-c", script],
            env=gateway.environment,
            check=True,
            capture_output=True,
            text=True,
        )
        *roots, session = made.stdout.split()
        gateway.catch_up()

        def cost(path: str) -> tuple[float, int]:
            """Open each conversation: CPU-ms a page of both web processes, bytes of the first."""
            before = processes.cpu(gateway.pid("web"))
            sizes = [open_page(gateway.port, path.format(root), session) for root in roots]
            return (processes.cpu(gateway.pid("web")) - before) / len(roots), sizes[0]

        cost("/history/")  # a process's first page is slow
        for name, path in (
            ("newest 15 exchanges", "/c/{}/"),
            (f"all {options.exchanges} exchanges", f"/c/{{}}/?shown={options.exchanges}"),
        ):
            first, size = cost(path)
            later = " ".join(f"{cost(path)[0]:.0f}" for _ in range(4))
            sys.stdout.write(
                f"{name}, {size / 1000:.0f} kB: first {first:.0f} ms, then {later} ms\n"
            )


def open_page(port: int, path: str, session: str) -> int:
    """Open a page, and return its size in bytes."""
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("GET", path, headers={"Cookie": f"sessionid={session}"})
    response = connection.getresponse()
    size = len(response.read())
    connection.close()
    if response.status != 200:
        raise SystemExit(f"A page was answered {response.status}.")
    return size


if __name__ == "__main__":
    main()
