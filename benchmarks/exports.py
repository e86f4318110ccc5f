"""What an export costs at size: rows a second and the memory of the process, for each format. Needs a database that is sealed.

python benchmarks/exports.py [FORMAT:ROWS …]       figures:1000000 turns:100000 jsonl:100000 unless given
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


def measure(name: str, rows: int) -> str:
    process, most, over = psutil.Process(), [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            most[0] = max(most[0], process.memory_info().rss)

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        made, chosen = FORMATS[name](Names(User()), folder), Chosen(folder / "selection")
        began = time.monotonic()
        everything = Selection(Snapshot.objects.all(), 0, selection.newest_seal())
        total = chosen.write(everything, conversations=made.conversations)
        took_choosing = time.monotonic() - began
        parts, taken, first = Parts(folder, made, []), 0, process.memory_info().rss
        watcher = threading.Thread(target=watch)
        watcher.start()
        began, cpu = time.monotonic(), time.process_time()
        for stretch in chosen.stretches(made.at_once):
            for row in made.rows(stretch, everything.last):
                parts.write(row)
            taken += len(stretch.seals)
            if taken >= rows:
                break
        files = parts.end()
        took, cpu = time.monotonic() - began, time.process_time() - cpu
        over.set()
        watcher.join()
        written = sum(file["bytes"] for file in files)
    return (
        f"{name:14} {taken:>9,} rows of {total:,} in {took:6.1f} s, {taken / took:>7,.0f}/s; CPU {cpu:5.1f} s; {written / MB:>7,.0f} MB in {len(files)} files; "
        f"memory {first / MB:.0f} MB, at most {most[0] / MB:.0f}; chosen in {took_choosing:.1f} s"
    )


if __name__ == "__main__":
    for given in sys.argv[1:] or ["figures:1000000", "turns:100000", "jsonl:100000"]:
        name, _, rows = given.partition(":")
        print(measure(name, int(rows)), flush=True)  # noqa: T201
