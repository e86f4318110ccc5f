"""What the page of a long conversation costs: server CPU of its first showing, and of later ones.

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

TOPICS = "Python function that sorts {}", "Compare {} and planning for a small team", "A table of {}", "Steps to roll out {}", "Explain {}", "SQL query for {}"
alice = User.objects.create_user("alice")
for n in range(CONVERSATIONS):
    root, messages = None, []
    for i in range(EXCHANGES):
        messages.append({"role": "user", "content": TOPICS[i % len(TOPICS)].format(f"invoices of supplier {n} in week {i}")})
        reply = {"role": "assistant", "content": answer(messages[-1:]) + f"\\n\\nThat was answer {i} of {n}."}
        call = record.open(record.Asked(owner=alice.pk, kind="chat", model="m", body={"model": "m", "messages": messages}, messages=list(messages), root=root))
        record.close(call, record.Outcome(status="ok", replies=[reply], prompt_tokens=9, completion_tokens=300))
        root = call.conversation
        messages.append(reply)
    print(root)
session = SessionStore()
session.update({SESSION_KEY: str(alice.pk), BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend", HASH_SESSION_KEY: alice.get_session_auth_hash()})
session.create()
print(session.session_key)
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--conversations", type=int, default=20)
    options.add_argument("--exchanges", type=int, default=30)
    asked = options.parse_args()
    with Gateway() as gateway:
        gateway.manage("collectstatic", "--noinput", "--verbosity=0")
        script = MAKE.replace("CONVERSATIONS", str(asked.conversations)).replace(
            "EXCHANGES", str(asked.exchanges)
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

        def cost(path: str, *, sizes: list[int]) -> float:
            """CPU-ms a page of the two web processes together."""
            before = processes.cpu(gateway.pid("web"))
            for root in roots:
                connection = HTTPConnection("127.0.0.1", gateway.port)
                connection.request(
                    "GET", path.format(root), headers={"Cookie": f"sessionid={session}"}
                )
                response = connection.getresponse()
                sizes.append(len(response.read()))
                connection.close()
                if response.status != 200:
                    raise SystemExit(f"A page was answered {response.status}.")
            return (processes.cpu(gateway.pid("web")) - before) / len(roots)

        cost("/history/", sizes=[])  # a process's first page is slow
        for what, path in (
            ("newest 15 exchanges", "/c/{}/"),
            (f"all {asked.exchanges} exchanges", f"/c/{{}}/?shown={asked.exchanges}"),
        ):
            sizes: list[int] = []
            first, again = cost(path, sizes=sizes), [cost(path, sizes=sizes) for _ in range(4)]
            sys.stdout.write(
                f"{what}, {sizes[0] / 1000:.0f} kB: first {first:.0f} ms, then {' '.join(f'{ms:.0f}' for ms in again)} ms\n"
            )


if __name__ == "__main__":
    main()
