"""What is counted of calls, for /metrics: by kind, ending, model and upstream.

Nothing is counted by person, or by what a person wrote. Labels are bounded: a caller's name for a
model counts only where it is listed here or in the prices, an upstream's code for an error where it
is one of ours. A call is counted once, as it closes; the watcher looks at what is open each second.
"""

from collections.abc import Mapping
from typing import NamedTuple

from django.db import connection
from prometheus_client import Counter, Gauge, Histogram

from conversations.models import Snapshot
from conversations.record import Call, Outcome

from .. import prices
from ..faults import OUTSIDE_CALLS, Code, Fault
from ..upstreams import routing
from ..upstreams.gate import Gate

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
CODES = frozenset(Code) - OUTSIDE_CALLS  # an upstream's own may be anything: its status counts

CALLS = Counter("llmgateway_calls", "Calls, by how they ended.", ["kind", "status"])
FIRST_BYTE = Histogram(
    "llmgateway_first_byte_seconds",
    "From a call's opening to its upstream's first byte.",
    ["kind"],
    buckets=SECONDS,
)
LAST_BYTE = Histogram(
    "llmgateway_last_byte_seconds", "From a call's opening to its close.", ["kind"], buckets=SECONDS
)
TOKENS = Counter(
    "llmgateway_tokens", "Tokens, those included that were estimated.", ["model", "direction"]
)
COST = Counter(
    "llmgateway_cost_dollars", "What calls cost, where their model has a price.", ["model"]
)
FAILED_TRIES = Counter(
    "llmgateway_failed_tries",
    "Tries at upstreams that failed, those included that another try made good.",
    ["upstream", "code"],
)
FAILURES = Counter(
    "llmgateway_failures",
    "Calls that did not end well, by error code or the upstream's HTTP status.",
    ["upstream", "code"],
)
OPEN = Gauge(
    "llmgateway_open",
    "Calls and followed answers that are open now.",
    ["what"],
    multiprocess_mode="livesum",
)
POOL = Gauge(
    "llmgateway_database_connections",
    "Connections of the web processes' pools.",
    ["state"],
    multiprocess_mode="livesum",
)
BREAKER = Gauge(
    "llmgateway_breaker",
    "Of an upstream: 0 closed, 0.5 half open, 1 open, at worst.",
    ["upstream"],
    multiprocess_mode="livemax",
)
WAITING = Gauge(
    "llmgateway_database_waiting",
    "Threads that wait for a database connection now.",
    multiprocess_mode="livesum",
)


class OpenCalls(NamedTuple):
    """What is open in this process: calls that stream, calls that do not, slots in use."""

    streams: int
    documents: int
    slots: int


def count_close(
    call: Call, ended: Outcome, upstream: str, fault: Fault | None, seconds: float
) -> None:
    """Count a call as it closes: at this upstream, so many seconds after it opened."""
    CALLS.labels(call.kind, ended.status).inc()
    LAST_BYTE.labels(call.kind).observe(seconds)
    if ended.first_byte:
        FIRST_BYTE.labels(call.kind).observe((ended.first_byte - call.opened).total_seconds())
    for attempt in ended.attempts:
        code, status = attempt["error"], attempt["status"]
        if code or status != 200:
            label = code if code in CODES else f"http_{status}"
            FAILED_TRIES.labels(attempt["upstream"], label).inc()
    if ended.status != Snapshot.Status.OK:
        FAILURES.labels(upstream, _code(ended.error_code, fault)).inc()
    if ended.prompt_tokens or ended.completion_tokens:
        model = call.model if routing.is_listed(call.model) else prices.find_table_name(call.model)
        TOKENS.labels(model, "prompt").inc(ended.prompt_tokens or 0)
        TOKENS.labels(model, "completion").inc(ended.completion_tokens or 0)
        if ended.cost:
            COST.labels(model).inc(float(ended.cost))


def count_refusal(kind: str, fault: Fault) -> None:
    CALLS.labels(kind, Snapshot.Status.REFUSED.value).inc()
    FAILURES.labels("", _code(fault.code or "", fault)).inc()


def set_gauges(calls: OpenCalls, gates: Mapping[str, Gate]) -> None:
    """Show what is open now: the slots that no call takes are those of followed answers."""
    OPEN.labels("stream").set(calls.streams)
    OPEN.labels("whole").set(calls.documents)
    OPEN.labels("followed").set(max(0, calls.slots - calls.streams - calls.documents))
    for upstream, gate in list(gates.items()):
        BREAKER.labels(upstream).set({"closed": 0, "half-open": 0.5, "open": 1}[gate.state])
    pool = connection.pool.get_stats()  # type: ignore[attr-defined]
    for state, count in (
        ("open", pool["pool_size"]),
        ("idle", pool["pool_available"]),
        ("most", pool["pool_max"]),
    ):
        POOL.labels(state).set(count)
    WAITING.set(pool["requests_waiting"])


def _code(code: str, fault: Fault | None) -> str:
    if code in CODES:
        return code
    return f"http_{fault.status}" if fault else "other"
