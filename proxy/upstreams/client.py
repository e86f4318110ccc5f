"""The only HTTP client: one pooled adapter a process.

A POST is sent again only where no byte of it left, or where its reply was a status that says it
was not done. A connection is kept only after one whole reply with nothing behind it (framing).
It is given up if anything comes while it is idle, or if it was idle for longer than IDLE. Where a
kept one turns out dead the call is a 502, which SDKs retry by themselves. Sockets have no read
timeouts: proxy.relay.watcher keeps the time of every open call and cuts it by shutting its socket.
"""

import ipaddress
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import orjson
import requests
from django.conf import settings
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NewConnectionError

from conversations.shape import Json

from .. import addresses, faults
from ..faults import Fault
from ..providers.base import Kind
from . import framing

CONNECT = 10.0  # seconds to connect and to shake hands
IDLE = 4.0  # seconds: the common servers hang up after 5
LAST = 1 << 14  # bytes of a request that leave last, after a look for a reply that came too early
REQUEST_ID_HEADERS = ("x-request-id", "apim-request-id", "x-amzn-requestid")


class Watched(Protocol):
    """What keeps the time of a request and may cut it: it learns which socket is used."""

    since: float  # when something last came, by time.monotonic

    def carried_by(self, sock: Any) -> None:
        """Note the socket in use, None once it is given back. Raises OSError if it was cut."""


@dataclass
class Sending:
    """One request on its way, as its connection sees it.

    `send` puts it into `here`, where the connection finds it (urllib3 hands nothing down to one),
    and reads from it how far the request came.
    """

    exchange: Watched | None = None
    public_only: bool = False  # refuse an address that is not public
    begun: bool = False  # bytes may have left
    barred: bool = False  # the address is one that calls may not be sent to


class Here(threading.local):
    """What this thread is sending; nothing in particular between two requests."""

    def __init__(self) -> None:
        self.sending = Sending()


here = Here()


def shut_socket(sock: socket.socket) -> None:
    """Of the plain socket: SSLSocket.shutdown would take the TLS object away under the reader's feet."""
    try:
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        pass  # it is shut already


class Carrier:
    """A connection that tells the call under way which socket carries it.

    It refuses addresses that calls may not be sent to, and knows after which reply it may be kept.
    """

    response_class: Any = framing.FramedReply
    sock: Any
    timeout: Any
    exchange: Any = None
    idle_since = 0.0
    used = False  # whether it carried a call before
    tickets = False  # whether a fresh one is sent what is no reply: session tickets of TLS
    early = False  # whether something came before the request was whole
    reply: Any = None  # to the last request, where the connection may be kept after it

    def connect(self):
        self.used = False
        super().connect()  # type: ignore[misc]
        peer = ipaddress.ip_address(self.sock.getpeername()[0].partition("%")[0])
        peer = getattr(peer, "ipv4_mapped", None) or peer
        sending = here.sending
        if addresses.is_barred(str(peer)) or (sending.public_only and not peer.is_global):
            self.close()  # type: ignore[attr-defined]
            sending.barred = True
            raise NewConnectionError(self, "an address that calls may not be sent to")  # type: ignore[arg-type]
        self._hand_over()

    @property
    def is_connected(self) -> bool:
        """Tell urllib3, of an idle connection, that nothing came by it, not even its end."""
        return self.sock is not None and not framing.is_readable(self.sock)

    def request(self, *args, **kwargs):
        self.exchange = here.sending.exchange
        if self.sock is not None:
            self._hand_over()
        self.early, self.reply = False, None
        try:
            super().request(*args, **kwargs)  # type: ignore[misc]
        except OSError:
            self.early = True  # urllib3 reads the reply all the same, where there is one
            raise

    def send(self, data):
        """Look for a reply before the last bytes leave: it cannot be one to the whole request."""
        if self.sock is not None:
            if len(data) > LAST:
                data = memoryview(data)
                super().send(data[:-LAST])  # type: ignore[misc]
                data = data[-LAST:]
            if (self.used or not self.tickets) and framing.is_readable(self.sock):
                self.early = True
        super().send(data)  # type: ignore[misc]

    def _hand_over(self) -> None:
        """Note that bytes may leave from here on. The watcher keeps the time.

        A socket's own limit would be for the whole of a body, however large.
        """
        sending = here.sending
        sending.begun = True
        if sending.exchange is not None:
            self.timeout = None  # or urllib3 would set its own again
            self.sock.settimeout(None)
            sending.exchange.carried_by(self.sock)

    def getresponse(self):
        """Read up to the body. Raises BadReply for what must be the answer to an earlier call."""
        if self.exchange is not None:
            self.exchange.carried_by(self.sock)
        response = super().getresponse()  # type: ignore[misc]
        reply = response._original_response
        if self.early and self.used and response.status < 300 and not reply.interim:
            response.close()
            raise framing.BadReply("The model's server answered before it had the whole request.")
        if self.sock is not None and not self.early and framing.is_clear(response):
            self.reply, reply.sock = reply, self.sock
        return response


class Pool:
    def _get_conn(self, timeout=None):
        connection = super()._get_conn(timeout)  # type: ignore[misc]
        if connection.sock is not None and time.monotonic() - connection.idle_since > IDLE:
            connection.close()
        return connection

    def _put_conn(self, connection):
        if connection is not None:
            connection.idle_since = time.monotonic()
            exchange, connection.exchange = connection.exchange, None
            if exchange is not None:
                exchange.carried_by(None)  # before anybody else can use the socket
            reply, connection.reply, connection.used = connection.reply, None, True
            if reply is None or not reply.alone:
                connection.close()
        super()._put_conn(connection)  # type: ignore[misc]


class PlainConnection(Carrier, HTTPConnection):
    pass


class SecureConnection(Carrier, HTTPSConnection):
    tickets = True


class PlainPool(Pool, HTTPConnectionPool):
    ConnectionCls = PlainConnection


class SecurePool(Pool, HTTPSConnectionPool):
    ConnectionCls = SecureConnection


POOLS = {"http": PlainPool, "https": SecurePool}


class Adapter(HTTPAdapter):
    def init_poolmanager(self, *args, **kwargs):
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy, **kwargs):
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = POOLS
        return manager


adapter = Adapter(pool_connections=20, pool_maxsize=100)


def headers() -> dict[str, str]:
    """Our own credentials; nothing of the caller's travels."""
    ours = {
        "Accept-Encoding": "identity",
        "User-Agent": "llm-gateway",
        "Content-Type": settings.LLM_API_CONTENT_TYPE,
    }
    if settings.LLM_API_AUTHORIZATION and settings.LLM_API_AUTHORIZATION.lower() != "none":
        ours["Authorization"] = settings.LLM_API_AUTHORIZATION
    return ours


def may_take_token(url: str) -> bool:
    """Whether a person's own token may go there: to the origin of LLM_ENDPOINT, and nowhere else."""
    return bool(settings.LLM_ENDPOINT) and urlsplit(url)[:2] == urlsplit(settings.LLM_ENDPOINT)[:2]


def send(
    method: str,
    url: str,
    fields: dict[str, str],
    body: bytes | None = None,
    *,
    exchange: Watched | None = None,
    timeout: float | None = None,
    public_only: bool = False,
) -> requests.Response:
    """Send once. The response's body is unread; without a timeout the watcher keeps the time. Raises Fault."""
    request = requests.PreparedRequest()
    request.method, request.url, request.body, request.hooks = method, url, body, {}
    request.headers = CaseInsensitiveDict(fields)
    if body is not None:
        request.headers["Content-Length"] = str(len(body))
    proxies = (
        {"http": settings.LLM_PROXY, "https": settings.LLM_PROXY} if settings.LLM_PROXY else None
    )
    patience: Any = (CONNECT, timeout)
    sending = here.sending = Sending(exchange, public_only)
    try:
        return adapter.send(
            request,
            stream=True,
            timeout=patience,
            verify=settings.LLM_CA_BUNDLE or True,
            proxies=proxies,
        )
    except framing.BadReply as problem:
        fault = faults.bad_reply(str(problem))
    except requests.exceptions.ConnectTimeout:
        fault = faults.connect_timeout()
    except requests.exceptions.ReadTimeout:
        fault = faults.reply_timeout()
    except requests.exceptions.SSLError:
        fault = faults.untrusted()
    except (requests.exceptions.RequestException, HTTPError, OSError):
        fault = faults.unreachable()
    finally:
        here.sending = Sending()
    if sending.barred:
        fault = faults.address_barred()
    raise fault.copy(unsent=not sending.begun)


def read_body(reply: requests.Response, limit: int, exchange: Watched | None = None) -> bytes:
    """The whole body. Raises Fault past the limit, counted after decompression."""
    pieces, size = [], 0
    while piece := reply.raw.read1(65536, decode_content=True):
        if exchange is not None:
            exchange.since = time.monotonic()
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            reply.close()
            raise faults.reply_too_large()
    return b"".join(pieces)


def read_refusal(reply: requests.Response, kind: Kind, token: str = "") -> Fault:
    """The upstream's own error as the caller's. A 4xx passes with its status and words; our credentials are our affair."""
    try:
        data = read_body(reply, 65536)
    except (Fault, HTTPError, OSError):
        data = b""  # the status alone speaks
    status, error = kind.error(reply.status_code, reply.headers, data)
    wait = faults.retry_after(reply.headers.get("retry-after", ""))
    return faults.refused(status, error, token, wait)


def content_type(reply: requests.Response) -> str:
    return reply.headers.get("content-type", "").split(";")[0].strip().lower()


def request_id(reply: requests.Response) -> str:
    return next((reply.headers[name] for name in REQUEST_ID_HEADERS if name in reply.headers), "")


def fetch_json(url: str, fields: dict[str, str] | None = None) -> Json:
    """A small document of the upstream's own, such as its list of models. Raises Fault."""
    reply = send("GET", url, headers() if fields is None else fields, timeout=5)
    try:
        if reply.status_code in (401, 403):
            raise faults.upstream_credentials()
        if reply.status_code != 200:
            raise faults.upstream_failed(f"The model's server answered {reply.status_code}.")
        return parse_answer(read_body(reply, 4 << 20), content_type(reply))
    except (HTTPError, OSError):
        raise faults.unreachable("The model's server hung up.") from None
    finally:
        reply.close()


def fetch_picture(url: str, asked: str) -> bytes | None:
    """A picture that an upstream made: no credentials, no redirects, from a public address or the origin of `asked`, where it was made.
    None where it is no raster picture, too large, or not to be had."""
    ours = urlsplit(asked)
    if addresses.find_objection(url):
        return None
    fields = {"Accept-Encoding": "identity", "User-Agent": "llm-gateway"}
    try:
        reply = send("GET", url, fields, timeout=30, public_only=urlsplit(url)[:2] != ours[:2])
        with reply:
            data = read_body(reply, 20 << 20) if reply.status_code == 200 else b""
    except (Fault, HTTPError, OSError):
        return None
    return (
        data
        if data.startswith((b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8")) or data[8:12] == b"WEBP"
        else None
    )


def load_json(data: bytes, kind: str) -> Any:
    """What the JSON says. Raises Fault, one that is no answer unless it looks like one that was cut or misspelt."""
    try:
        return orjson.loads(data)
    except ValueError:
        what = "a web page" if "html" in kind else "something that is not JSON"
        fault = faults.bad_reply(f"The model's server answered with {what}.")
        like_json = data.lstrip()[:1] in (b"", b"{", b"[")
        raise (fault if like_json else fault.without_answer()) from None


def parse_answer(data: bytes, kind: str) -> Json:
    """A JSON object that is not an error. Raises Fault."""
    answer = load_json(data, kind)
    if not isinstance(answer, dict):
        raise faults.no_object()
    if error := answer.get("error"):
        raise faults.upstream_failed(faults.error_words(error))
    return answer
