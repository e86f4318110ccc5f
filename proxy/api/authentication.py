"""Who calls: an API key, sent as `Authorization: Bearer`, `api-key` or `x-api-key`. A key that is presented decides, even a wrong one.

Look-ups are kept for seconds, in the process: a revoked key, or a deactivated owner, is refused within
conversations.aged_cache.OLDEST seconds.
"""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from django.contrib.auth import get_user
from django.contrib.sessions import middleware as sessions
from django.http import HttpResponse, QueryDict
from django.utils import timezone
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, CSRFCheck

from conversations import database
from conversations.aged_cache import AgedCache

from ..models import ApiKey, key

EVERY_SCOPE = frozenset(ApiKey.Scope.values) - {
    ApiKey.Scope.EXPORT
}  # of a page's session: an export needs a right of its own


class Caller(NamedTuple):
    """On whose behalf a request is made."""

    owner: int
    key: str  # the prefix
    scopes: frozenset[str]
    shared: bool
    networks: tuple[IPv4Network | IPv6Network, ...] = ()  # that it may be used from; none: any

    def may_come_from(self, address: str | None) -> bool:
        if not self.networks:
            return True
        try:
            here = ip_address(address or "")
        except ValueError:
            return False
        here = getattr(here, "ipv4_mapped", None) or here
        return any(here in network for network in self.networks)

    @property
    def is_authenticated(self) -> bool:
        return True


def caller_of(secret: str) -> Caller | None:
    return callers.get(key.digest_of(secret))


def _read_caller(digest: bytes) -> Caller | None:
    found = ApiKey.objects.usable().with_digest(digest).first()
    if found is None:
        return None
    found.used(timezone.now())
    networks = tuple(map(ip_network, found.addresses))
    return Caller(found.owner_id, found.prefix, frozenset(found.scopes), found.shared, networks)


# By digest, wrong keys among them. The connection is given back: the caller's body may be slow to come.
callers = AgedCache(_read_caller, release=database.release)


def presented(meta: dict) -> str:
    scheme, _, secret = meta.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "bearer" and secret.strip():
        return secret.strip()
    return (meta.get("HTTP_API_KEY") or meta.get("HTTP_X_API_KEY") or "").strip()


class GatewayKey(BaseAuthentication):
    def authenticate(self, request):
        secret = presented(request.META)
        if not secret:
            return self.without_key(request)
        caller = caller_of(secret)
        if caller is None:
            raise exceptions.AuthenticationFailed(
                "This API key is not known here, has expired, or was revoked."
            )
        if not caller.may_come_from(request._request.client_address):
            raise exceptions.PermissionDenied("This API key may not be used from this address.")
        return caller, None

    def without_key(self, request):
        raise exceptions.NotAuthenticated(
            "No API key was sent. Send yours as `Authorization: Bearer gw-…`."
        )

    def authenticate_header(self, request) -> str:  # without it DRF answers 403
        return "Bearer"


class KeyOrSession(GatewayKey):
    """A page's session serves where no key is presented; with its CSRF token, where something is changed."""

    def without_key(self, request):
        http = request._request
        sessions.SessionMiddleware(lambda _: HttpResponse()).process_request(http)
        user = get_user(http)
        if not user.is_authenticated:
            return super().without_key(request)
        http.POST = QueryDict()  # the token comes in its header: the body is the view's to read
        check = CSRFCheck(lambda _: HttpResponse())
        check.process_request(http)
        if check.process_view(http, lambda _: HttpResponse(), (), {}):
            raise exceptions.PermissionDenied(
                "A session needs its CSRF token, in the header X-CSRFToken."
            )
        return Caller(user.pk, "", EVERY_SCOPE, shared=False), None
