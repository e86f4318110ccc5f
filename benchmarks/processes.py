"""CPU and memory of a process and its children, from /proc."""

import os
from pathlib import Path

TICK = 1000 / os.sysconf("SC_CLK_TCK")  # ms
PAGE = os.sysconf("SC_PAGESIZE")


def family(pid: int) -> list[int]:
    """List a process and the children of its first thread.

    That thread is the one that forks in gunicorn and in PostgreSQL.
    """
    pids = [pid]
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        pids += family(int(child))
    return pids


def cpu(pid: int) -> float:
    """Count CPU-ms of a process and its children, those that have ended included."""
    used = _ticks(pid, slice(11, 15))
    for child in family(pid)[1:]:
        try:
            used += _ticks(child, slice(11, 13))
        except FileNotFoundError:
            continue  # it ended just now
    return used * TICK


def rss(pid: int) -> int:
    """Count bytes in memory of a process and its children; pages that they share count for each."""
    memory = (Path(f"/proc/{each}/statm").read_text() for each in family(pid))
    return sum(int(pages.split()[1]) * PAGE for pages in memory)


def _ticks(pid: int, fields: slice) -> int:
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[fields]))
