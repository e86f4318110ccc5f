"""Measure an export at size: rows a second and the memory of the process, for each format.

It needs a database that is sealed.

    python benchmarks/exports.py [FORMAT:ROWS …]

figures:1000000 turns:100000 jsonl:100000 unless given.
"""

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import django
import psutil

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmgateway.settings")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
django.setup()

from conversations.exports import selection  # noqa: E402
from conversations.exports.formats import FORMATS  # noqa: E402
from conversations.exports.parts import Parts  # noqa: E402
from conversations.exports.selection import Chosen, Selection  # noqa: E402
from conversations.models import Snapshot, User  # noqa: E402
from conversations.people.identity import Names  # noqa: E402

MB = 1 << 20


class Peak:
    """`with Peak() as peak:` watches the memory of this process, in bytes."""

    def __enter__(self) -> "Peak":
        self.process, self.over = psutil.Process(), threading.Event()
        self.first = self.process.memory_info().rss
        self.most = 0
        self.watcher = threading.Thread(target=self._watch)
        self.watcher.start()
        return self

    def __exit__(self, *problem) -> None:
        self.over.set()
        self.watcher.join()

    def _watch(self) -> None:
        while not self.over.wait(0.05):
            self.most = max(self.most, self.process.memory_info().rss)


def measure(name: str, rows: int) -> str:
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        form, chosen = FORMATS[name](Names(User()), folder), Chosen(folder / "selection")
        began = time.monotonic()
        everything = Selection(Snapshot.objects.all(), 0, selection.newest_seal())
        total = chosen.write(everything, conversations=form.conversations)
        choosing = time.monotonic() - began
        parts = Parts(folder, form, [])
        taken = 0
        with Peak() as peak:
            began, cpu = time.monotonic(), time.process_time()
            for stretch in chosen.stretches(form.at_once):
                for row in form.rows(stretch, everything.last):
                    parts.write(row)
                taken += len(stretch.seals)
                if taken >= rows:
                    break
            files = parts.end()
            took, cpu = time.monotonic() - began, time.process_time() - cpu
    written = sum(file["bytes"] for file in files)
    return (
        f"{name:14} {taken:>9,} rows of {total:,} in {took:6.1f} s, {taken / took:>7,.0f}/s; "
        f"CPU {cpu:5.1f} s; {written / MB:>7,.0f} MB in {len(files)} files; "
        f"memory {peak.first / MB:.0f} MB, at most {peak.most / MB:.0f}; "
        f"chosen in {choosing:.1f} s"
    )


if __name__ == "__main__":
    for given in sys.argv[1:] or ["figures:1000000", "turns:100000", "jsonl:100000"]:
        name, rows = given.split(":")
        print(measure(name, int(rows)), flush=True)  # noqa: T201
