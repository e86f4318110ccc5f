"""The processes that open calls: each has an id, and beats while it lives."""

import os
import socket
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db.models import Max
from django.db.models.functions import Now

from ..database import execute
from ..ids import make_id
from ..models import Process

SILENT = timedelta(seconds=30)  # a process that has not beaten for longer is taken for dead
PROCESS: UUID | None = None  # this process's id, once it has begun


def beat(role: str = Process.Role.WEB) -> None:
    """A sign of life, due every few seconds; by the database's clock."""
    global PROCESS
    PROCESS = PROCESS or make_id(datetime.now(UTC))
    execute(BEAT, {"id": PROCESS, "host": socket.gethostname(), "pid": os.getpid(), "role": role})


def measure_silence() -> timedelta | None:
    """How long ago a worker last beat. None: never, or it ended as it should."""
    return Process.objects.filter(role=Process.Role.WORKER).aggregate(silent=Now() - Max("seen"))[
        "silent"
    ]


def unregister() -> None:
    if PROCESS:
        Process.objects.filter(id=PROCESS).delete()


BEAT = """
    INSERT INTO conversations_process (id, host, pid, role, started, seen) VALUES (%(id)s, %(host)s, %(pid)s, %(role)s, now(), now())
    ON CONFLICT (id) DO UPDATE SET seen = now()"""
