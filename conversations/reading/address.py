"""Values that a page reads from an address, and the address of the next one. Pure."""

import re
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.http import url_has_allowed_host_and_scheme


def parse_number(text: str | None, default: int) -> int:
    return int(text) if text and re.fullmatch(r"[0-9]{1,6}", text) else default


def parse_moment(text: str | None) -> datetime | None:
    """Read a moment of ISO 8601; one without a time zone is None."""
    try:
        moment = parse_datetime(text) if text else None
    except ValueError:
        return None
    return moment if moment and timezone.is_aware(moment) else None


def query_string(**values: Any) -> str:
    return "?" + urlencode({key: value for key, value in values.items() if value is not None})


def next_page(request: HttpRequest, otherwise: str) -> str:
    """Return the path that a form names as its next page, if it is a path of this site.

    A word that is none could be the name of a URL, for which `redirect` looks.
    """
    path = request.POST.get("next", "")
    is_ours = path.startswith("/") and url_has_allowed_host_and_scheme(path, {request.get_host()})
    return path if is_ours else otherwise
