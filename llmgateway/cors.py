"""Which other sites' scripts may call the API from a browser: those of CORS_ORIGINS.

They come with a key, never with a session: no credentials of the browser's are allowed. Pages have
no such door.
"""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

from llmgateway.middleware import is_api

METHODS = "GET, POST, PUT, PATCH, DELETE"
SHOWN = "x-request-id, x-conversation-id, x-should-retry, retry-after"
KEPT = "600"  # seconds that a browser may remember what it was told


class CorsMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not settings.CORS_ORIGINS or not is_api(request):
            return self.get_response(request)
        origin = request.META.get("HTTP_ORIGIN", "")
        is_allowed = origin in settings.CORS_ORIGINS
        wished = request.META.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD")
        is_question = request.method == "OPTIONS" and bool(wished)
        response = HttpResponse(status=204) if is_question else self.get_response(request)
        patch_vary_headers(response, ["Origin"])
        if is_allowed:
            response["Access-Control-Allow-Origin"] = origin
            response["Access-Control-Expose-Headers"] = SHOWN
        if is_allowed and is_question:
            asked = request.META.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
            response["Access-Control-Allow-Methods"] = METHODS
            response["Access-Control-Allow-Headers"] = asked or "authorization, content-type"
            response["Access-Control-Max-Age"] = KEPT
        return response
