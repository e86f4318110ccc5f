"""Django's middleware for the pages; the API, without session, cookie and page, passes it by.

Subclasses, so that the admin's system checks find what they look for.
"""

import re
import zoneinfo
from collections.abc import Callable
from typing import Any

from django.contrib.auth import middleware as auth
from django.contrib.messages import middleware as messages
from django.contrib.sessions import middleware as sessions
from django.http import HttpRequest, HttpResponse
from django.middleware import clickjacking, common, csrf
from django.utils import timezone
from django.utils.deprecation import MiddlewareMixin
from uuid_utils.compat import uuid7

from conversations.gateway_request import GatewayRequest
from llmgateway import trusted_proxies
from llmgateway.ops import metrics
from proxy import redaction, request_id
from proxy.api import paths

API = (*paths.PREFIXES, "/ping", "/healthz", "/readyz", "/metrics")


def is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith(API)


class PagesOnly(MiddlewareMixin):
    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request) if is_api(request) else super().__call__(request)


class SessionMiddleware(PagesOnly, sessions.SessionMiddleware):
    def process_response(self, request: HttpRequest, response: Any) -> Any:
        try:
            return super().process_response(request, response)
        except Exception:  # signed out elsewhere meanwhile, or the database died
            response.close()  # nobody else has it: the call that it carries would stay open
            raise


class CommonMiddleware(PagesOnly, common.CommonMiddleware):
    pass


class CsrfViewMiddleware(PagesOnly, csrf.CsrfViewMiddleware):
    # Django calls this hook apart from __call__.
    def process_view(self, request: HttpRequest, *args: Any) -> Any:
        return None if is_api(request) else super().process_view(request, *args)


class AuthenticationMiddleware(PagesOnly, auth.AuthenticationMiddleware):
    pass


class MessageMiddleware(PagesOnly, messages.MessageMiddleware):
    pass


class XFrameOptionsMiddleware(PagesOnly, clickjacking.XFrameOptionsMiddleware):
    pass


PAGES_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types gw"
)
ADMIN_CSP = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
Respond = Callable[[HttpRequest], HttpResponse]


class RequestMiddleware:
    """Gives each request an id and its client's address, each reply the id, each page a policy."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: GatewayRequest) -> HttpResponse:
        request.id = str(uuid7())
        request.client_address = trusted_proxies.find_client(request.META)
        request_id.current.set(request.id)
        request.path_info, deployment = paths.find_meant(request.path_info)
        request.META[paths.DEPLOYMENT] = deployment
        redaction.presented.set(redaction.read_presented(request.META))
        response = self.get_response(request)
        response.headers.setdefault("x-request-id", request.id)
        # for what is logged while the body goes out
        request_id.current.set(response.headers["x-request-id"])
        metrics.answered(request, response.status_code)
        if request.path_info.startswith(paths.PREFIXES):
            response.headers.setdefault("Cache-Control", "no-store")
        if not is_api(request):
            response.headers.setdefault(
                "Content-Security-Policy",
                ADMIN_CSP if re.match("/admin/", request.path_info) else PAGES_CSP,
            )
        return response


class ViewersTimeZone:
    """UTC inside, the viewer's zone on pages."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if is_api(request):
            return self.get_response(request)
        name = request.user.time_zone if request.user.is_authenticated else ""
        try:
            zone = zoneinfo.ZoneInfo(name or "UTC")
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            zone = zoneinfo.ZoneInfo("UTC")
        with timezone.override(zone):
            return self.get_response(request)
