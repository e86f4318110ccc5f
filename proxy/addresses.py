"""Where calls may be sent: by https, or by http to hosts of UPSTREAM_HTTP_HOSTS.

Never to a link-local address, nor to one of a cloud's metadata.
"""

import ipaddress
import socket
from urllib.parse import urlsplit

from django.conf import settings

# Link-local addresses are barred as such (169.254.169.254 among them). These are elsewhere:
# AWS, Alibaba, Azure, Oracle.
METADATA = frozenset(
    map(
        ipaddress.ip_address,
        ("fd00:ec2::254", "fd00:ec2::23", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
    )
)
# They have an IPv4 address in their last four bytes.
WITH_IPV4 = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "::/96")))


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
        infos = socket.getaddrinfo(urlsplit(url).hostname, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ""
    if any(is_barred(str(address[0])) for *_, address in infos):
        return "This name stands for an address that calls may not be sent to."
    return ""


def is_barred(host: str) -> bool:
    """Return whether it is an address that calls may not be sent to; a name is not."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0].rstrip("."))
    except ValueError:
        return False
    if address.version == 6:
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and any(address in network for network in WITH_IPV4):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        address = inner or address
    return (
        address in METADATA
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
    )
