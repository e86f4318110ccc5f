"""The API's description, for programs and for people."""

import orjson
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from .schema import DOCUMENT

# Swagger sets styles by script, which this allows, and draws its icons from data: addresses.
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


def schema(request: HttpRequest) -> HttpResponse:
    return HttpResponse(orjson.dumps(DOCUMENT), content_type="application/json")


def docs(request: HttpRequest) -> HttpResponse:
    page = render(request, "api_docs.html")
    page["Content-Security-Policy"] = CSP
    return page
