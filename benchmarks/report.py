"""Measure the usage report at size: server time of a page, CPU of Python and PostgreSQL, queries.

    python benchmarks/report.py [--rounds 10]

It reads the database that the environment names, which should be one that manage.py generate has
filled, on this machine. Nothing stays: the readers and the audit trail of their reading are rolled
back.
"""

import argparse
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmgateway.settings")

import django

django.setup()

import psutil  # noqa: E402
from django.conf import settings  # noqa: E402
from django.contrib.auth.models import Group  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402

from conversations.models import User  # noqa: E402

READERS = {"Lead": "people and conversations by name", "Gateway admin": "departments"}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--rounds", type=int, default=10)
    rounds = options.parse_args().rounds
    settings.ALLOWED_HOSTS = ["testserver"]
    call_command("collectstatic", interactive=False, verbosity=0)
    with transaction.atomic():
        for group, sees in READERS.items():
            reader = User.objects.create_user(f"benchmark of {group}", is_staff=True)
            reader.groups.set(Group.objects.filter(name=group))
            client = Client()
            client.force_login(reader)
            for days in (365, 30):
                sys.stdout.write(f"{group} ({sees}), {days} days: {cost(client, days, rounds)}\n")
        transaction.set_rollback(True)


def cost(client: Client, days: int, rounds: int) -> str:
    until = datetime.now(UTC).date()
    path = f"/admin/usage/?since={until - timedelta(days=days - 1)}&until={until}"
    with CaptureQueriesContext(connection) as queries:  # the first: it is slow
        if client.get(path).status_code != 200:
            raise SystemExit("The report was not shown.")
    count = len(queries)
    backend = psutil.Process(connection.connection.info.backend_pid)
    database, python = sum(backend.cpu_times()[:2]), time.process_time()
    walls = []
    for _ in range(rounds):
        began = time.perf_counter()
        client.get(path)
        walls.append(time.perf_counter() - began)
    python = time.process_time() - python
    database = sum(backend.cpu_times()[:2]) - database
    median = sorted(walls)[rounds // 2]
    return (
        f"{count} queries, least {min(walls) * 1000:.0f} ms, median {median * 1000:.0f} ms; "
        f"CPU a page {python / rounds * 1000:.0f} ms of Python, "
        f"{database / rounds * 1000:.0f} ms of PostgreSQL"
    )


if __name__ == "__main__":
    main()
