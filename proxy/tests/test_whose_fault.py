"""An OSError is its source's: the upstream's from its connection, the gateway's from all else."""

import errno
import os
import resource
import socket
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from urllib3.exceptions import HTTPError, IncompleteRead, ProtocolError, SSLError

from proxy.faults import Fault
from proxy.providers.base import Sent
from proxy.relay import calls
from proxy.tests.wire import Wire, document
from proxy.upstreams import client, replies
from proxy.upstreams.body import Body, Truncated

OF_THE_SYSTEM = [
    FileNotFoundError(errno.ENOENT, "no such file"),
    PermissionError(errno.EACCES, "not allowed"),
    OSError(errno.ENOSPC, "no space left"),
    OSError(errno.EIO, "a bad disk"),
    OSError(errno.EMFILE, "too many files"),
    BrokenPipeError(errno.EPIPE, "the caller hung up"),
    ConnectionResetError(errno.ECONNRESET, "reset"),
    ConnectionRefusedError(errno.ECONNREFUSED, "the database's port"),
    TimeoutError("slow"),
    socket.gaierror(socket.EAI_NONAME, "no such name"),
    BlockingIOError(errno.EAGAIN, "not now"),
]
OF_THE_WIRE = [
    HTTPError("x"),
    ProtocolError("x"),
    IncompleteRead(1, 2),
    SSLError("x"),
    *OF_THE_SYSTEM,
]
NAMES = [f"{type(each).__name__} {each}" for each in OF_THE_WIRE]


@pytest.mark.parametrize("problem", OF_THE_SYSTEM, ids=NAMES[4:])
def test_what_breaks_in_the_gateway_is_told_to_no_upstream(problem):
    fault = calls.find_call_fault(problem)
    assert (fault.code, fault.status, fault.ours) == ("internal_error", 500, True)
    assert calls.judge_upstream(SimpleNamespace(cause=None), fault) is None
    assert not fault.repeatable  # it may have been sent


@pytest.mark.parametrize("problem", OF_THE_WIRE, ids=NAMES)
def test_what_breaks_on_the_wire_is_the_upstreams(problem):
    def read1(*size, **how):
        raise problem

    # chunks are read from the plain file, which knows no errors of urllib3's
    is_plain = isinstance(problem, OSError)
    plain = SimpleNamespace(chunked=is_plain, fp=SimpleNamespace(read1=read1))
    raw = SimpleNamespace(_original_response=plain, read1=read1)
    reply = SimpleNamespace(raw=raw, headers={})
    for read in (Body(reply).read, lambda: replies.read_body(reply, 100)):
        with pytest.raises(Truncated) as caught:
            read()
        fault = calls.find_call_fault(caught.value)
        assert (fault.code, fault.ours) == ("upstream_truncated", False)
        assert calls.judge_upstream(SimpleNamespace(cause=None), fault) is False


def send(url):
    with pytest.raises(Fault) as caught:
        client.post(Sent(url, {}, b"{}"), timeout=5)
    fault = caught.value
    return fault.code, fault.unsent, calls.judge_upstream(SimpleNamespace(cause=None), fault)


def test_a_lost_file_of_certificates_is_no_upstreams_fault(settings, tmp_path, caplog):
    settings.LLM_CA_BUNDLE = str(tmp_path / "gone.pem")
    with Wire() as wire:
        assert send(f"https://127.0.0.1:{wire.port}/") == ("internal_error", True, None)
    assert "LLM_CA_BUNDLE" in caplog.text


@contextmanager
def no_more_files():
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    newest = os.open(os.devnull, os.O_RDONLY)
    os.close(newest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (newest, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_machine_without_files_for_connections_says_so():
    with Wire() as wire:
        wire.answer = lambda sock, request: sock.sendall(document("Fine."))
        with no_more_files():
            assert send(f"http://127.0.0.1:{wire.port}/") == ("overloaded", True, None)


def test_a_port_that_nothing_listens_on_is_the_upstreams_fault():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert send(f"http://127.0.0.1:{port}/") == ("upstream_unreachable", True, False)
