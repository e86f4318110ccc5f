"""`make bench`: what a call, a chunk, an open stream and a kept turn cost, beside their budgets.

    python benchmarks/run.py [--quick] [--rounds 3] [--only calls …] [--json FILE]

CPU is the processes' own, from /proc: it repeats within some ten per cent on a busy machine; latencies do not.
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

QUESTION, ANSWER, WINDOW = 300, 900, 20  # bytes of a turn's new text; turns that are compared
Figures = dict[str, float]  # what it is, with its unit → the figure
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


# What is measured ---------------------------------------------------------------------------------


def streams(gateway: Gateway, quick: bool) -> Figures:
    """1,000 slow readers, whose answers take 5 to 15 s."""
    one = gateway.load(
        "streams", count=1000, chunks=[10, 30], rate=2, ramp=4, limit=60, web=gateway.pid("web")
    )
    return of_streams("1,000 streams at 2/s", one) | {
        "1,000 streams at 2/s: KB a stream": one["bytes"] / one["open"] / 1000
    }


def crowd(gateway: Gateway, quick: bool) -> Figures:
    """More than two cores can carry on time: all shall arrive all the same."""
    how = {
        "count": 1000,
        "chunks": [100, 100],
        "rate": 20,
        "ramp": 2,
        "limit": 120,
        "web": gateway.pid("web"),
    }
    return of_streams("1,000 streams at 20/s", gateway.load("streams", **how))


def chunks(gateway: Gateway, quick: bool) -> Figures:
    how = {
        "count": 200,
        "chunks": [100, 100],
        "rate": 20,
        "ramp": 1,
        "limit": 60,
        "web": gateway.pid("web"),
    }
    alone, one = gateway.load("streams", at_upstream=True, **how), gateway.load("streams", **how)
    what = "200 streams at 20/s"
    return of_streams(what, one) | {
        f"{what}: web CPU ms a chunk, in the middle": one["middle"]["cpu"]
        / one["middle"]["chunks"],
        f"{what}: web + worker CPU ms a chunk, all in": (one["used"]["web"] + one["used"]["worker"])
        / one["chunks"],
        f"{what}: PostgreSQL CPU ms a chunk, all in": one["used"]["postgres"] / one["chunks"],
        f"{what}: lag ms p50 of the mock alone": alone["lag"]["p50"],
        f"{what}: lag ms p99 of the mock alone": alone["lag"]["p99"],
    }


def calls(gateway: Gateway, quick: bool) -> Figures:
    """1 KB replies to a question behind eight messages: all new, or the known history of a conversation."""
    count, found = 200 if quick else 600, {}
    for at_once in (1, 8):
        alone = gateway.load("calls", at_upstream=True, count=count, at_once=at_once)["latency"]
        for continued, what in ((True, "known history"), (False, "new conversation")):
            what = f"JSON call, {what}, {at_once} at once"
            one = gateway.load("calls", count=count, at_once=at_once, continued=continued)
            used, latency = {name: ms / count for name, ms in one["used"].items()}, one["latency"]
            found |= {
                f"{what}: web + worker CPU ms": used["web"] + used["worker"],
                f"{what}: web CPU ms": used["web"],
                f"{what}: worker CPU ms": used["worker"],
                f"{what}: PostgreSQL CPU ms": used["postgres"],
                f"{what}: latency ms p50": latency["p50"],
                f"{what}: latency ms p99": latency["p99"],
                f"{what}: p50 ms added to the mock's": latency["p50"] - alone["p50"],
                f"{what}: p99 ms added to the mock's": latency["p99"] - alone["p99"],
            }
    return found


def slow(gateway: Gateway, quick: bool) -> Figures:
    return {
        "8 calls of 2 s at once: wall s": gateway.load("calls", count=8, at_once=8, delay=2)["wall"]
    }


def turns(gateway: Gateway, quick: bool) -> Figures:
    """Conversations that grow side by side to 200 turns: several, so that a page more or less does not tell. Search index and seals count."""
    chance, connection = random.Random(4), HTTPConnection("127.0.0.1", gateway.port)  # noqa: S311

    def grow(conversations: list[list[dict]], by: int = WINDOW) -> float:
        """Bytes a turn, after a VACUUM such as the server would do by itself by then."""
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

    def some() -> list[list[dict]]:
        return [[] for _ in range(5 if quick else 20)]

    grow(some(), 2 * WINDOW)  # a search index begins with some megabytes of its own
    measured = some()
    grown = [grow(measured) for _ in range(200 // WINDOW)]
    return {
        "a turn's bytes kept, turns 1–20": grown[0],
        "a turn's bytes kept, turns 181–200": grown[-1],
        "a turn's bytes kept, last against first, %": 100 * grown[-1] / grown[0],
        "a turn's bytes kept, turns 1–200": sum(grown) / len(grown),
    }


def of_streams(what: str, one: dict) -> Figures:
    for problem, how_often in one["problems"].items():
        say(f"{what}: {how_often} × {problem}")
    return {
        f"{what}: not complete": one["count"] - one["complete"],
        f"{what}: ended over 1 s late": one["over_a_second_late"],
        f"{what}: wall s": one["wall"],
        f"{what}: lag ms p50": one["lag"]["p50"],
        f"{what}: lag ms p99": one["lag"]["p99"],
        f"{what}: first chunk ms p50": one["first"]["p50"],
        f"{what}: first chunk ms p99": one["first"]["p99"],
        f"{what}: web CPU s": one["used"]["web"] / 1000,
    }


def size(gateway: Gateway) -> int:
    [[bytes]] = gateway.sql.execute(
        "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    return int(bytes)


# The run ------------------------------------------------------------------------------------------

REPEATED, ONCE = (chunks, calls), (streams, crowd, slow, turns)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--quick", action="store_true", help="about a minute")
    options.add_argument(
        "--rounds", type=int, help="of what is measured in CPU time (3; 1 when quick)"
    )
    options.add_argument("--only", nargs="+", choices=[one.__name__ for one in (*ONCE, *REPEATED)])
    options.add_argument("--json", type=Path, help="write the figures of every round here")
    asked = options.parse_args()
    if not os.path.exists("/proc/self/stat"):
        raise SystemExit("The benchmark reads CPU times from /proc: run it on Linux.")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit("Stopped."))
    found: dict[str, list[float]] = {}
    say(f"{machine()}. 2 web processes of {OPEN_CALLS} calls.")
    with Gateway() as gateway:
        # the first call of each web process is slow, and few connections may all be one process's
        gateway.load("calls", count=400, at_once=64)
        idle = {name: round(processes.rss(pid) / 1e6) for name, pid in gateway.watched().items()}
        say(f"Idle, MB in memory: {idle}. Load {os.getloadavg()[0]:.1f}.")
        # streams first: what a young process takes
        for one in (
            streams,
            chunks,
            calls,
            crowd,
            slow,
            turns,
        ):
            if not asked.only or one.__name__ in asked.only:
                for _ in range(
                    (asked.rounds or (1 if asked.quick else 3)) if one in REPEATED else 1
                ):
                    began = time.monotonic()
                    for name, figure in one(gateway, asked.quick).items():
                        found.setdefault(name, []).append(figure)
                    say(
                        f"  {one.__name__}: {time.monotonic() - began:.0f} s, load {os.getloadavg()[0]:.1f}"
                    )
    say(table(found))
    if asked.json:
        asked.json.write_bytes(
            orjson.dumps(
                {"machine": machine(), "idle_mb": idle, "figures": found, "budgets": MOST},
                option=orjson.OPT_INDENT_2,
            )
        )


def table(found: dict[str, list[float]]) -> str:
    lines = [f"{'':64}{'min':>10}{'median':>10}{'budget':>10}{'aim':>8}"]
    for name, figures in found.items():
        budget, aim = MOST.get(name, (None, None))
        kept = (
            ""
            if budget is None
            else f"{budget:10g}{aim:8g}  {'' if median(figures) <= budget else 'OVER'}"
        )
        lines.append(
            f"{name:64}{figure(min(figures)):>10}{figure(median(figures)):>10}{kept}".rstrip()
        )
    return "\n".join(lines)


def figure(value: float) -> str:
    return (
        f"{value:.3f}"
        if abs(value) < 1 and value
        else f"{value:,.2f}"
        if abs(value) < 100
        else f"{value:,.0f}"
    )


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )
    return f"{os.cpu_count()} × {model}, Linux {platform.release()}, Python {platform.python_version()}"


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
