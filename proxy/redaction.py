"""Secrets are hidden by value: in all that an upstream wrote, and in every line of the log.

An upstream may repeat what it was sent: the whole header, the key alone, a part of it, in base64,
hex, percent or JSON escapes, over several lines. A run of half a secret is hidden, and of 24
characters in any case; less is what upstreams show on purpose (`sk-…abcd`). A value of fewer than
eight characters is hidden only behind its scheme: by itself it could be any word.

An answer is searched for whole secrets in their own spelling, within one event of a stream: what a
model says passes unchanged otherwise, and nothing is held back.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson
from django.conf import settings

from conversations import bounded_json, exact_json

MASK = "[secret]"
SHORTEST = 8  # characters of what is searched for
ENOUGH = 24  # characters of a long secret that are hidden wherever they come
DEEPEST = 64  # levels of a JSON value
GRAM, STEP = 5, 4  # of SHORTEST characters, five begin at a place that four divide

NAMES = (  # of settings; a key that is no text was not made yet (llmgateway.secret)
    "LLM_API_AUTHORIZATION",
    "SUBMISSIONS_API_AUTHORIZATION",
    "SUBMISSIONS_HMAC_SECRET",
    "CHECKPOINT_AUTHORIZATION",
    "NOTICE_SECRET",
    "METRICS_TOKEN",
    "SECRET_KEY",
    "CHECKPOINT_KEY",
    "PSEUDONYM_KEY",
)
PRESENTED = ("HTTP_AUTHORIZATION", "HTTP_API_KEY", "HTTP_X_API_KEY")

FOLD = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
ESCAPE = re.compile(
    r"%u00(?P<a>[0-9a-f]{2})|%(?:25)*(?P<b>[0-9a-f]{2})|\\+(?:u00|x)(?P<c>[0-9a-f]{2})"
    r"|&#x0*(?P<d>[0-9a-f]{2});|&#0*(?P<decimal>[0-9]{2,3});|&(?P<named>amp|lt|gt|quot|apos|sol);"
    r"|\\+(?=[^\w\s])",
    re.IGNORECASE | re.ASCII,
)
NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'", "sol": "/"}
GAP = re.compile(r"\s+|(?:\\+[nrt])+")

# What the caller of the request under way sent as secrets: headers, as they came.
presented: ContextVar[tuple[str, ...]] = ContextVar("presented", default=())


def read_presented(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the headers of a request that may hold a key."""
    return tuple(meta[name] for name in PRESENTED if meta.get(name))


def present(secret: str) -> None:
    """Have another secret of the request under way hidden."""
    if secret and secret not in presented.get():
        presented.set((*presented.get(), secret))


def hide(text: str) -> str:
    """Return the text with a mask in place of each secret of this process and this request."""
    if len(text) < SHORTEST:
        return text
    searchers = (_searcher(_read_settings()), _searcher(presented.get()))
    for searcher in searchers:
        text = searcher.hide_headers(text)
    plain = unescape(text)
    closed_up = close_up(plain)  # no secret has a gap, so all that are in the others are here
    if not any(searcher.finds(closed_up) for searcher in searchers):
        return text
    for form in (text, plain, closed_up):
        hidden = form
        for searcher in searchers:
            hidden = searcher.hide(hidden)
        left = close_up(unescape(hidden))
        if not any(searcher.finds(left) for searcher in searchers):
            return hidden
    return MASK


def hide_value(value: Any, levels: int = DEEPEST) -> Any:
    """Hide secrets in all texts of a JSON value, names of fields included.

    What lies deeper than so many levels is hidden whole: no error says anything there.
    """
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, list | dict) and not levels:
        return MASK
    if isinstance(value, list):
        return [hide_value(each, levels - 1) for each in value]
    if isinstance(value, dict):
        return {hide(name): hide_value(each, levels - 1) for name, each in value.items()}
    return value


def hide_document(data: bytes) -> bytes:
    """Hide secrets in a document that is no answer; it stays JSON if it was."""
    try:
        value = bounded_json.parse(data)
    except ValueError:
        return hide(data.decode(errors="replace")).encode()
    hidden = hide_value(value)
    return data if hidden == value else exact_json.dumps(hidden)


def spell_sent() -> tuple[bytes, ...]:
    """Return the whole secrets that upstreams are sent, as an answer's bytes would hold them."""
    ours = (settings.LLM_API_AUTHORIZATION, *settings.UPSTREAM_SECRETS.values())
    return _spell((*ours, *presented.get()))


def hide_whole(data: bytes, spellings: tuple[bytes, ...]) -> bytes:
    """Hide these in bytes of an answer, which stays JSON if it was."""
    for spelling in spellings:
        if spelling in data:
            data = data.replace(spelling, MASK.encode())
    return data


def _read_settings() -> tuple[str, ...]:
    values = [getattr(settings, name) for name in NAMES]
    values += settings.UPSTREAM_SECRETS.values()
    values += (database.get("PASSWORD") for database in settings.DATABASES.values())
    for address in filter(None, (settings.LLM_PROXY, settings.NOTICE_MAIL)):
        values.append(urlsplit(address).password)
    return tuple(value for value in values if type(value) is str and value)


def unescape(text: str) -> str:
    """Take escapes of URLs, JSON, HTML and programs out, also where it was done twice."""
    if not any(sign in text for sign in "%\\&"):
        return text
    for _ in range(3):
        if (plainer := ESCAPE.sub(_read_escape, text)) == text:
            break
        text = plainer
    return text


def close_up(text: str) -> str:
    """Take all space out, and escapes of ends of lines."""
    return GAP.sub("", text) if "\\" in text else "".join(text.split())


def _read_escape(match: re.Match[str]) -> str:
    if match["named"]:
        return NAMED[match["named"].lower()]
    if match["decimal"]:
        return chr(int(match["decimal"]))
    digits = match["a"] or match["b"] or match["c"] or match["d"]
    return chr(int(digits, 16)) if digits else ""


# What is searched for ----------------------------------------------------------------------------


class Needle(NamedTuple):
    text: str  # without capitals
    least: int  # characters of it in a row that are hidden


def list_parts(secret: str) -> Iterator[str]:
    """Yield what of it proves something by itself, without its scheme: keys and passwords."""
    value = secret.partition(" ")[2].strip() or secret
    yield value
    if secret.lower().startswith("basic "):
        try:
            value = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return
        yield value
    if ":" in value:
        yield from value.split(":")


def is_long(part: str) -> bool:
    return len(part) >= SHORTEST


def list_needles(secret: str) -> Iterator[Needle]:
    closed_up = ("".join(part.split()) for part in list_parts(secret))
    for part in filter(is_long, closed_up):
        for spelling in {part, part.encode().hex(), *_in_base64(part.encode())}:
            if is_long(spelling):
                least = min(max(SHORTEST, (len(spelling) + 1) // 2), ENOUGH)
                yield Needle(spelling.translate(FOLD), least)


def _in_base64(data: bytes) -> Iterator[str]:
    """Yield what base64 makes of it behind any other bytes, less the signs that hold of those."""
    for before in range(3):
        bits = 8 * (before + len(data))
        sure = base64.b64encode(bytes(before) + data)[-(-8 * before // 6) : bits // 6].decode()
        yield sure
        yield sure.replace("+", "-").replace("/", "_")


@lru_cache(maxsize=64)
def _spell(secrets: tuple[str, ...]) -> tuple[bytes, ...]:
    """Return the bytes of each whole secret, also as JSON that escapes slashes; longest first."""
    parts = {part for secret in secrets for part in filter(is_long, list_parts(secret))}
    quoted = {orjson.dumps(part)[1:-1] for part in parts}
    slashed = {part.replace(b"/", rb"\/") for part in quoted}
    return tuple(sorted(quoted | slashed, key=len, reverse=True))


class Searcher:
    """Finds runs of some secrets in a text, by the grams that those consist of."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self.grams: dict[str, list[tuple[Needle, int]]] = {}
        for needle in {needle for secret in secrets for needle in list_needles(secret)}:
            for at in range(len(needle.text) - GRAM + 1):
                self.grams.setdefault(needle.text[at : at + GRAM], []).append((needle, at))
        # whole ones whose secret is too short to be searched for by itself
        headers = [each for each in secrets if is_long(each) and not any(list_needles(each))]
        self.headers = re.compile(rf"\b(?:{'|'.join(map(re.escape, headers))})\b", re.IGNORECASE)
        self.has_headers = bool(headers)

    def hide_headers(self, text: str) -> str:
        return self.headers.sub(MASK, text) if self.has_headers else text

    def finds(self, text: str) -> bool:
        runs = self._list_runs(text.translate(FOLD))
        return any(end - start >= needle.least for needle, start, end in runs)

    def hide(self, text: str) -> str:
        """Hide what is found, and each shorter piece of the same secret."""
        runs = list(self._list_runs(text.translate(FOLD)))
        found = {needle for needle, start, end in runs if end - start >= needle.least}
        pieces, done = [], 0
        for start, end in sorted({run[1:] for run in runs if run[0] in found}):
            if end - start >= SHORTEST and end > done:
                pieces += [text[done:start], MASK] if start >= done else []
                done = end
        return "".join(pieces) + text[done:]

    def _list_runs(self, text: str) -> Iterator[tuple[Needle, int, int]]:
        if not self.grams:
            return
        for at in range(0, len(text) - GRAM + 1, STEP):
            for needle, offset in self.grams.get(text[at : at + GRAM], ()):
                yield needle, *_extend(text, at, needle.text, offset)


def _extend(text: str, at: int, needle: str, offset: int) -> tuple[int, int]:
    """Return where the run begins and ends in the text that has a gram of the needle at `at`."""
    start, end = at, at + GRAM
    while start and start - at + offset > 0 and text[start - 1] == needle[start - 1 - at + offset]:
        start -= 1
    longest = min(len(text), at - offset + len(needle))
    while end < longest and text[end] == needle[end - at + offset]:
        end += 1
    return start, end


_searcher = lru_cache(maxsize=64)(Searcher)
