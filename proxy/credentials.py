"""Which hosts may get a credential of UPSTREAM_SECRETS: `KEY_OF_AZURE@*.openai.azure.com`.

A host is written exactly, or as `*.` before a domain, which stands for every name below it. It may
have a port, and is then for that port alone. What cannot be read as a host allows none.
"""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from django.conf import settings

from . import addresses

SEPARATOR = "|"  # between two hosts of one credential
PORTS = {"https": 443, "http": 80}


def parse_bindings(entries: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Parse the setting: the name of each credential → its hosts, empty where it is bound to none.

    A name may come more than once, with other hosts.
    """
    hosts: dict[str, tuple[str, ...]] = {}
    for entry in entries:
        name, written = entry.strip().partition("@")[::2]
        more = tuple(map(str.strip, written.split(SEPARATOR))) if "@" in entry else ()
        hosts[name.strip()] = hosts.get(name.strip(), ()) + more
    return hosts


def find_hosts(name: str) -> tuple[str, ...] | None:
    """Return the hosts that it is bound to; None where it may go anywhere.

    One that the setting binds to none may until version 0.3, and nowhere from then on.
    """
    hosts: tuple[str, ...] | None = settings.UPSTREAM_SECRET_HOSTS.get(name)
    return (hosts or None) if settings.UNBOUND_SECRETS_PASS else hosts


def find_objection(name: str, url: str) -> str:
    """Say why the credential of this name may not be sent there; empty where it may."""
    if not name:
        return ""
    if name not in settings.UPSTREAM_SECRETS:
        return "UPSTREAM_SECRETS does not name this variable, so it is no credential."
    hosts = find_hosts(name)
    if hosts is None or may_go(url, hosts):
        return ""
    if not hosts:
        return "UPSTREAM_SECRETS binds this credential to no host, so it is sent nowhere."
    return f"This credential may be sent to {', '.join(hosts)} only: UPSTREAM_SECRETS says so."


def may_go(url: str, hosts: Iterable[str]) -> bool:
    """Return whether one of the hosts is the one that a request for this URL goes to."""
    if addresses.find_objection(url):
        return False
    parts = urlsplit(url)
    host, port = addresses.fold_host(parts.hostname or ""), parts.port or PORTS[parts.scheme]
    return any(_is_meant(written, host, port) for written in hosts)


def _is_meant(written: str, host: str, port: int) -> bool:
    if find_fault_of_host(written):
        return False
    parts = urlsplit(f"//{written}")
    if parts.port not in (None, port):
        return False
    meant = addresses.fold_host(parts.hostname or "")
    return host.endswith(meant[1:]) if meant.startswith("*.") else host == meant


def find_fault_of_host(written: str) -> str:
    """Say why a host of the setting is none; empty where it is one."""
    try:
        parts = urlsplit(f"//{written}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "it is no host"
    if parts.netloc != written or "@" in written or port == 0 or written.endswith(":"):
        return "write the host alone, or host:port"
    domain = host.removeprefix("*.")
    if not addresses.is_host(domain):
        return "write the host in plain letters, digits, dots and hyphens"
    if domain != host and (addresses.is_literal(domain) or not re.search(r"\w\.\w", domain)):
        return "`*.` stands before a domain of at least two names"
    return ""
