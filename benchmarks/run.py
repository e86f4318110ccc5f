"""`make bench`: the costs of a call, a chunk, an open stream and a kept turn, beside their budgets.

    python benchmarks/run.py [--quick] [--rounds 3] [--only calls …] [--json FILE]

CPU is the processes' own, from /proc: it repeats within some ten per cent on a busy machine;
latencies do not.
"""

import argparse
import os
import platform
import random
import signal
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from statistics import median

import orjson
import processes
from gateway import OPEN_CALLS, Gateway
from upstream import words

QUESTION, ANSWER = 300, 900  # bytes of a turn's new text
WINDOW = 20  # turns that are compared
Figures = dict[str, float]  # name, with its unit → the figure
MOST = {  # budget, aim
    "JSON call, known history, 1 at once: web + worker CPU ms": (2.0, 1.4),
    "JSON call, new conversation, 1 at once: web + worker CPU ms": (2.0, 1.4),
    "JSON call, known history, 8 at once: web + worker CPU ms": (2.0, 1.4),
    "JSON call, new conversation, 8 at once: web + worker CPU ms": (2.0, 1.4),
    "200 streams at 20/s: web CPU ms a chunk, in the middle": (0.10, 0.06),
    "200 streams at 20/s: web + worker CPU ms a chunk, all in": (0.10, 0.06),
    "1,000 streams at 2/s: KB a stream": (95, 70),
    "1,000 streams at 2/s: not complete": (0, 0),
    "1,000 streams at 2/s: ended over 1 s late": (0, 0),
    "1,000 streams at 20/s: not complete": (0, 0),
    "a turn's bytes kept, turns 1–20": (1.6 * (QUESTION + ANSWER) + 1500,) * 2,
    "a turn's bytes kept, turns 181–200": (1.6 * (QUESTION + ANSWER) + 1500,) * 2,
    "a turn's bytes kept, turns 1–200": (1.6 * (QUESTION + ANSWER) + 1500,) * 2,
    "a turn's bytes kept, last against first, %": (110, 100),
    "8 calls of 2 s at once: wall s": (2.5, 2.0),
}


# The measurements ---------------------------------------------------------------------------------


def streams(gateway: Gateway, quick: bool) -> Figures:
    """Measure 1,000 slow readers, whose answers take 5 to 15 s."""
    run = gateway.load(
        "streams", count=1000, chunks=[10, 30], rate=2, ramp=4, limit=60, web=gateway.pid("web")
    )
    return stream_figures("1,000 streams at 2/s", run) | {
        "1,000 streams at 2/s: KB a stream": run["bytes"] / run["open"] / 1000
    }


def crowd(gateway: Gateway, quick: bool) -> Figures:
    """Measure more than two cores can carry on time: all shall arrive all the same."""
    how = {
        "count": 1000,
        "chunks": [100, 100],
        "rate": 20,
        "ramp": 2,
        "limit": 120,
        "web": gateway.pid("web"),
    }
    return stream_figures("1,000 streams at 20/s", gateway.load("streams", **how))


def chunks(gateway: Gateway, quick: bool) -> Figures:
    how = {
        "count": 200,
        "chunks": [100, 100],
        "rate": 20,
        "ramp": 1,
        "limit": 60,
        "web": gateway.pid("web"),
    }
    alone = gateway.load("streams", at_upstream=True, **how)
    run = gateway.load("streams", **how)
    used, middle = run["used"], run["middle"]
    name = "200 streams at 20/s"
    return stream_figures(name, run) | {
        f"{name}: web CPU ms a chunk, in the middle": middle["cpu"] / middle["chunks"],
        f"{name}: web + worker CPU ms a chunk, all in": (used["web"] + used["worker"])
        / run["chunks"],
        f"{name}: PostgreSQL CPU ms a chunk, all in": used["postgres"] / run["chunks"],
        f"{name}: lag ms p50 of the mock alone": alone["lag"]["p50"],
        f"{name}: lag ms p99 of the mock alone": alone["lag"]["p99"],
    }


def calls(gateway: Gateway, quick: bool) -> Figures:
    """Measure 1 KB replies to a question behind eight messages: known history, or all new."""
    count = 200 if quick else 600
    figures: Figures = {}
    for at_once in (1, 8):
        alone = gateway.load("calls", at_upstream=True, count=count, at_once=at_once)["latency"]
        for continued, history in ((True, "known history"), (False, "new conversation")):
            what = f"JSON call, {history}, {at_once} at once"
            run = gateway.load("calls", count=count, at_once=at_once, continued=continued)
            used, latency = {name: ms / count for name, ms in run["used"].items()}, run["latency"]
            figures |= {
                f"{what}: web + worker CPU ms": used["web"] + used["worker"],
                f"{what}: web CPU ms": used["web"],
                f"{what}: worker CPU ms": used["worker"],
                f"{what}: PostgreSQL CPU ms": used["postgres"],
                f"{what}: latency ms p50": latency["p50"],
                f"{what}: latency ms p99": latency["p99"],
                f"{what}: p50 ms added to the mock's": latency["p50"] - alone["p50"],
                f"{what}: p99 ms added to the mock's": latency["p99"] - alone["p99"],
            }
    return figures


def slow(gateway: Gateway, quick: bool) -> Figures:
    run = gateway.load("calls", count=8, at_once=8, delay=2)
    return {"8 calls of 2 s at once: wall s": run["wall"]}


def turns(gateway: Gateway, quick: bool) -> Figures:
    """Measure the bytes of conversations that grow side by side to 200 turns.

    They are several, so that a page more or less does not tell. Search index and seals count.
    """
    chance, connection = random.Random(4), HTTPConnection("127.0.0.1", gateway.port)

    def grow(conversations: list[list[dict]], by: int = WINDOW) -> float:
        """Add turns, and give the bytes a turn, after a VACUUM as the server would do by itself."""
        before = size(gateway)
        for _ in range(by):
            for messages in conversations:
                messages.append({"role": "user", "content": words(chance, QUESTION)})
                messages.append(
                    gateway.ask(connection, {"model": "gpt-4o-mini", "messages": messages})
                )
        gateway.catch_up()
        gateway.sql.execute("VACUUM")
        return (size(gateway) - before) / by / len(conversations)

    count = 5 if quick else 20
    # a search index begins with some megabytes of its own
    grow([[] for _ in range(count)], 2 * WINDOW)
    measured: list[list[dict]] = [[] for _ in range(count)]
    grown = [grow(measured) for _ in range(200 // WINDOW)]
    return {
        "a turn's bytes kept, turns 1–20": grown[0],
        "a turn's bytes kept, turns 181–200": grown[-1],
        "a turn's bytes kept, last against first, %": 100 * grown[-1] / grown[0],
        "a turn's bytes kept, turns 1–200": sum(grown) / len(grown),
    }


def stream_figures(name: str, run: dict) -> Figures:
    """Name the figures of a run with streams, and print its problems."""
    for problem, times in run["problems"].items():
        say(f"{name}: {times} × {problem}")
    return {
        f"{name}: not complete": run["count"] - run["complete"],
        f"{name}: ended over 1 s late": run["over_a_second_late"],
        f"{name}: wall s": run["wall"],
        f"{name}: lag ms p50": run["lag"]["p50"],
        f"{name}: lag ms p99": run["lag"]["p99"],
        f"{name}: first chunk ms p50": run["first"]["p50"],
        f"{name}: first chunk ms p99": run["first"]["p99"],
        f"{name}: web CPU s": run["used"]["web"] / 1000,
    }


def size(gateway: Gateway) -> int:
    """Count the bytes of all tables with their indexes."""
    [[size]] = gateway.sql.execute(
        "SELECT sum(pg_total_relation_size(oid)) FROM pg_class"
        " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    return int(size)


# The run ------------------------------------------------------------------------------------------

# streams first: in the memory of a young process
MEASURED = (streams, chunks, calls, crowd, slow, turns)
REPEATED = (chunks, calls)


def main() -> None:
    options = parse_options()
    if not os.path.exists("/proc/self/stat"):
        raise SystemExit("The benchmark reads CPU times from /proc: run it on Linux.")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit("Stopped."))
    figures: dict[str, list[float]] = {}
    say(f"{machine()}. 2 web processes of {OPEN_CALLS} calls.")
    with Gateway() as gateway:
        # the first call of each web process is slow, and few connections may all be one process's
        gateway.load("calls", count=400, at_once=64)
        idle = {name: round(processes.rss(pid) / 1e6) for name, pid in gateway.watched().items()}
        say(f"Idle, MB in memory: {idle}. Load {os.getloadavg()[0]:.1f}.")
        for measure in MEASURED:
            if options.only and measure.__name__ not in options.only:
                continue
            for _ in range(options.rounds if measure in REPEATED else 1):
                began = time.monotonic()
                for name, value in measure(gateway, options.quick).items():
                    figures.setdefault(name, []).append(value)
                took = time.monotonic() - began
                say(f"  {measure.__name__}: {took:.0f} s, load {os.getloadavg()[0]:.1f}")
    say(table(figures))
    if options.json:
        result = {"machine": machine(), "idle_mb": idle, "figures": figures, "budgets": MOST}
        options.json.write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="about a minute")
    parser.add_argument(
        "--rounds", type=int, help="of what is measured in CPU time (3; 1 when quick)"
    )
    parser.add_argument("--only", nargs="+", choices=[measure.__name__ for measure in MEASURED])
    parser.add_argument("--json", type=Path, help="write the figures of every round here")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    return options


def table(figures: dict[str, list[float]]) -> str:
    lines = [f"{'':64}{'min':>10}{'median':>10}{'budget':>10}{'aim':>8}"]
    for name, values in figures.items():
        lines.append(
            f"{name:64}{spell(min(values)):>10}{spell(median(values)):>10}"
            + compare(name, median(values))
        )
    return "\n".join(lines)


def compare(name: str, value: float) -> str:
    """Write the budget and the aim of a figure, and whether it is over; none has neither."""
    if name not in MOST:
        return ""
    budget, aim = MOST[name]
    mark = "" if value <= budget else "  OVER"
    return f"{budget:10g}{aim:8g}{mark}"


def spell(value: float) -> str:
    """Write a number with three figures or so."""
    if 0 < abs(value) < 1:
        return f"{value:.3f}"
    return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    system = f"Linux {platform.release()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} × {model}, {system}"


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
