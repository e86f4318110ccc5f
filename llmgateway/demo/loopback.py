"""The demo answers this machine only: its passwords are known to everyone."""

import ipaddress
import re

from django.core.exceptions import DisallowedHost
from django.http import HttpResponse, JsonResponse

FORWARDED = re.compile(r"HTTP_(X_FORWARDED(_.+)?|FORWARDED|X_REAL_IP|VIA)")


class LoopbackOnly:
    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        if refusal := refused(request):
            status, code, text = refusal
            if request.path_info.startswith(("/v1/", "/api/")):
                return JsonResponse(
                    {
                        "error": {
                            "message": text,
                            "type": "invalid_request_error",
                            "param": None,
                            "code": code,
                        }
                    },
                    status=status,
                )
            return HttpResponse(
                text + "\n", status=status, content_type="text/plain; charset=utf-8"
            )
        return self.get_response(request)


def refused(request) -> tuple[int, str, str] | None:
    if not is_loopback(request.META.get("REMOTE_ADDR", "")):
        return (
            403,
            "demo_loopback_only",
            "The demo answers this machine only. To serve others: manage.py serve.",
        )
    if any(FORWARDED.fullmatch(name) for name in request.META):
        return (
            403,
            "demo_forwarded",
            "The demo answers no forwarded requests. To serve behind a proxy: manage.py serve.",
        )
    try:
        request.get_host()  # against ALLOWED_HOSTS, which are the loopback's names in the demo
    except DisallowedHost:
        return 400, "demo_host", "The demo answers to localhost, 127.0.0.1 and [::1] only."
    return None


def is_loopback(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback
