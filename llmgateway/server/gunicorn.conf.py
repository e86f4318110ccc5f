"""How gunicorn serves the gateway: threads for open calls, and some that no call can take."""

import gc
import os
import resource
import shutil
import sys
from contextlib import suppress
from typing import Any

from django.conf import settings

from llmgateway import secret, start, trusted_proxies

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmgateway.settings")
# What the processes of one server count for /metrics; set before anything counts. By the port:
# web servers may share VAR_DIR.
METRICS = settings.VAR_DIR / "metrics" / str(settings.PORT)
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(METRICS)
start.set_up()
try:
    secret.make_missing(settings)
except secret.NoSecret as problem:
    sys.exit(str(problem))

from llmgateway.server.worker import READERS  # noqa: E402 (it reads settings)
from proxy.limits.slots import Slots, make_table  # noqa: E402

TABLE = make_table()  # before any fork: what the processes share

bind = (
    f"[{settings.HOST}]:{settings.PORT}"
    if ":" in settings.HOST
    else f"{settings.HOST}:{settings.PORT}"
)
wsgi_app = "llmgateway.wsgi:application"
worker_class = "llmgateway.server.worker.Worker"
workers = settings.WEB_WORKERS
# A process may hold all calls of the machine: connections do not share themselves out evenly.
threads = settings.OPEN_CALLS * settings.WEB_WORKERS + READERS + settings.RESERVED_THREADS
worker_connections = 3 * threads  # more than CONNECTIONS_PER_ADDRESS
keepalive = 65  # seconds; longer than the proxies in front
timeout = 60
graceful_timeout = settings.GRACE
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108 (a heartbeat on a slow disk kills workers)
logconfig_dict = settings.LOGGING
forwarded_allow_ips = ",".join(
    trusted_proxies.list_forwarders()
)  # whose X-Forwarded-Proto is believed
logger_class = "llmgateway.server.worker.Log"
control_socket_disable = True


def on_starting(server: Any) -> None:
    shutil.rmtree(METRICS, ignore_errors=True)
    METRICS.mkdir(mode=0o700, parents=True)


def allow_files() -> None:
    """Let a process open the files of its connections and their upstreams, as far as it may."""
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = worker_connections + 2 * threads + 1000  # a stream has its upstream and its journal
    if soft != resource.RLIM_INFINITY and soft < wanted:
        allowed = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))


def pre_fork(server: Any, worker: Any) -> None:
    worker.slots = Slots(TABLE, TABLE.claim())


def post_worker_init(worker: Any) -> None:
    gc.freeze()  # the application is loaded too
    from conversations.record import orphans
    from proxy.limits import memory
    from proxy.relay import exchange, journal, watcher

    exchange.process.slots = worker.slots
    allow_files()
    memory.keep_little()
    orphans.register(journal.bring_in)
    watcher.start(worker)


def worker_exit(server: Any, worker: Any) -> None:
    from django.db import Error

    from conversations.record import processes
    from proxy import wrong_keys

    with suppress(Error):  # then it is swept as a dead one
        processes.unregister()
        wrong_keys.save()


def child_exit(server: Any, worker: Any) -> None:
    from prometheus_client import multiprocess

    TABLE.clear(worker.slots.row)
    # it holds nothing open any more; what it counted stays
    multiprocess.mark_process_dead(worker.pid)


def on_exit(server: Any) -> None:
    shutil.rmtree(METRICS, ignore_errors=True)
