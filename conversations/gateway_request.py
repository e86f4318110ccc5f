"""A request as views see it: with what our middleware adds to Django's."""

from ipaddress import IPv6Network

from django.http import HttpRequest

NETWORK = 64  # bits of an IPv6 address: a subscriber has all addresses behind them


class GatewayRequest(HttpRequest):
    """For annotations; llmgateway.middleware.RequestMiddleware sets the two on Django's own."""

    id: str  # what x-request-id carries, until the request has a snapshot
    client_address: str | None  # the caller's, behind trusted proxies too


def network_of(address: str | None) -> str | None:
    """Return what of a client's address failures are counted by: of IPv6 its network."""
    if address is None or ":" not in address:
        return address
    return str(IPv6Network((address, NETWORK), strict=False).network_address)
