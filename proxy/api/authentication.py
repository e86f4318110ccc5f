"""Authentication by API key, sent as `Authorization: Bearer`, `api-key` or `x-api-key`.

A key that is presented decides, even a wrong one, which is counted (proxy.wrong_keys). Look-ups are
kept for seconds, in the process: a revoked key, or a deactivated owner, is refused within
conversations.aged_cache.OLDEST seconds.
"""

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple, cast

from django.contrib.auth import get_user
from django.contrib.sessions import middleware as sessions
from django.http import HttpResponse, QueryDict
from django.utils import timezone
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, CSRFCheck
from rest_framework.request import Request

from conversations import database
from conversations.aged_cache import AgedCache
from conversations.gateway_request import GatewayRequest

from .. import faults, wrong_keys
from ..faults import Fault
from ..models import ApiKey, key

# A session may do what its person may: the rights are the account's.
SESSION_SCOPES = frozenset(ApiKey.Scope.values)


class Caller(NamedTuple):
    """The account on whose behalf a request is made, and what its key allows."""

    owner: int
    key: str  # the prefix; empty for a session
    scopes: frozenset[str]
    shared: bool
    networks: tuple[IPv4Network | IPv6Network, ...] = ()  # the key works from these; empty: any
    made_elsewhere: bool = False  # the key: another than its owner made it

    def may_come_from(self, address: str | None) -> bool:
        if not self.networks:
            return True
        try:
            client = ip_address(address or "")
        except ValueError:
            return False
        client = getattr(client, "ipv4_mapped", None) or client
        return any(client in network for network in self.networks)

    @property
    def is_authenticated(self) -> bool:
        return True


def get_caller(request: Request) -> Caller:
    """Return what authentication found, which DRF keeps as the request's user."""
    return cast(Caller, request.user)


def client_address(request: Request) -> str | None:
    """Return the address that the middleware of llmgateway determined."""
    return cast(GatewayRequest, request._request).client_address


def describe_sender(request: Request) -> dict[str, Any]:
    """Return the fields of a CallRequest that say how the call was sent."""
    return {
        "key": get_caller(request).key,
        "address": client_address(request),
        "user_agent": request.META.get("HTTP_USER_AGENT", ""),
    }


class Waiting(NamedTuple):
    """A key that opens nothing before somebody has agreed to it."""

    text: str  # fit to show


WAITING = {
    ApiKey.State.FOR_OWNER: "This API key was made for its owner by another person. "
    "It works once its owner has accepted it on the page “API keys”.",
    ApiKey.State.FOR_SECOND: "This API key waits for a second person to agree to it.",
}


NOT_KNOWN = "This API key is not known here, has expired, or was revoked."
NONE_SENT = "No API key was sent. Send yours as `Authorization: Bearer gw-…`."


def find_caller(secret: str) -> Caller | None:
    """Find whom this secret speaks for; None: it is a wrong one. Raises APIException."""
    found = callers.get(key.digest_of(secret))
    if isinstance(found, Waiting):
        raise exceptions.PermissionDenied(found.text)
    return found


def _read_caller(digest: bytes) -> Caller | Waiting | None:
    row = ApiKey.objects.usable().with_digest(digest).first()
    if row is None:
        return _find_waiting(digest)
    row.mark_used(timezone.now())
    return Caller(
        row.owner_id,
        row.prefix,
        frozenset(row.scopes),
        row.shared,
        tuple(map(ip_network, row.addresses)),
        row.made_elsewhere,
    )


def _find_waiting(digest: bytes) -> Waiting | None:
    row = ApiKey.objects.with_digest(digest).select_related("owner").first()
    text = WAITING.get(row.state) if row and row.owner.is_active else None
    return Waiting(text) if text else None


# By digest, those of wrong keys too. The connection is given back: the body may be slow to come.
callers = AgedCache(_read_caller, release=database.release)


def read_secret(meta: Mapping[str, Any]) -> str:
    scheme, secret = meta.get("HTTP_AUTHORIZATION", "").partition(" ")[::2]
    if scheme.lower() == "bearer" and secret.strip():
        return secret.strip()
    return (meta.get("HTTP_API_KEY") or meta.get("HTTP_X_API_KEY") or "").strip()


def refuse_key(request: Request, text: str) -> exceptions.APIException | Fault:
    """Count a wrong key, and return the answer: once too many came from the address, a 429."""
    if seconds := wrong_keys.count(client_address(request)):
        return faults.wrong_keys_paused(seconds)
    return exceptions.AuthenticationFailed(text)


class GatewayKey(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[Caller, None]:
        secret = read_secret(request.META)
        if not secret:
            return self.authenticate_without_key(request)
        caller = find_caller(secret)
        if caller is None:
            raise refuse_key(request, NOT_KNOWN)
        if not caller.may_come_from(client_address(request)):
            raise exceptions.PermissionDenied("This API key may not be used from this address.")
        return caller, None

    def authenticate_without_key(self, request: Request) -> tuple[Caller, None]:
        if request.META.get("HTTP_AUTHORIZATION"):  # of another scheme, or without a key
            raise refuse_key(request, NONE_SENT)
        raise exceptions.NotAuthenticated(NONE_SENT)

    def authenticate_header(self, request: Request) -> str:  # without it DRF answers 403
        return "Bearer"


class KeyOrSession(GatewayKey):
    """A key, or else a page's session, with its CSRF token where the request changes something."""

    def authenticate_without_key(self, request: Request) -> tuple[Caller, None]:
        http = request._request
        sessions.SessionMiddleware(lambda _: HttpResponse()).process_request(http)
        user = get_user(http)
        if not user.is_authenticated:
            return super().authenticate_without_key(request)
        # The token comes in its header: the body is the view's to read.
        http.POST = QueryDict()
        check = CSRFCheck(lambda _: HttpResponse())
        check.process_request(http)
        if check.process_view(http, lambda _: HttpResponse(), (), {}):
            raise exceptions.PermissionDenied(
                "A session needs its CSRF token, in the header X-CSRFToken."
            )
        return Caller(user.pk, "", SESSION_SCOPES, shared=False), None
