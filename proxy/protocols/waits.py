"""How long an upstream asks to wait before the next try, in every vendor's spelling. Pure.

`retry-after` in seconds, as a duration or a date; in milliseconds `retry-after-ms` and Azure's
`x-ms-retry-after-ms`; Google's `retryDelay` and others' fields of a body; words such as OpenAI's
"Please try again in 6m0s"; and, where a limit is reached, when it is counted anew: OpenAI's
`x-ratelimit-reset-requests`, Anthropic's `anthropic-ratelimit-tokens-reset`, IETF's `ratelimit`.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import ceil

LONGEST = 60  # characters of a wait that are read
MILLISECONDS = ("retry-after-ms", "x-ms-retry-after-ms")
# A number of at least so much is a moment: seconds or milliseconds since 1970.
MOMENT = 10**9
MOMENT_MS, TOO_LARGE = 10**12, 10**15
NUMBER = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?", re.ASCII)
AMOUNT = r"([0-9]+(?:\.[0-9]+)?)"
DURATION = re.compile(rf"(?:{AMOUNT}h)?(?:{AMOUNT}m(?!s))?(?:{AMOUNT}s)?(?:{AMOUNT}ms)?", re.ASCII)
UNITS = (3600.0, 60.0, 1.0, 0.001)  # seconds, of the parts of a duration
FIELD = re.compile(
    r'"(?:retry_?(?:delay|after|after_?seconds)|estimated_time)"\s*:\s*"?'
    r"([0-9][0-9.hms]{0,30})",
    re.I | re.ASCII,
)
WORDS = re.compile(
    r"(?:try again|retry)\s+(?:in|after)\s+([0-9][0-9.hms]{0,30})"
    r"\s*(millisecond|ms\b|min|hour|day)?",
    re.I | re.ASCII,
)
WORD_UNITS = {"millisecond": 0.001, "ms": 0.001, "min": 60.0, "hour": 3600.0, "day": 86400.0}
DRAFT = re.compile(r";\s*r=0\s*;\s*t=([0-9]{1,9})", re.ASCII)  # of the IETF's `ratelimit`


def read_wait(headers: Mapping[str, str]) -> str | None:
    """Return the whole seconds that headers ask for, rounded up; None where they ask for none."""
    for name in MILLISECONDS:
        if NUMBER.fullmatch(headers.get(name, "")):
            return str(ceil(float(headers[name]) / 1000))
    wait = read_seconds(headers.get("retry-after", ""))
    return None if wait is None else str(ceil(wait))


def read_limit(headers: Mapping[str, str], said: str) -> str | None:
    """Return the whole seconds until a limit that was reached ends, as the reply lets one know."""
    wait = _read_said(said)
    if wait is None:
        wait = max(_read_resets(headers), default=None)
    return None if wait is None else str(ceil(wait))


def read_seconds(text: str) -> float | None:
    """Read a number of seconds, a duration (1m20s, 250ms, PT30S), a moment, or a date.

    Of several, which a header that was sent twice amounts to, the longest counts.
    """
    text = text.strip()
    if not text or len(text) > LONGEST:
        return None
    if NUMBER.fullmatch(text):
        return _from_number(float(text))
    duration = text.lower().removeprefix("pt")
    if duration and (found := DURATION.fullmatch(duration)):
        parts = zip(UNITS, found.groups(), strict=True)
        return sum(unit * float(number or 0) for unit, number in parts)
    moment = _read_date(text)
    if moment is not None:
        return _until(moment)
    waits = [read_seconds(each) for each in text.split(",")] if "," in text else [None]
    return None if None in waits else max(wait for wait in waits if wait is not None)


def _from_number(number: float) -> float | None:
    if number >= TOO_LARGE:
        return None
    if number >= MOMENT:
        seconds = number / 1000 if number >= MOMENT_MS else number
        return _until(datetime.fromtimestamp(seconds, UTC))
    return number


def _until(moment: datetime) -> float:
    """Return the seconds until then, to the nearest one: clocks differ."""
    return max(0.0, round((moment - datetime.now(UTC)).total_seconds()))


def _read_date(text: str) -> datetime | None:
    """Read an HTTP date, or one of RFC 3339; without a zone it is in UTC."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = read(text)
        except (ValueError, TypeError, OverflowError):
            continue
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def _read_said(said: str) -> float | None:
    """Read the wait that a body names in a field, or in its words."""
    if found := FIELD.search(said):
        return read_seconds(found[1].rstrip("."))
    if found := WORDS.search(said):
        wait = read_seconds(found[1].rstrip("."))
        unit = WORD_UNITS.get((found[2] or "").lower(), 1.0)
        return None if wait is None else wait * unit
    return None


def _read_resets(headers: Mapping[str, str]) -> Iterator[float]:
    """Yield the seconds until each limit that is used up is counted anew."""
    for name in headers:
        name = name.lower()
        if name == "ratelimit":
            yield from (float(wait) for wait in DRAFT.findall(headers[name]))
        elif "ratelimit" in name and "reset" in name:
            left = NUMBER.fullmatch(headers.get(name.replace("reset", "remaining"), "0").strip())
            wait = read_seconds(headers[name])
            if wait is not None and left and not float(left[0]):
                yield wait
