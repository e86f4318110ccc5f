"""What each page of the review desk costs at size: queries, server time, database time, and its oldest page beside its newest.

    manage.py generate                       once, into a database of its own (VAR_DIR or DATABASE_URL)
    python benchmarks/desk.py [--times 5] [--only WORDS] [--departments NAME …] [--slow MS]

A Lead opens the pages of llmgateway/tests/desk_pages.py in Django's test client: all of the gateway's own Python and SQL, templates and
middleware too, no socket. Milliseconds, the least of so many: on the clock, and of CPU (Python, and PostgreSQL from /proc where it runs on this machine), which
says more on a busy machine. It leaves the audit events of what it opened.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import django

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmgateway.settings")
os.environ.setdefault("LLM_ENDPOINT", "http://127.0.0.1:9/v1/chat/completions")
django.setup()

from django.contrib.auth.models import Group  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402

from conversations.models import User  # noqa: E402
from llmgateway.demo import generated  # noqa: E402
from llmgateway.tests import desk_pages  # noqa: E402

OLDEST = "&after=00000000-0000-7000-8000-000000000000"
FULL = 50  # rows of a page that has others after it
QUERIES, MS, TIMES = 8, 100, 2.0  # at most: of a page; the oldest page against the newest


class Measured:
    """One page, opened so many times."""

    def __init__(self, client: Client, address: str, times: int):
        self.clock, self.python, self.postgres = [], [], []
        for _ in range(times):
            self.statements: list[tuple] = []
            began = time.perf_counter(), time.thread_time(), postgres()
            with connection.execute_wrapper(self.watch):
                response = client.get(address)
            for taken, now, then in zip(
                (self.clock, self.python, self.postgres),
                (time.perf_counter(), time.thread_time(), postgres()),
                began,
                strict=True,
            ):
                taken.append((now - then) * 1000)
        self.status = response.status_code
        self.rows = response.content.count(b'<th class="field-') + response.content.count(
            b'<tr><td class="field-'
        )

    def watch(self, execute, sql, params, many, context):
        began = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            self.statements.append(((time.perf_counter() - began) * 1000, sql, params))

    @property
    def queries(self) -> int:
        return len(self.statements)

    @property
    def cpu(self) -> float:
        return min(self.python) + min(self.postgres)


def postgres() -> float:
    """CPU seconds of our connection's server process."""
    connection.ensure_connection()
    return (
        int(
            Path(f"/proc/{connection.connection.info.backend_pid}/schedstat").read_text().split()[0]
        )
        / 1e9
    )


def lead(departments: Sequence[str] = ()) -> Client:
    user, _ = User.objects.get_or_create(
        username="benchmark",
        defaults={
            "external_id": f"{generated.MARK}benchmark",
            "is_staff": True,
            "is_superuser": True,
        },
    )
    user.groups.add(Group.objects.get(name="Lead"))
    user.reviews_departments = list(departments)
    user.save()
    # without the test environment, whose signals copy the context of each template
    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    return client


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--times", type=int, default=5)
    options.add_argument("--only", default="", help="pages whose names have this in them")
    options.add_argument("--departments", nargs="*", default=[], help="that the Lead is limited to")
    options.add_argument("--slow", type=float, help="print the statements that took longer")
    asked = options.parse_args()
    call_command("collectstatic", interactive=False, verbosity=0)
    client, lists, over = lead(asked.departments), desk_pages.lists(), []
    sys.stdout.write(
        "| page | queries | ms | CPU ms | of it PostgreSQL | oldest page: ms | CPU ms |\n|---|--:|--:|--:|--:|--:|--:|\n"
    )
    for name, address in (lists | desk_pages.others()).items():
        if asked.only not in name:
            continue
        pages = [Measured(client, address, asked.times)]
        if name in lists and pages[0].rows == FULL:
            pages.append(Measured(client, address + OLDEST, asked.times))
        one, last = pages[0], pages[-1]
        bad = (
            any(page.status != 200 or page.queries > QUERIES or page.cpu > MS for page in pages)
            or last.cpu > TIMES * one.cpu
        )
        over += [name] * bad
        oldest = f"{min(last.clock):.0f} | {last.cpu:.0f}" if last is not one else " | "
        figures = f"{one.queries} | {min(one.clock):.0f} | {one.cpu:.0f} | {min(one.postgres):.0f} | {oldest}"
        sys.stdout.write(
            f"| {name} | {figures} |{' **over**' if bad else ''}{''.join(f' {page.status}' for page in pages if page.status != 200)}\n"
        )
        sys.stdout.flush()
        for took, sql, params in (statement for page in pages for statement in page.statements):
            if asked.slow is not None and took > asked.slow:
                sys.stdout.write(f"    {took:.1f} ms: {sql}\n      {params}\n")
    sys.stdout.write(f"\n{len(over)} over: {', '.join(over)}\n" if over else "\nAll within.\n")


if __name__ == "__main__":
    main()
