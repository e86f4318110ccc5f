"""Values that a page reads from an address, and the query string of the next one. Pure."""

import re
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.utils import timezone
from django.utils.dateparse import parse_datetime


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
