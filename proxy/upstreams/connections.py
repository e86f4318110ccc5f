"""The connections to upstreams: one pooled adapter a process, and one for the pictures of results.

A host's name is looked up once for a connection: what it stands for is judged, and the connection
goes to one of those addresses. TLS and HTTP say the name. Through LLM_PROXY the proxy looks it up.

A connection is kept only after one complete reply with nothing behind it (framing). It is given up
if anything comes while it is idle, or if it was idle for longer than IDLE. Sockets have no read
timeouts: proxy.relay.watcher keeps the time of every open call and cuts it by shutting its socket.
"""

import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, cast

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from .. import addresses
from . import framing

IDLE = 4.0  # seconds: the common servers hang up after 5
LAST = 1 << 14  # bytes of a request that leave last, after a look for a reply that came too early


class Watched(Protocol):
    """What keeps the time of a request and may cut it: it learns which socket is used."""

    since: float  # when something last came, by time.monotonic

    def carried_by(self, sock: Any) -> None:
        """Note the socket in use, None once it is given back. Raises OSError if it was cut."""


@dataclass
class Sending:
    """One request on its way, as its connection sees it.

    `client` puts it into `here`, where the connection finds it (urllib3 hands nothing down to one),
    and reads from it how far the request came.
    """

    exchange: Watched | None = None
    public_only: bool = False  # refuse an address that is not public
    is_apart: bool = False  # by a connection that serves nothing else, before or after
    begun: bool = False  # bytes may have left
    barred: bool = False  # the address is one that calls may not be sent to


class Here(threading.local):
    """The request that this thread is sending; an empty one between two requests."""

    def __init__(self) -> None:
        self.sending = Sending()


here = Here()


def shut_socket(sock: socket.socket) -> None:
    """Shut the plain socket: SSLSocket.shutdown would take the TLS object from its reader."""
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
    proxy: Any
    port: int
    _dns_host: str
    exchange: Watched | None = None
    idle_since = 0.0
    used = False  # whether it carried a call before
    is_apart = False  # whether it serves one request alone
    tickets = False  # whether a fresh one is sent what is no reply: session tickets of TLS
    early = False  # whether something came before the request had left
    reply: Any = None  # to the last request, where the connection may be kept after it

    def connect(self) -> None:
        self.used = False
        super().connect()  # type: ignore[misc]
        self._hand_over()

    def _new_conn(self) -> socket.socket:
        """Connect to the first address of the host's that answers.

        Raises urllib3's HTTPError, also where one of them may not be called: nothing left then.
        """
        if self.proxy is not None:
            return cast(socket.socket, super()._new_conn())  # type: ignore[misc]
        name, sending = self._dns_host, here.sending
        try:
            found = addresses.resolve(name, self.port, public_only=sending.public_only)
            return self._connect_to(found)
        except addresses.Barred:
            sending.barred = True
            raise NewConnectionError(cast(Any, self), "a barred address") from None
        except (OSError, UnicodeError):
            raise NewConnectionError(cast(Any, self), "a name without an address") from None
        finally:
            self._dns_host = name  # which TLS and HTTP speak of

    def _connect_to(self, found: list[str]) -> socket.socket:
        *others, last = found
        for self._dns_host in others:
            with suppress(NewConnectionError, ConnectTimeoutError):
                return cast(socket.socket, super()._new_conn())  # type: ignore[misc]
        self._dns_host = last
        return cast(socket.socket, super()._new_conn())  # type: ignore[misc]

    @property
    def is_connected(self) -> bool:
        """Tell urllib3, of an idle connection, that nothing came by it, not even its end."""
        return self.sock is not None and not framing.is_readable(self.sock)

    def request(self, *args: Any, **kwargs: Any) -> None:
        self.exchange, self.is_apart = here.sending.exchange, here.sending.is_apart
        if self.sock is not None:
            self._hand_over()
        self.early, self.reply = False, None
        try:
            super().request(*args, **kwargs)  # type: ignore[misc]
        except OSError:
            self.early = True  # urllib3 reads the reply all the same, where there is one
            raise

    def send(self, data: Any) -> None:
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

        A socket's own limit would be for all of a body, however large.
        """
        sending = here.sending
        sending.begun = True
        if sending.exchange is not None:
            self.timeout = None  # or urllib3 would set its own again
            self.sock.settimeout(None)
            sending.exchange.carried_by(self.sock)

    def getresponse(self) -> Any:
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
    """A pool that keeps a connection for IDLE, and only after a reply that ended alone."""

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection = super()._get_conn(timeout)  # type: ignore[misc]
        if connection.sock is not None and time.monotonic() - connection.idle_since > IDLE:
            connection.close()
        return connection

    def _put_conn(self, connection: Any) -> None:
        if connection is not None:
            connection.idle_since = time.monotonic()
            exchange, connection.exchange = connection.exchange, None
            if exchange is not None:
                exchange.carried_by(None)  # before another call can use the socket
            reply, connection.reply = connection.reply, None
            connection.used = True
            if reply is None or not reply.alone or connection.is_apart:
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
    """An adapter whose pools are ours, through a proxy too."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> ProxyManager:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = POOLS
        return manager


adapter = Adapter(pool_connections=20, pool_maxsize=100)
# An answer names any address it likes: none of these connections carried a call, or will.
pictures = Adapter(pool_connections=1, pool_maxsize=1)
