"""A request as views see it: with what our middleware adds to Django's."""

from django.http import HttpRequest


class GatewayRequest(HttpRequest):
    """For annotations; llmgateway.middleware.RequestMiddleware sets the two on Django's own."""

    id: str  # what x-request-id carries, until the request has a snapshot
    client_address: str | None  # the caller's, behind trusted proxies too
