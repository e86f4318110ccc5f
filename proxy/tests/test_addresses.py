"""What a name stands for is looked up once, judged, and connected to; pictures stand apart."""

import json
import socket
import ssl
from pathlib import Path

import pytest

from proxy import addresses
from proxy.faults import Fault
from proxy.providers.base import Sent
from proxy.tests.wire import Wire, json_reply
from proxy.upstreams import client
from proxy.upstreams.connections import adapter
from proxy.upstreams.replies import read_body

PEM = str(Path(__file__).with_name("wire.pem"))
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
LOOK_UP = socket.getaddrinfo


@pytest.fixture
def names(monkeypatch):
    """Names and what they stand for, each time that they are looked up; how often that was."""
    known: dict[str, list[list[str]]] = {}
    asked: list[str] = []

    def look_up(host, port, *args, **more):
        if host not in known:
            return LOOK_UP(host, port, *args, **more)
        asked.append(host)
        found = known[host].pop(0) if len(known[host]) > 1 else known[host][0]
        return [one for address in found for one in LOOK_UP(address, port, *args, **more)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    known_and_asked = known, asked
    return known_and_asked


@pytest.fixture
def port(wire, settings):
    """Of an upstream whose name is models.example; http for the test's sake."""
    settings.UPSTREAM_HTTP_HOSTS = ["models.example", "127.0.0.1", "pictures.example"]
    wire.answer = json_reply(b"{}")
    wire.seen.clear()
    adapter.close()  # connections that other tests kept
    return wire.port


def post(port: int, scheme: str = "http", name: str = "models.example") -> int:
    sent = Sent(f"{scheme}://{name}:{port}/v1", {}, b"{}")
    with client.post(sent, timeout=60) as reply:
        assert read_body(reply, 100) == b"{}"  # so that the connection is kept
        return reply.status_code


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "::ffff:0:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "64:ff9b:1:a9fe:a9:fe00::",
        "2002:a9fe:a9fe::1",
        "2001:0:a9fe:a9fe::",
        "2001:db8::5efe:a9fe:a9fe",
        "fe80::a9fe:a9fe",
        "fd00:ec2::254",
        "fd20:ce::254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "0.0.0.0",
        "0.1.2.3",
        "255.255.255.255",
        "224.0.0.1",
        "ff02::1",
        "::",
    ],
)
def test_a_name_for_a_barred_address_gets_no_connection(names, wire, port, address):
    assert addresses.is_barred(address)
    known, _ = names
    accepted = wire.accepted
    for found in ([address], ["127.0.0.1", address], [address, "127.0.0.1"]):
        known["models.example"] = [found]
        with pytest.raises(Fault) as caught:
            post(port)
        assert (caught.value.code, caught.value.unsent) == ("upstream_misconfigured", True)
    assert wire.accepted == accepted


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.8", "::1", "fd12::1", "8.8.8.8", "2606::1"])
def test_what_is_not_barred(host):
    assert not addresses.is_barred(host)


@pytest.mark.parametrize(
    ("host", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1", True),
        ("64:ff9b::808:808", True),
        ("::ffff:8.8.8.8", True),
        ("10.0.0.8", False),
        ("::ffff:10.0.0.8", False),
        ("64:ff9b::a00:8", False),
        ("2002:a00:8::", False),
        ("100.64.0.1", False),
        ("127.0.0.1", False),
        ("fd12::1", False),
    ],
)
def test_what_is_public(host, public):
    assert addresses.is_public(host) is public


@pytest.mark.parametrize(
    "host", ["0", "0251.0376.0251.0376", "2130706433", "0x7f.1", "127.1", "1.2.3.4.5", "a.0x1"]
)
def test_a_number_is_no_name(host):
    assert addresses.find_objection(f"https://{host}/v1")


def test_a_name_is_looked_up_once_and_the_connection_goes_there(names, wire, port):
    """The second answer of its server would be this machine's own metadata."""
    known, asked = names
    known["models.example"] = [["127.0.0.1"], ["169.254.169.254"]]
    assert post(port) == 200
    assert asked == ["models.example"]
    assert wire.seen[-1].headers["host"] == f"models.example:{port}"


def test_the_next_address_is_tried_where_one_does_not_answer(names, wire, port):
    known, asked = names
    known["models.example"] = [["127.0.0.9", "127.0.0.1"]]  # nothing listens at the first
    assert post(port) == 200
    assert asked == ["models.example"]


def test_tls_is_spoken_with_the_name(names, settings):
    context, heard = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), []
    context.load_cert_chain(PEM)
    context.sni_callback = lambda sock, name, own: heard.append(name)
    known, _ = names
    known["models.example"] = [["127.0.0.1"]]
    settings.LLM_CA_BUNDLE = PEM
    with Wire(context) as tls:
        with pytest.raises(Fault) as caught:
            post(tls.port, "https")
        assert caught.value.code == "upstream_tls"  # its certificate is for another name
        assert heard == ["models.example"]
        assert tls.seen == []


# The pictures of results -------------------------------------------------------------------------


def test_a_picture_takes_no_connection_of_a_call(names, wire, port):
    """A call may go to this machine; a picture that another upstream names may not."""
    known, _ = names
    known["models.example"] = [["127.0.0.1"]]
    assert post(port) == 200  # and the connection is kept
    wire.answer, seen = json_reply(PNG, kind="image/png"), len(wire.seen)
    url = f"http://models.example:{port}/x.png"
    assert client.fetch_picture(url, "https://other.example/v1") is None
    assert len(wire.seen) == seen
    assert client.fetch_picture(url, f"http://models.example:{port}/v1") == PNG


def test_each_picture_has_a_connection_of_its_own(names, wire, port, monkeypatch):
    known, _ = names
    known["models.example"] = known["pictures.example"] = [["127.0.0.1"]]
    monkeypatch.setattr(addresses, "is_public", lambda host: True)
    wire.answer, accepted = json_reply(PNG, kind="image/png"), wire.accepted
    url = f"http://pictures.example:{port}/x.png"
    for _ in range(3):
        assert client.fetch_picture(url, f"http://models.example:{port}/v1") == PNG
    assert wire.accepted == accepted + 3
    assert not {"authorization", "api-key", "cookie"} & {*wire.seen[-1].headers}
    wire.answer = json_reply(b"{}")
    assert post(port, name="pictures.example") == 200
    assert wire.accepted == accepted + 4


@pytest.mark.parametrize(
    ("found", "fetched"), [(["10.0.0.8"], False), (["8.8.8.8"], True), (["8.8.8.8", "::1"], False)]
)
def test_a_proxy_is_asked_for_no_picture_that_is_known_to_be_private(
    names, wire, port, settings, found, fetched
):
    known, _ = names
    known["pictures.example"] = [found]
    settings.LLM_PROXY, wire.answer = wire.url, json_reply(PNG, kind="image/png")
    url = "http://pictures.example/x.png"
    assert (client.fetch_picture(url, "https://other.example/v1") == PNG) is fetched
    assert [request.line for request in wire.seen] == [f"GET {url} HTTP/1.1"] * fetched


def test_a_proxy_is_where_the_operator_says(wire, port, settings):
    settings.LLM_PROXY = wire.url
    wire.answer = json_reply(json.dumps({"data": []}).encode())
    assert client.fetch_json("http://models.example/v1/models", {}) == {"data": []}
