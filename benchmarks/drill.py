"""`make drill`: callers call while processes and PostgreSQL die; then three books are compared.

    python benchmarks/drill.py [--seconds 60] [--callers 8] [--seed 1] [--only web,sessions]

Callers read documents and streams, slowly, to the end or not, ask on a page, and send calls one
behind the other on a connection. Reviewers export, and models give titles. Lost, doubled, pending,
a wrong status, a wrong text, or one that was read and is not on record, end it with an error. So do
exports that do not hold. A minute runs in CI; an hour is for before a release.
"""

import argparse
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from books import Books, Row
from callers import Callers
from gateway import ROOT, Gateway
from killer import Killer, connect
from ledger import Upstream

SETTLES = 240  # seconds until nothing is pending, all is sealed, and every job is done
PEOPLE = """
import django; django.setup()
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import Group
from django.contrib.sessions.backends.db import SessionStore
from conversations.models import User
rita = User.objects.create_user("rita", is_staff=True)
rita.groups.add(Group.objects.get(name="Reviewer"))
for person in (User.objects.get(username="bench"), rita):
    session = SessionStore()
    session[SESSION_KEY] = str(person.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = person.get_session_auth_hash()
    session.create()
    print(session.session_key)
"""
ROWS = """
    SELECT substring(question.text FROM '(drill-[0-9]+)'), s.status, coalesce(answer.text, '')
    FROM conversations_snapshot s JOIN conversations_message question ON question.id = s.head_id
    LEFT JOIN conversations_message answer ON answer.id = s.reply_id"""
TITLES = """
    SELECT substring(params FROM '(drill-[0-9]+)'), count(*) FROM conversations_snapshot
    WHERE kind = 'title' GROUP BY 1"""
EXPORTS = "SELECT id::text, state, problem FROM conversations_export"
LEFT = {
    "calls that are pending": (
        "SELECT count(*) FROM conversations_snapshot WHERE status = 'pending'"
    ),
    "rows that are not sealed": "SELECT count(*) FROM conversations_unsealed",
    "titles and exports that are not done": """
        SELECT count(*) FROM procrastinate_jobs
        WHERE status IN ('todo', 'doing') AND task_name ~ '(title|export)$'""",
}


def make_sessions(gateway: Gateway) -> list[str]:
    """Sign in who asks on pages, and a reviewer."""
    command = [sys.executable, "-c", PEOPLE]
    made = subprocess.run(
        command, env=gateway.environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return made.stdout.split()


def back_up(gateway: Gateway) -> int:
    """Take a backup while all this goes on. Its exit code may be an error, never a hang."""
    command = [sys.executable, ROOT / "manage.py", "backup", gateway.folder / "backup"]
    quiet = subprocess.DEVNULL
    done = subprocess.run(
        command, env=gateway.environment, timeout=120, stdout=quiet, stderr=quiet, check=False
    )
    return done.returncode


# The end ------------------------------------------------------------------------------------------


def settle(gateway: Gateway) -> Iterator[str]:
    """Wait until nothing is left to do, at most SETTLES; say what is left then."""
    latest = time.monotonic() + SETTLES
    with connect(gateway) as sql:
        for what, count in LEFT.items():
            while left := sql.execute(count).fetchone()[0]:
                if time.monotonic() > latest:
                    yield f"left after {SETTLES} s: {left} {what}"
                    break
                time.sleep(0.5)


def read_books(gateway: Gateway, upstream: Upstream, callers: Callers) -> Books:
    rows: dict[str, list[Row]] = {}
    with connect(gateway) as sql:
        for mark, status, text in sql.execute(ROWS):
            rows.setdefault(mark, []).append(Row(status, text))
        titles = dict(sql.execute(TITLES).fetchall())
    return Books(dict(upstream.ledger), callers.notes, rows, dict(upstream.titles), titles)


def check_exports(gateway: Gateway) -> Iterator[str]:
    """Say of each export whether it is there and holds, by its own verify.py."""
    with connect(gateway) as sql:
        exports = sql.execute(EXPORTS).fetchall()
    for name, state, problem in exports:
        if state != "done":
            yield f"export {name} is {state}: {problem}"
            continue
        script = Path(gateway.folder, "var", "exports", name, "verify.py")
        command = [sys.executable, "-I", str(script)]
        checked = subprocess.run(command, capture_output=True, text=True, check=False)
        if checked.returncode:
            yield f"export {name} does not hold: {checked.stdout}{checked.stderr}"


def compare(gateway: Gateway, books: Books) -> Iterator[str]:
    yield from books.compare()
    yield from check_exports(gateway)
    if code := back_up(gateway):
        yield f"a backup of the end failed: exit code {code}"


def report(killer: Killer, books: Books) -> None:
    say = print
    statuses = Counter(row.status for rows in books.rows.values() for row in rows)
    seen = Counter(note.error or ("whole" if note.is_whole else "cut") for note in books.notes)
    say(f"kills: {dict(killer.done)}")
    say(f"calls: {len(books.notes)}, at the upstream: {len(books.ledger)}")
    say(f"titles: {len(books.titles)}, asked for {sum(books.titles.values())} times")
    say(f"on record: {dict(statuses)}")
    say(f"as callers saw them: {dict(seen)}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--callers", type=int, default=8)
    options.add_argument("--seed", type=int, default=random.randrange(10**6))
    options.add_argument("--only", default="", help="names of killer.py, with commas")
    chosen = options.parse_args()
    say = print
    say(f"seed {chosen.seed}")
    settings = {"OPEN_CALLS": "50", "LOG_LEVEL": "ERROR"}
    with Gateway(workers=2, own_upstream=True, **settings) as gateway:
        upstream = Upstream(gateway.upstream_port)
        threading.Thread(target=gateway.processes.watch, daemon=True).start()
        asker, reviewer = make_sessions(gateway)
        only = chosen.only.split(",") if chosen.only else []
        killer = Killer(gateway, reviewer, chosen.seed, only)
        with Callers(gateway, asker, chosen.callers, chosen.seed) as callers:
            saving = threading.Timer(chosen.seconds / 2, back_up, [gateway])
            saving.start()
            killer.run(chosen.seconds)
            killer.start_database()
            time.sleep(5)  # some calls after the last kill
        saving.join()
        wrong = [*settle(gateway)]
        books = read_books(gateway, upstream, callers)
        wrong += compare(gateway, books)
        gateway.processes.ask_to_stop()
    report(killer, books)
    if wrong:
        raise SystemExit("\n".join(wrong))
    say("The three books agree.")


if __name__ == "__main__":
    main()
