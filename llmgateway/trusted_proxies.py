"""Proxies in front of the gateway: which are believed, and for whom they speak."""

import functools
import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from django.conf import settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# As a hop may be named: an address, one with a port, one in brackets with a port or none.
HOP = re.compile(r"\[([^\]]+)\](?::\d+)?|(\d+\.\d+\.\d+\.\d+):\d+")


def read_address(hop: str) -> Address | None:
    """The address of a hop, without port and zone; IPv4 that is written as IPv6 is IPv4."""
    match = HOP.fullmatch(hop.strip())
    text = next(filter(None, match.groups())) if match else hop.strip()
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@functools.lru_cache(maxsize=8)
def _networks(listed: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(map(ipaddress.ip_network, listed))


def is_trusted(address: Address | None) -> bool:
    """Whether it is a proxy's whose X-Forwarded-* headers are believed."""
    networks = _networks(tuple(settings.TRUSTED_PROXIES))
    return address is not None and any(address in network for network in networks)


def find_client(meta: Mapping[str, Any]) -> str | None:
    """The peer's address; where it is a trusted proxy's, the nearest hop before it that is none."""
    hops = [*meta.get("HTTP_X_FORWARDED_FOR", "").split(","), meta.get("REMOTE_ADDR", "")]
    while len(hops) > 1 and is_trusted(read_address(hops[-1])):
        hops.pop()
    address = read_address(hops[-1])
    return str(address) if address else None


def list_forwarders() -> list[str]:
    """TRUSTED_PROXIES as the web server compares them: with IPv4 as it looks on an IPv6 socket."""
    networks = _networks(tuple(settings.TRUSTED_PROXIES))
    mapped = [
        f"::ffff:{network.network_address}/{96 + network.prefixlen}"
        for network in networks
        if network.version == 4
    ]
    return [*map(str, networks), *mapped]
