"""The demo answers this machine only: its passwords are known to everyone."""

import ipaddress
import re
from collections.abc import Callable
from typing import NamedTuple

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, JsonResponse

FORWARDED = re.compile(r"HTTP_(X_FORWARDED(_.+)?|FORWARDED|X_REAL_IP|VIA)")


class Refusal(NamedTuple):
    status: int
    code: str
    text: str


FROM_ELSEWHERE = Refusal(
    403,
    "demo_loopback_only",
    "The demo answers this machine only. To serve others: manage.py serve.",
)
FORWARDED_ON = Refusal(
    403,
    "demo_forwarded",
    "The demo answers no forwarded requests. To serve behind a proxy: manage.py serve.",
)
OTHER_HOST = Refusal(400, "demo_host", "The demo answers to localhost, 127.0.0.1 and [::1] only.")


class LoopbackOnly:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if refusal := find_refusal(request):
            return answer(request, refusal)
        return self.get_response(request)


def answer(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    if not request.path_info.startswith(("/v1/", "/api/")):
        text = refusal.text + "\n"
        kind = "text/plain; charset=utf-8"
        return HttpResponse(text, status=refusal.status, content_type=kind)
    error = {
        "message": refusal.text,
        "type": "invalid_request_error",
        "param": None,
        "code": refusal.code,
    }
    return JsonResponse({"error": error}, status=refusal.status)


def find_refusal(request: HttpRequest) -> Refusal | None:
    if not is_loopback(request.META.get("REMOTE_ADDR", "")):
        return FROM_ELSEWHERE
    if any(FORWARDED.fullmatch(name) for name in request.META):
        return FORWARDED_ON
    try:
        request.get_host()  # against ALLOWED_HOSTS, which are the loopback's names in the demo
    except DisallowedHost:
        return OTHER_HOST
    return None


def is_loopback(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback
