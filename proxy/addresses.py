"""Where calls may be sent: by https, or by http to hosts of UPSTREAM_HTTP_HOSTS.

Never to a link-local address, nor to one of a cloud's metadata. What an address is judged by is
what a connection then goes to: a name is resolved once, and the connection takes those addresses.
"""

import ipaddress
import re
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from urllib.parse import urlsplit

from django.conf import settings

# Link-local addresses are barred as such (169.254.169.254 among them). These are elsewhere:
# AWS, Google, Alibaba, Azure, Oracle.
METADATA = frozenset(
    map(
        ipaddress.ip_address,
        (
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
        ),
    )
)
THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")  # Linux takes it for this machine
BROADCAST = IPv4Address("255.255.255.255")
# Networks of IPv6 addresses that lead to an IPv4 one, in their last four bytes: NAT64 by RFC 6052,
# IPv4-compatible and IPv4-translated.
WITH_IPV4 = tuple(map(IPv6Network, ("64:ff9b::/96", "::/96", "::ffff:0:0:0/96")))
NAT64 = IPv6Network(
    "64:ff9b:1::/48"
)  # of a site's own (RFC 8215): where in it is the site's choice
ISATAP = (0x00005EFE, 0x02005EFE)  # the third quarter of an address that leads to its fourth

LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
NAME = re.compile(rf"{LABEL}(?:\.{LABEL})*\.?", re.IGNORECASE | re.ASCII)
UNSEEN = re.compile(r"[\x00-\x20\x7f\\]")  # parsers of URLs disagree about them


def find_objection(url: str) -> str:
    """Say why calls may not be sent there, by the address alone; empty where they may."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "It is no web address."
    if not host or parts.scheme not in ("https", "http"):
        return "Write https://…, or http://… to a host that UPSTREAM_HTTP_HOSTS names."
    if parts.username is not None or parts.password is not None or parts.fragment:
        return "Write neither an account nor a fragment into the address."
    if UNSEEN.search(url) or not is_host(host):
        return "Write the host in plain letters (a name in others as xn--…), or as an IP address."
    if parts.scheme == "http" and host not in settings.UPSTREAM_HTTP_HOSTS:
        return "Plain http goes to hosts that UPSTREAM_HTTP_HOSTS names, and nowhere else."
    return "Calls may not be sent to this address." if is_barred(host) else ""


def find_objection_resolved(url: str) -> str:
    """Say the same, and of what the host's name stands for now.

    Every connection looks again. A name that is not known here may be known to a proxy.
    """
    if objection := find_objection(url):
        return objection
    try:
        resolve(urlsplit(url).hostname or "", None)
    except Barred:
        return "This name stands for an address that calls may not be sent to."
    except (OSError, UnicodeError):
        return ""
    return ""


class Barred(OSError):
    """An address that calls may not be sent to."""


def resolve(host: str, port: int | None, *, public_only: bool = False) -> list[str]:
    """Return the addresses that a name stands for, all of which may be connected to.

    Raises Barred where any of them may not, OSError or UnicodeError where there is none.
    """
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    found = list(dict.fromkeys(str(address[0]) for *_, address in infos))
    for address in found:
        if is_barred(address) or (public_only and not is_public(address)):
            raise Barred(address)
    return found


def is_host(host: str) -> bool:
    """Return whether it is a name in ASCII, or an IP address in its usual form.

    A name that ends in a number is none: `0x7f.1`, `0251.0376.0251.0376` and `2130706433` are
    addresses to some programs.
    """
    if is_literal(host):
        return True
    last = host.removesuffix(".").rpartition(".")[2]
    is_number = last.isdigit() or re.fullmatch("0x[0-9a-f]*", last, re.IGNORECASE)
    return bool(NAME.fullmatch(host)) and not is_number


def is_literal(host: str) -> bool:
    return _read_address(host) is not None


def fold_host(host: str) -> str:
    """Return a host in the one spelling by which two are compared."""
    address = _read_address(host)
    return host.lower().removesuffix(".") if address is None else str(address)


def is_barred(host: str) -> bool:
    """Return whether it is an address that calls may not be sent to; a name is not."""
    address = _read_address(host)
    return address is not None and any(map(_is_barred, _lead_to(address)))


def is_public(host: str) -> bool:
    """Return whether it is an address of the internet, and leads to no other."""
    address = _read_address(host)
    return address is not None and all(each.is_global for each in _lead_to(address))


def _is_barred(address: IPv4Address | IPv6Address) -> bool:
    return (
        address in METADATA
        or address in THIS_NETWORK
        or address == BROADCAST
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
    )


def _lead_to(address: IPv4Address | IPv6Address) -> Iterator[IPv4Address | IPv6Address]:
    """Yield the address, and each IPv4 address that an IPv6 one may be a way to.

    One that only spells an IPv4 address (::ffff:192.0.2.1) is that address alone.
    """
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        yield address.ipv4_mapped
        return
    yield address
    if isinstance(address, IPv4Address) or address.is_loopback:
        return
    number = int(address)
    last = IPv4Address(number & 0xFFFFFFFF)
    if address.sixtofour:
        yield address.sixtofour
    if address.teredo:
        yield from address.teredo
    if any(address in network for network in WITH_IPV4) or number >> 32 & 0xFFFFFFFF in ISATAP:
        yield last
    if address in NAT64:
        packed = address.packed
        for spread in (packed[6:8] + packed[9:11], packed[7:8] + packed[9:12], packed[9:13]):
            if (way := IPv4Address(spread)) not in THIS_NETWORK:  # what is not used is zero
                yield way
        yield last


def _read_address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0].removesuffix("."))
    except ValueError:
        return None
