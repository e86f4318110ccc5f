"""The only HTTP client.

A POST is sent again only where no byte of it left, or where its reply was a status that says it
was not done. Where a kept connection turns out dead the call is a 502, which SDKs retry by
themselves.
"""

import errno
import logging
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import HTTPError

from .. import addresses, faults, redaction
from ..faults import Fault
from ..providers.base import Sent
from . import framing
from .body import Truncated
from .connections import Sending, Watched, adapter, here, pictures
from .replies import is_answer, parse_answer, read_body, read_content_type

CONNECT = 10.0  # seconds to connect and to shake hands
# Of this machine, where it cannot open another connection to anybody.
OURS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL)
log = logging.getLogger(__name__)


def make_environment_headers() -> dict[str, str]:
    """Make headers with the environment's credentials; nothing of the caller's travels."""
    headers = {
        "Accept-Encoding": "identity",
        "User-Agent": "llm-gateway",
        "Content-Type": settings.LLM_API_CONTENT_TYPE,
    }
    if settings.LLM_API_AUTHORIZATION and settings.LLM_API_AUTHORIZATION.lower() != "none":
        headers["Authorization"] = settings.LLM_API_AUTHORIZATION
    return headers


def may_take_token(url: str) -> bool:
    """Return whether a caller's own token may go there: only to the origin of LLM_ENDPOINT."""
    return bool(settings.LLM_ENDPOINT) and urlsplit(url)[:2] == urlsplit(settings.LLM_ENDPOINT)[:2]


def post(
    sent: Sent, *, exchange: Watched | None = None, timeout: float | None = None
) -> requests.Response:
    """Send once; the body of the reply is unread. Raises Fault.

    Without a timeout the exchange is cut by its watcher.
    """
    request = _prepare("POST", sent.url, sent.headers, sent.body)
    return _send(request, Sending(exchange), timeout)


def get(url: str, headers: dict[str, str], *, timeout: float) -> requests.Response:
    """Ask once; the body of the reply is unread. Raises Fault."""
    return _send(_prepare("GET", url, headers), Sending(), timeout)


def _prepare(
    method: str, url: str, headers: dict[str, str], body: bytes | None = None
) -> requests.PreparedRequest:
    request = requests.PreparedRequest()
    request.method, request.url = method, url
    request.headers = CaseInsensitiveDict(headers)
    request.body, request.hooks = body, {}
    if body is not None:
        request.headers["Content-Length"] = str(len(body))
    return request


def _send(
    request: requests.PreparedRequest, sending: Sending, timeout: float | None
) -> requests.Response:
    proxies = {"http": settings.LLM_PROXY, "https": settings.LLM_PROXY}
    patience: Any = (CONNECT, timeout)
    here.sending = sending
    try:
        return (pictures if sending.is_apart else adapter).send(
            request,
            stream=True,
            timeout=patience,
            verify=settings.LLM_CA_BUNDLE or True,
            proxies=proxies if settings.LLM_PROXY else None,
        )
    except framing.BadReply as problem:
        fault = faults.bad_reply(str(problem))
    except requests.exceptions.ConnectTimeout:
        fault = faults.connect_timeout()
    except requests.exceptions.ReadTimeout:
        fault = faults.reply_timeout()
    except requests.exceptions.SSLError as problem:
        fault = faults.unreachable() if is_cut(problem) else faults.untrusted()
    except (requests.exceptions.RequestException, HTTPError) as problem:
        fault = faults.overloaded().unsent_by_us() if is_ours(problem) else faults.unreachable()
    except OSError as problem:  # of a file of this machine: the wire's are wrapped
        fault = faults.internal_error()
        log.error("a call could not be sent: can LLM_CA_BUNDLE be read?", exc_info=problem)
    finally:
        here.sending = Sending()
    if sending.barred:
        fault = faults.address_barred()
    raise fault.copy(unsent=not sending.begun)


def is_cut(problem: BaseException) -> bool:
    """Return whether TLS failed because the other side hung up: that says nothing of who it is."""
    return any(isinstance(each, ssl.SSLEOFError) for each in list_causes(problem))


def is_ours(problem: BaseException) -> bool:
    """Return whether this machine had no file, memory or port left for a connection."""
    return any(isinstance(each, OSError) and each.errno in OURS for each in list_causes(problem))


def list_causes(problem: BaseException | None) -> Iterator[BaseException]:
    while problem is not None:
        yield problem
        problem = problem.__cause__ or problem.__context__


def fetch_json(url: str, headers: dict[str, str] | None = None) -> Any:
    """Fetch a small document of the upstream's own, such as its list of models. Raises Fault."""
    reply = get(url, make_environment_headers() if headers is None else headers, timeout=5)
    try:
        if reply.status_code in (401, 403):
            raise faults.upstream_credentials()
        if not is_answer(reply.status_code):
            raise faults.upstream_failed(f"The model's server answered {reply.status_code}.")
        data = redaction.hide_document(read_body(reply, 4 << 20))
        return parse_answer(data, read_content_type(reply))
    except Truncated:
        raise faults.unreachable("The model's server hung up.") from None
    finally:
        reply.close()


def may_be_public(url: str) -> bool:
    """Return whether a proxy may be asked for it; without one, the connection looks by itself.

    A name that is not known here is the proxy's to judge.
    """
    if not settings.LLM_PROXY:
        return True
    try:
        return bool(addresses.resolve(urlsplit(url).hostname or "", None, public_only=True))
    except addresses.Barred:
        return False
    except (OSError, UnicodeError):
        return True


def fetch_picture(url: str, origin: str) -> bytes | None:
    """Fetch a picture that an upstream made, without credentials and without redirects.

    It may be at a public address, or where it was made: at the origin of `origin`. None where it
    is no raster picture, too large, or cannot be fetched.
    """
    if addresses.find_objection(url):
        return None
    elsewhere = urlsplit(url)[:2] != urlsplit(origin)[:2]
    if elsewhere and not may_be_public(url):
        return None
    request = _prepare("GET", url, {"Accept-Encoding": "identity", "User-Agent": "llm-gateway"})
    sending = Sending(public_only=elsewhere, is_apart=True)
    try:
        with _send(request, sending, 30) as reply:
            data = read_body(reply, 20 << 20) if reply.status_code == 200 else b""
    except (Fault, Truncated):
        return None
    is_raster = data.startswith((b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8")) or data[8:12] == b"WEBP"
    return data if is_raster else None
