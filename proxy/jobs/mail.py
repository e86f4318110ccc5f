"""One mail by the server that NOTICE_MAIL names, through the address guard and within its time.

It goes over TLS; without it only to a server that UPSTREAM_HTTP_HOSTS names.
"""

import smtplib
import socket
import ssl
from collections.abc import Callable
from contextlib import closing, suppress
from email.message import EmailMessage
from urllib.parse import SplitResult, unquote, urlsplit

from django.conf import settings

from .. import addresses
from .posting import Answer, Try

TIMEOUT = 30.0  # seconds of one try


class NoTls(smtplib.SMTPException):
    """The server offers no TLS, and is none that mail may go to without."""


class Guarded(smtplib.SMTP):
    """Connects to an address that was judged, and to no other that the name may stand for."""

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        *others, last = addresses.resolve(host, port)
        for address in others:
            try:
                return socket.create_connection((address, port), timeout)
            except OSError:
                continue
        return socket.create_connection((last, port), timeout)


class GuardedTls(smtplib.SMTP_SSL, Guarded):
    """The same with TLS from its first byte."""


def send(message: EmailMessage) -> Answer:
    """Send once, and say how it ended, in words that quote nothing of the server's."""
    server = urlsplit(settings.NOTICE_MAIL)
    host = server.hostname or ""
    if not addresses.is_host(host) or addresses.is_barred(host):
        return Answer("NOTICE_MAIL is an address that mail may not be sent to", refused=True)
    with Try(TIMEOUT) as attempt:
        try:
            _deliver(server, message, attempt.carried_by)
        except addresses.Barred:
            return Answer("NOTICE_MAIL is an address that mail may not be sent to", refused=True)
        except NoTls:
            return Answer("the mail server offers no TLS", refused=True)
        except (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused) as problem:
            return Answer(f"the mail server refused it: {type(problem).__name__}", refused=True)
        except (smtplib.SMTPException, OSError, ValueError) as problem:
            return Answer(f"the mail server did not take it: {type(problem).__name__}")
    return Answer()


def _deliver(
    server: SplitResult, message: EmailMessage, carried_by: Callable[[socket.socket], None]
) -> None:
    """Raises SMTPException, OSError, ValueError."""
    context = ssl.create_default_context(cafile=settings.LLM_CA_BUNDLE or None)
    host, is_tls = server.hostname or "", server.scheme == "smtps"
    port = server.port or (465 if is_tls else 587)
    client = (
        GuardedTls(host, port, timeout=TIMEOUT, context=context)
        if is_tls
        else Guarded(host, port, timeout=TIMEOUT)
    )
    with closing(client):
        carried_by(client.sock)  # type: ignore[arg-type]
        client.ehlo()
        if not is_tls and client.has_extn("starttls"):
            client.starttls(context=context)
            carried_by(client.sock)  # type: ignore[arg-type]
        elif not is_tls and host not in settings.UPSTREAM_HTTP_HOSTS:
            raise NoTls
        if server.username:
            client.login(unquote(server.username), unquote(server.password or ""))
        client.send_message(message)
        with suppress(smtplib.SMTPException, OSError):  # it has the mail
            client.quit()
