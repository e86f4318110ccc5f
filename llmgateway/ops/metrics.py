"""/metrics, as Prometheus reads it: for this machine, and for readers that know METRICS_TOKEN.

For all others it does not exist. The web processes of one server count together, in files of
PROMETHEUS_MULTIPROC_DIR (llmgateway/server/gunicorn.conf.py). What the database knows is asked of
it as the page is read. A worker counts for itself, and answers at WORKER_METRICS_PORT.
"""

import hmac
import os
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from django.conf import settings
from django.db import Error
from django.http import Http404, HttpRequest, HttpResponse
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from conversations import database
from conversations.gateway_request import GatewayRequest
from conversations.proof import runs, sealing
from conversations.record import processes
from llmgateway.demo.loopback import FORWARDED, is_loopback
from llmgateway.ops import logs
from proxy.jobs import checkpoints, submissions

REQUESTS = Counter(
    "llmgateway_requests", "Requests, by route and class of status.", ["method", "route", "status"]
)


def answered(request: HttpRequest, status: int) -> None:
    """Count a request that was answered with this status."""
    REQUESTS.labels(logs.method(request), logs.route(request), f"{status // 100}xx").inc()


def page(request: GatewayRequest) -> HttpResponse:
    if not may_read(request.client_address or "", request.META):
        raise Http404
    return HttpResponse(
        generate_all(),
        content_type=CONTENT_TYPE_PLAIN_0_0_4,
        headers={"Cache-Control": "no-store"},
    )


def generate_all(tries: int = 3) -> bytes:
    """Return what all web processes count, and the record.

    The file of a process that begins or ends in that moment may be half there, or gone: then they
    are read again.
    """
    registry = CollectorRegistry()
    registry.register(Record())
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        MultiProcessCollector(registry)
    try:
        return generate_latest(registry)
    except (OSError, ValueError, struct.error):
        if tries == 1:
            raise
        time.sleep(0.1)
        return generate_all(tries - 1)


def may_read(address: str, meta: Mapping[str, Any]) -> bool:
    """Whether a reader has the token, or is this machine.

    A proxy that runs here and is not in TRUSTED_PROXIES still shows itself by what it adds.
    """
    header = meta.get("HTTP_AUTHORIZATION", "")
    token = f"Bearer {settings.METRICS_TOKEN}"
    if settings.METRICS_TOKEN and hmac.compare_digest(header.encode(), token.encode()):
        return True
    return is_loopback(address) and not any(FORWARDED.fullmatch(name) for name in meta)


# A worker's ---------------------------------------------------------------------------------------


class Server(WSGIServer):
    def __init__(self, address: tuple[str, int], handler: type) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)


class Silent(WSGIRequestHandler):
    """Writes no line a request."""

    timeout = 10  # seconds that a reader may take

    def log_message(self, *args: Any) -> None:
        pass


def serve(port: int) -> Server:
    """Answer with what this process counts, in a thread of its own. Raises OSError."""
    server = make_server(settings.HOST, port, answer, Server, Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    if environ["PATH_INFO"] != "/metrics" or not may_read(environ["REMOTE_ADDR"], environ):
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b""]
    start_response(
        "200 OK", [("Content-Type", CONTENT_TYPE_PLAIN_0_0_4), ("Cache-Control", "no-store")]
    )
    return [generate_latest()]


# What the database knows --------------------------------------------------------------------------


class Record(Collector):
    """Of the whole gateway, not of this server alone."""

    def collect(self) -> Iterator[Metric]:
        """Yield each figure; of a database that is away, that alone."""
        try:
            unsealed, age = sealing.measure_backlog()
            silence = processes.measure_silence()
            undelivered, undelivered_age = submissions.count_backlog(), submissions.measure_age()
            given_up = submissions.count_given_up()
            unsent_age = checkpoints.measure_delay()
            standing = runs.read_standing()
        except Error:
            yield GaugeMetricFamily("llmgateway_database_up", "Whether the database answers.", 0)
            return
        finally:
            database.release()
        yield GaugeMetricFamily("llmgateway_database_up", "Whether the database answers.", 1)
        yield GaugeMetricFamily(
            "llmgateway_unsealed",
            "Rows of the record that wait for their seal, up to 100,000.",
            unsealed,
        )
        yield GaugeMetricFamily(
            "llmgateway_unsealed_age_seconds", "Age of the oldest of them.", age.total_seconds()
        )
        if settings.ENABLE_SUBMISSIONS_API:
            yield GaugeMetricFamily(
                "llmgateway_undelivered",
                "Calls that wait for the receiver of submissions.",
                undelivered,
            )
            yield GaugeMetricFamily(
                "llmgateway_undelivered_age_seconds",
                "Since the oldest of them was sealed.",
                undelivered_age.total_seconds(),
            )
            yield GaugeMetricFamily(
                "llmgateway_submissions_given_up", "On the dead-letter list.", given_up
            )
        if standing.newest and standing.age:
            yield GaugeMetricFamily(
                "llmgateway_verified_age_seconds",
                "Since the record was last checked.",
                standing.age.total_seconds(),
            )
            yield GaugeMetricFamily(
                "llmgateway_verified_whole",
                "Whether that check found the record whole.",
                int(standing.newest.is_whole),
            )
        if settings.CHECKPOINT_URL:
            yield GaugeMetricFamily(
                "llmgateway_checkpoints_unsent_age_seconds",
                "Since when the receiver of checkpoints takes none; 0 while it does.",
                unsent_age.total_seconds(),
            )
        if silence is not None:
            yield GaugeMetricFamily(
                "llmgateway_worker_beat_age_seconds",
                "Since a worker last showed that it works.",
                silence.total_seconds(),
            )
