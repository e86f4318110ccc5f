"""Measure each page of the review desk at size, and its oldest page beside its newest.

    manage.py generate                       once, into a database of its own
    python benchmarks/desk.py [--times 5] [--only WORDS] [--departments NAME …] [--slow MS]

A Lead opens the pages of llmgateway/tests/desk_pages.py in Django's test client: all of the
gateway's own Python and SQL, templates and middleware too, no socket. Milliseconds, the least of so
many: on the clock, and of CPU (Python, and PostgreSQL from /proc where it runs on this machine),
which says more on a busy machine. It leaves the audit events of what it opened.
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
QUERIES = 8  # of a page, at most
MS = 100  # of CPU of a page, at most
TIMES = 2.0  # CPU of the oldest page against the newest, at most
HEAD = """\
| page | queries | ms | CPU ms | of it PostgreSQL | oldest page: ms | CPU ms |
|---|--:|--:|--:|--:|--:|--:|
"""


class PageCost:
    """The cost of one page, opened so many times: the least, in milliseconds."""

    def __init__(self, client: Client, address: str, times: int):
        self.runs: list[list[float]] = []  # of each: on the clock, CPU of Python, of PostgreSQL
        for _ in range(times):
            self.statements: list[tuple] = []
            began = clocks()
            with connection.execute_wrapper(self.watch):
                response = client.get(address)
            self.runs.append(
                [(now - then) * 1000 for now, then in zip(clocks(), began, strict=True)]
            )
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
    def clock(self) -> float:
        return min(clock for clock, _, _ in self.runs)

    @property
    def postgres(self) -> float:
        return min(postgres for _, _, postgres in self.runs)

    @property
    def cpu(self) -> float:
        return min(python for _, python, _ in self.runs) + self.postgres


def clocks() -> tuple[float, float, float]:
    """Read the clock, the CPU of this thread, and that of PostgreSQL (s)."""
    return time.perf_counter(), time.thread_time(), postgres()


def postgres() -> float:
    """Read the CPU seconds of our connection's server process."""
    connection.ensure_connection()
    pid = connection.connection.info.backend_pid
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def sign_in_lead(departments: Sequence[str] = ()) -> Client:
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
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--only", default="", help="pages whose names have this in them")
    parser.add_argument("--departments", nargs="*", default=[], help="that the Lead is limited to")
    parser.add_argument("--slow", type=float, help="print the statements that took longer")
    options = parser.parse_args()
    call_command("collectstatic", interactive=False, verbosity=0)
    client, lists = sign_in_lead(options.departments), desk_pages.lists()
    over = []
    sys.stdout.write(HEAD)
    for name, address in (lists | desk_pages.others()).items():
        if options.only not in name:
            continue
        pages = [PageCost(client, address, options.times)]
        if name in lists and pages[0].rows == FULL:
            pages.append(PageCost(client, address + OLDEST, options.times))
        bad = is_over(pages)
        if bad:
            over.append(name)
        sys.stdout.write(line(name, pages, bad=bad) + "\n")
        sys.stdout.flush()
        for took, sql, params in (statement for page in pages for statement in page.statements):
            if options.slow is not None and took > options.slow:
                sys.stdout.write(f"    {took:.1f} ms: {sql}\n      {params}\n")
    sys.stdout.write(f"\n{len(over)} over: {', '.join(over)}\n" if over else "\nAll within.\n")


def is_over(pages: list[PageCost]) -> bool:
    """Compare the newest page, and the oldest if there is one, with what they may cost."""
    if any(page.status != 200 or page.queries > QUERIES or page.cpu > MS for page in pages):
        return True
    return pages[-1].cpu > TIMES * pages[0].cpu


def line(name: str, pages: list[PageCost], *, bad: bool) -> str:
    """Write a row of the table."""
    one, last = pages[0], pages[-1]
    oldest = f"{last.clock:.0f} | {last.cpu:.0f}" if last is not one else " | "
    newest = f"{one.queries} | {one.clock:.0f} | {one.cpu:.0f} | {one.postgres:.0f}"
    marks = [" **over**"] if bad else []
    marks += [f" {page.status}" for page in pages if page.status != 200]
    return f"| {name} | {newest} | {oldest} |{''.join(marks)}"


if __name__ == "__main__":
    main()
