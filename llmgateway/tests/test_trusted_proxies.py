"""Whose X-Forwarded-* headers are believed: addresses and networks, by pages and web server alike.

Each place that compares is asked: the address on record, the pause of sign-in, gunicorn.
"""

import pytest
from django.http import HttpResponse
from django.test import RequestFactory
from gunicorn.config import Config
from gunicorn.http.message import _ip_in_allow_list

from llmgateway import sign_in, trusted_proxies
from llmgateway.middleware import RequestMiddleware

CLIENT = "198.51.100.7"
LISTED = ["192.0.2.1", "10.0.0.0/8", "fd00::/8", "2001:db8::1"]
TRUSTED = ["192.0.2.1", "10.0.0.1", "10.255.255.255", "::ffff:10.1.2.3", "fd00::1", "2001:db8::1"]
OTHERS = ["192.0.2.2", "11.0.0.1", "::ffff:11.0.0.1", "fe80::1", "2001:db8::2", "127.0.0.1"]


@pytest.fixture(autouse=True)
def listed(settings):
    settings.TRUSTED_PROXIES = LISTED


def seen(peer, forwarded=CLIENT):
    """The client's address as a request on record has it, and as sign-in does: they agree."""
    request = RequestFactory().get("/ping", REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=forwarded)

    def answer(request):
        return HttpResponse()

    RequestMiddleware(answer)(request)
    counted = sign_in.address(request)
    own = request.client_address
    assert counted == own or (":" in own and counted.endswith("::"))  # of IPv6 the network
    return request.client_address


def believed(peer):
    """Whether gunicorn takes the scheme from this peer."""
    config = Config()
    config.set("forwarded_allow_ips", ",".join(trusted_proxies.list_forwarders()))
    return _ip_in_allow_list(peer, config.forwarded_allow_ips, config.forwarded_allow_networks())


@pytest.mark.parametrize("peer", TRUSTED)
def test_a_trusted_proxy_speaks_for_its_client(peer):
    assert seen(peer) == CLIENT
    assert believed(peer)
    assert seen(peer, f"203.0.113.9, {CLIENT}, 10.9.9.9") == CLIENT


@pytest.mark.parametrize("peer", OTHERS)
def test_another_speaks_for_itself(peer):
    assert seen(peer) == peer.removeprefix("::ffff:")
    assert not believed(peer)


@pytest.mark.parametrize(
    ("hop", "address"),
    [
        (f"{CLIENT}:51234", CLIENT),
        ("[2001:db8::7]:443", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("fe80::7%eth0", "fe80::7"),
        (f"::ffff:{CLIENT}", CLIENT),
        (f"203.0.113.9, {CLIENT}, [fd00::1]:80, 10.0.0.9:1234", CLIENT),
        ("unknown", None),
        ("", None),
        ("10.0.0.1.evil.example", None),
    ],
)
def test_how_a_hop_may_be_named(hop, address):
    assert seen("10.0.0.1", hop) == address


def test_nobody_is_believed_where_none_is_listed(settings):
    settings.TRUSTED_PROXIES = []
    assert not any(map(believed, TRUSTED))
    assert seen("10.0.0.1") == "10.0.0.1"
