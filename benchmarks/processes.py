"""What a process and its children have used, from /proc."""

import os
from pathlib import Path

TICK = 1000 / os.sysconf("SC_CLK_TCK")  # ms
PAGE = os.sysconf("SC_PAGESIZE")


def family(pid: int) -> list[int]:
    """A process and the children of its first thread, which is the one that forks in gunicorn and in PostgreSQL."""
    return [
        pid,
        *(
            one
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            for one in family(int(child))
        ),
    ]


def cpu(pid: int) -> float:
    """CPU-ms of a process and its children, those that have ended included."""
    used = _ticks(pid, slice(11, 15))
    for one in family(pid)[1:]:
        try:
            used += _ticks(one, slice(11, 13))
        except FileNotFoundError:
            continue  # it ended just now
    return used * TICK


def rss(pid: int) -> int:
    """Bytes in memory of a process and its children; pages that they share count for each."""
    return sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) * PAGE for one in family(pid))


def _ticks(pid: int, fields: slice) -> int:
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[fields]))
