"""The processes that open calls: each has an id, and beats while it lives."""

import os
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db.models import Max
from django.db.models.functions import Now

from ..database import execute
from ..ids import make_id
from ..models import Process

SILENT = timedelta(seconds=30)  # a process without a beat for longer is taken for dead


@dataclass(slots=True)
class CurrentProcess:
    """This process. It has an id from its first beat on; the calls that it opens carry that."""

    id: UUID | None = None
    held: set[UUID] = field(default_factory=set)  # calls that it opens, or has open


CURRENT = CurrentProcess()


def find_host() -> str:
    """Name where this process' number is one process' alone: a machine, or a container of it.

    Containers on the network of their machine have its name, and numbers of their own.
    """
    host = socket.gethostname()
    with suppress(OSError):  # no Linux
        return f"{host} {os.stat('/proc/self/ns/pid').st_ino}"
    return host


def beat(role: str = Process.Role.WEB) -> None:
    """Give a sign of life, due every few seconds, by the database's clock."""
    CURRENT.id = CURRENT.id or make_id(datetime.now(UTC))
    values = {"id": CURRENT.id, "host": find_host(), "pid": os.getpid(), "role": role}
    execute(BEAT, values)


def measure_silence() -> timedelta | None:
    """Measure the time since any worker beat. None: none ever did, or all ended as they should."""
    workers = Process.objects.filter(role=Process.Role.WORKER)
    silence: timedelta | None = workers.aggregate(silent=Now() - Max("seen"))["silent"]
    return silence


def unregister() -> None:
    if CURRENT.id:
        Process.objects.filter(id=CURRENT.id).delete()


BEAT = """
    INSERT INTO conversations_process (id, host, pid, role, started, seen)
    VALUES (%(id)s, %(host)s, %(pid)s, %(role)s, now(), now())
    ON CONFLICT (id) DO UPDATE SET seen = now()"""
