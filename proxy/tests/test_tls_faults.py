"""TLS that fails: before a byte of a call has left, and in the middle of an answer."""

import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from proxy.models import Model, Route, Upstream
from proxy.tests.gateway import CHAT, Gateway, marked, said, the
from proxy.tests.wire import DONE, SSE, Wire, chunk, document, exactly, word

NOW, DAY = datetime.now(UTC), timedelta(days=1)
PLAIN_SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
RESET = struct.pack("ii", 1, 0)


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


class Authority:
    """Signs certificates, and its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.key = folder, ec.generate_private_key(ec.SECP256R1())
        self.name = name(folder.name)
        basic = x509.BasicConstraints(ca=True, path_length=None)
        builder = self._build(self.name, self.key, NOW - 3 * DAY, NOW + 3 * DAY)
        certificate = builder.add_extension(basic, critical=True).sign(self.key, hashes.SHA256())
        self.bundle = folder / "authority.pem"
        self.bundle.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def serve(self, host: str, begins: datetime, ends: datetime) -> ssl.SSLContext:
        """Make the context of a server that proves to be this address within these dates."""
        key = ec.generate_private_key(ec.SECP256R1())
        address = x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))])
        builder = self._build(name("server"), key, begins, ends)
        builder = builder.add_extension(address, critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        file = self.folder / f"{certificate.serial_number}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _build(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        begins: datetime,
        ends: datetime,
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
        )


class Cut(Wire):
    """Hangs up in the middle of the handshake, as it is said to."""

    def __init__(self, hang_up: Callable[[socket.socket], object]) -> None:
        self.hang_up = hang_up
        super().__init__()

    def _converse(self, sock: socket.socket) -> None:
        self.open.discard(sock)
        with sock:
            sock.recv(65536)  # the client's first words
            self.hang_up(sock)


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("known"))


@pytest.fixture(scope="module")
def upstreams(authority, tmp_path_factory) -> Iterator[dict[str, Wire]]:
    stranger = Authority(tmp_path_factory.mktemp("stranger"))
    made = {
        "good": Wire(authority.serve("127.0.0.1", NOW - DAY, NOW + DAY)),
        "expired": Wire(authority.serve("127.0.0.1", NOW - 2 * DAY, NOW - DAY)),
        "not yet": Wire(authority.serve("127.0.0.1", NOW + DAY, NOW + 2 * DAY)),
        "wrong host": Wire(authority.serve("127.0.0.2", NOW - DAY, NOW + DAY)),
        "unknown": Wire(stranger.serve("127.0.0.1", NOW - DAY, NOW + DAY)),
        "no TLS": Cut(lambda sock: sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
        "cut": Cut(lambda sock: None),
        "cut in a record": Cut(lambda sock: sock.sendall(b"\x16\x03\x03\x01\x00\x02")),
        "reset": Cut(reset),
    }
    yield made
    for wire in made.values():
        wire.__exit__()


@pytest.fixture(scope="module")
def gateway(database, folder, authority, upstreams) -> Iterator[Gateway]:
    """One with a model for each upstream, and one for each with the good one behind it."""
    rows = {
        name: Upstream.objects.create(
            name=name.replace(" ", "-"), label=name, base_url=f"https://127.0.0.1:{wire.port}/v1"
        )
        for name, wire in upstreams.items()
    }
    for name, row in rows.items():
        for model, places in ((name, [row]), (f"{name}, then good", [row, rows["good"]])):
            chain = Model.objects.create(name=model)
            for order, place in enumerate(dict.fromkeys(places)):
                Route.objects.create(model=chain, upstream=place, order=order)
    gateway = Gateway(
        folder,
        DATABASE_URL=database,
        LLM_ENDPOINT=f"https://127.0.0.1:{upstreams['good'].port}{CHAT}",
        LLM_CA_BUNDLE=authority.bundle,
        UPSTREAM_PAUSE=0.1,
        LLM_TIMEOUT=20,
        LLM_STREAM_TIMEOUT=20,
    )
    yield gateway
    gateway.stop()
    Model.objects.all().delete()
    Upstream.objects.all().delete()


# Before a byte has left ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("expired", "upstream_tls"),
        ("not yet", "upstream_tls"),
        ("wrong host", "upstream_tls"),
        ("unknown", "upstream_tls"),
        ("no TLS", "upstream_tls"),
        ("cut", "upstream_unreachable"),
        ("cut in a record", "upstream_unreachable"),
        ("reset", "upstream_unreachable"),
    ],
)
def test_nothing_is_sent_to_who_proves_nothing(fault, code, gateway, upstreams):
    good = upstreams["good"]
    good.answer = exactly(document("Fine."))
    for stream in (False, True):
        reply = gateway.ask(marked(), model=fault, stream=stream)
        assert (reply.status, reply.error["code"]) == (502, code)
        assert (the(reply).status, the(reply).error_code) == ("failed", code)
    before = len(good.seen)
    reply = gateway.ask(marked(), model=f"{fault}, then good")
    assert (reply.status, reply.text, the(reply).status) == (200, "Fine.", "ok")
    assert len(good.seen) == before + 1
    assert upstreams[fault].seen == []


# In the middle of an answer -----------------------------------------------------------------------


def garble(sock: ssl.SSLSocket) -> None:
    """Send what is no record of TLS, by the socket below."""
    with socket.socket(fileno=socket.dup(sock.fileno())) as below:
        below.sendall(b"\x17\x03\x03\x00\x40" + b"x" * 64)


ENDS = {  # none of them says that it is the end
    "without close_notify": lambda sock: None,
    "with close_notify": lambda sock: sock.unwrap(),
    "reset": reset,
    "garbled": garble,
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("head", [SSE, PLAIN_SSE], ids=["chunked", "until closed"])
def test_a_stream_that_is_cut_says_so_and_is_kept(head, end, gateway, upstreams):
    def answer(sock, request):
        sock.sendall(head + (chunk(word("Once ")) if head == SSE else word("Once ")))
        end(sock)
        raise ConnectionAbortedError

    good = upstreams["good"]
    good.answer = answer
    before = len(good.seen)
    reply = gateway.ask(marked(), model="good", stream=True)
    assert said(reply.events[:-1]) == "Once "
    assert reply.events[-1]["error"]["code"] == "upstream_truncated"
    row = the(reply)
    assert (row.status, row.error_code) == ("failed", "upstream_truncated")
    assert row.reply.text == "Once "
    assert len(good.seen) == before + 1  # an answer that began is not asked for again


@pytest.mark.parametrize("end", list(ENDS.values())[:2], ids=list(ENDS)[:2])
def test_one_that_said_its_end_is_whole(end, gateway, upstreams):
    def answer(sock, request):
        sock.sendall(PLAIN_SSE + word("Fine.", "stop") + DONE)
        end(sock)
        raise ConnectionAbortedError

    upstreams["good"].answer = answer
    reply = gateway.ask(marked(), model="good", stream=True)
    assert (said(reply.events), reply.events[-1]) == ("Fine.", "[DONE]")
    assert the(reply).status == "ok"


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("is_counted", [True, False], ids=["with a length", "until closed"])
def test_half_a_document_is_no_answer(is_counted, end, gateway, upstreams):
    def answer(sock, request):
        whole = document("Fine.")
        if not is_counted:
            head, _, body = whole.partition(b"\r\n\r\n")
            whole = head.rpartition(b"\r\n")[0] + b"\r\nConnection: close\r\n\r\n" + body
        sock.sendall(whole[:-10])
        end(sock)
        raise ConnectionAbortedError

    upstreams["good"].answer = answer
    reply = gateway.ask(marked(), model="good")
    assert reply.status == 502
    assert reply.error["code"] in ("upstream_truncated", "upstream_bad_reply")
    assert the(reply).status == "failed"
