"""A stop: what ends in time is finished, and every caller is told.

The rest is closed as interrupted by the process itself.
"""

import json
import re
import signal
import subprocess
import sys

import psutil
import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import Client

from conversations.models import Process, Snapshot
from proxy.tests.gateway import CANARY, CHAT, eventually, marked, said
from proxy.tests.wire import ANSWER, DONE, SSE, Held, chunk, json_reply, word


class Page:
    """alice at the gateway's own chat page."""

    def __init__(self, gateway):
        client = Client()
        client.force_login(get_user_model().objects.get(username="alice"))
        self.gateway, self.cookie = gateway, f"sessionid={client.cookies['sessionid'].value}"
        page = gateway.call("/", Cookie=self.cookie)
        assert page.status == 200
        self.token = re.search(rb'name="csrfmiddlewaretoken" value="(\w+)"', page.body)[1].decode()
        self.cookie += (
            f"; csrftoken={page.headers['set-cookie'].partition('csrftoken=')[2].partition(';')[0]}"
        )

    def ask(self, question):
        """The events of its answer, not read yet."""
        form = f"message={question}&model=gpt-4o-mini&csrfmiddlewaretoken={self.token}".encode()
        return self.gateway.open(
            "/",
            form,
            Cookie=self.cookie,
            Content_Type="application/x-www-form-urlencoded",
            Accept="text/event-stream",
        )


def test_a_stop_waits_for_what_ends_in_time_and_cuts_the_rest(started, wire, recorded):
    gateway = started(
        LLM_ENDPOINT=f"{wire.url}{CHAT}", GRACE=3, LLM_TIMEOUT=30, LLM_STREAM_TIMEOUT=30
    )
    wire.answer = json_reply(b'{"data": [{"id": "gpt-4o-mini"}]}')
    page = Page(gateway)
    # Two that will end in time,
    body = json.dumps(ANSWER).encode()
    document = Held(wire, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body)
    whole = gateway.open_chat(marked())
    eventually(lambda: document.begun)
    verse = Held(
        wire, SSE + chunk(word("Once ")), chunk(word("upon", "stop")) + chunk(DONE) + b"0\r\n\r\n"
    )
    short = gateway.open_chat(marked(), stream=True)
    short.read_until(b"Once")
    # and three that will not.
    silence = Held(wire, b"")
    silent = gateway.open_chat(marked())
    eventually(lambda: silence.begun)
    Held(wire, SSE + chunk(word("Once upon")))
    long = gateway.open_chat(marked(), stream=True)
    long.read_until(b"upon")
    shown = page.ask(marked())
    shown.read_until(b"upon")

    metrics = settings.VAR_DIR / "metrics" / str(gateway.port)
    assert list(metrics.glob("*.db"))
    gateway.process.send_signal(signal.SIGTERM)
    eventually(lambda: not gateway_accepts(gateway))
    document.let_go.set()
    verse.let_go.set()
    assert whole.finish().text == "Fine."
    reply = short.finish()
    assert said([*reply.events[:-1]]) == "upon"
    assert reply.events[-1] == "[DONE]"
    reply = silent.finish()
    assert (reply.status, reply.error["code"]) == (503, "gateway_stopped")
    *_, last = long.finish().events
    assert last["error"]["code"] == "gateway_stopped"
    assert b"event: problem\n" in shown.finish().body
    assert gateway.process.wait(60) == 0
    assert not metrics.exists()  # a server that ends takes its files with it

    snapshots = recorded(5)  # by the process itself: nobody swept
    assert [snapshot.status for snapshot in snapshots] == [
        "ok",
        "ok",
        "interrupted",
        "interrupted",
        "interrupted",
    ]
    assert [snapshot.reply and snapshot.reply.text for snapshot in snapshots] == [
        "Fine.",
        "Once upon",
        None,
        "Once upon",
        "Once upon",
    ]
    assert {snapshot.error_code for snapshot in snapshots[2:]} == {"gateway_stopped"}
    assert not Process.objects.filter(pid=gateway.process.pid).exists()


def gateway_accepts(gateway):
    try:
        return bool(gateway.call("/ping", timeout=1).status)
    except OSError:
        return False


@pytest.mark.drill
def test_calls_that_outlast_even_that_are_closed_by_the_next_process(started, wire, recorded):
    """A thread that nothing wakes, here one that waits in the kernel, leaves no row pending."""
    first = started(LLM_ENDPOINT=f"{wire.url}{CHAT}", GRACE=1, LLM_TIMEOUT=30)
    Held(wire, SSE + chunk(word("Once upon")))
    with first.open_chat(marked(), stream=True) as call:
        call.read_until(b"upon")
        for pid in first.workers():
            psutil.Process(pid).suspend()
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(60) == 0
    assert Snapshot.objects.filter(status="pending").count() == 1
    started(LLM_ENDPOINT=f"{wire.url}{CHAT}")
    [snapshot] = recorded()
    assert (snapshot.status, snapshot.error_code) == ("interrupted", "gateway_stopped")


def test_a_worker_beats_and_takes_its_leave(wired, wire):
    command = [sys.executable, "manage.py", "worker", "--skip-checks"]
    before = set(Process.objects.values_list("id", flat=True))
    with subprocess.Popen(
        command, cwd=settings.BASE_DIR, env=wired.environment, stderr=subprocess.PIPE, text=True
    ) as worker:
        try:
            beating = Process.objects.filter(role=Process.Role.WORKER, pid=worker.pid)
            eventually(beating.exists)
            assert eventually(lambda: wired.call("/readyz").status == 200)
            beaten = b"\nllmgateway_worker_beat_age_seconds 0."
            eventually(lambda: beaten in wired.call("/metrics").body)
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(60) == 0
        finally:
            worker.kill()
        assert "Traceback" not in worker.stderr.read()
    assert not beating.exists()
    assert eventually(lambda: wired.call("/readyz").body == b"not ready: worker\n")
    assert (
        set(Process.objects.values_list("id", flat=True)) <= before
    )  # dead processes of other tests are swept meanwhile


FAILING = f"""
import django; django.setup()
from django.core.management import call_command
from conversations.proof import sealing
def seal(): raise ValueError("{CANARY}")
sealing.seal = seal
call_command("worker")
"""


def test_a_worker_that_cannot_follow_the_log_ends_and_says_why(wired):
    """So that whoever started it starts it again, and nobody takes it for alive."""
    done = subprocess.run(
        [sys.executable, "-c", FAILING],
        cwd=settings.BASE_DIR,
        env=wired.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "the worker failed" in done.stderr
    assert "builtins.ValueError" in done.stderr
    assert CANARY not in done.stderr
