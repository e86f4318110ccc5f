"""Notices that leave: by a signed webhook and by mail, each until it is delivered."""

import hmac
import json
import socket
import ssl
import threading
from contextlib import suppress
from datetime import timedelta
from email import message_from_string
from pathlib import Path

import pytest
from django.test import override_settings
from django.utils import timezone

from conversations.models import Notice, User
from llmgateway.ops import doctor
from proxy.jobs import notices
from proxy.tests.wire import Wire, json_reply

pytestmark = pytest.mark.django_db
SECRET = "a secret of the webhook"
CERTIFICATE = Path(__file__).parent / "wire.pem"


@pytest.fixture
def webhook(settings):
    with Wire() as wire:
        settings.NOTICE_URL, settings.NOTICE_SECRET = f"{wire.url}/in", SECRET
        yield wire


class MailServer:
    """Speaks as much SMTP as a client needs, on loopback."""

    def __init__(self, *, offers_tls: bool = False, says: dict[str, str] | None = None) -> None:
        self.mails: list[str] = []
        self.recipients: list[str] = []
        self.heard: list[str] = []
        self.offers_tls, self.says = offers_tls, says or {}
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "MailServer":
        return self

    def __exit__(self, *ignored: object) -> None:
        self.listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                with suppress(OSError, ValueError):
                    self._converse(sock)
                self.current.close()

    def _converse(self, sock: socket.socket) -> None:
        self.current = sock
        sock.sendall(b"220 mail\r\n")
        file = sock.makefile("rb")
        while line := file.readline().decode().strip():
            verb = line.partition(" ")[0].upper()
            self.heard.append(verb)
            answer = self.says.get(verb, "250 fine")
            if verb == "EHLO" and verb not in self.says:
                answer = "250-mail\r\n250-STARTTLS\r\n250 AUTH PLAIN"
                answer = answer if self.offers_tls else answer.replace("250-STARTTLS\r\n", "")
            if verb == "AUTH":
                answer = self.says.get(verb, "235 fine")
            if verb == "RCPT":
                self.recipients.append(line)
            if verb == "DATA" and answer.startswith("250"):
                sock.sendall(b"354 go on\r\n")
                self.mails.append(self._read_mail(file))
            if verb == "STARTTLS":
                sock.sendall(b"220 go on\r\n")
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(CERTIFICATE)
                file.close()
                self.current = sock = context.wrap_socket(sock, server_side=True)
                file = sock.makefile("rb")
                continue
            sock.sendall(f"{answer}\r\n".encode())

    def _read_mail(self, file) -> str:
        lines = []
        while (line := file.readline().decode()).strip() != ".":
            lines.append(line)
        return "".join(lines)


@pytest.fixture
def post_office(settings):
    settings.NOTICE_FROM = "gateway@example.com"
    with MailServer() as server:
        settings.NOTICE_MAIL = f"smtp://us:pass%20word@127.0.0.1:{server.port}"
        yield server


def waiting(kind: str = "assigned", recipient: str = "") -> Notice:
    user = None
    if recipient:
        name = recipient.partition("@")[0] or "someone"
        user = User.objects.get_or_create(username=name, defaults={"email": recipient})[0]
    facts = {"who": "lea", "to": "rita", "path": "/admin/x/"}
    subject = str(Notice.objects.count())
    return Notice.objects.create(
        kind=kind, subject=subject, recipient=user, facts=json.dumps(facts)
    )


def later() -> None:
    Notice.objects.update(due=timezone.now())


def test_the_webhook_gets_a_signed_notice_once(webhook):
    notice = waiting()
    notices.send_notices()
    notices.send_notices()
    [request] = webhook.seen
    assert request.line == "POST /in HTTP/1.1"
    assert request.headers["idempotency-key"] == str(notice.pk)
    at = request.headers["x-signature-timestamp"]
    signed = hmac.digest(SECRET.encode(), f"{at}.".encode() + request.body, "sha256").hex()
    assert request.headers["x-signature"] == f"sha256={signed}"
    said = json.loads(request.body)
    assert said["text"].startswith("lea assigned a conversation to rita.")
    assert (said["id"], said["kind"], said["to"]) == (str(notice.pk), "assigned", "rita")
    assert Notice.objects.get().delivered


@pytest.mark.parametrize("status", ["500 Oh", "404 None", "302 There"])
def test_one_that_is_not_taken_is_sent_until_it_is(webhook, status):
    waiting()
    webhook.answer = json_reply(b"", status)
    for tries in (1, 2, 3):
        notices.send_notices()
        notices.send_notices()  # it is not due
        notice = Notice.objects.get()
        assert (notice.tries, notice.delivered) == (tries, None)
        assert status[:3] in notice.problem
        assert notice.due > timezone.now()
        later()
    [finding] = [finding for finding in doctor.proofs() if finding.about == "notices"]
    assert (finding.level, status[:3] in finding.text) == (doctor.WARN, True)
    webhook.answer = json_reply(b"{}")
    notices.send_notices()
    assert Notice.objects.get().delivered
    assert len({request.headers["idempotency-key"] for request in webhook.seen}) == 1


def test_one_that_is_refused_holds_no_other_up_and_a_dead_receiver_is_asked_once(webhook):
    for _ in range(3):
        waiting()
    first = str(Notice.objects.earliest("id").pk)

    def refuse_one(sock, request):
        is_first = request.headers["idempotency-key"] == first
        json_reply(b"", "400 Bad" if is_first else "200 OK")(sock, request)

    webhook.answer = refuse_one
    notices.send_notices()
    assert Notice.objects.waiting().count() == 1
    for _ in range(3):
        waiting()
    webhook.answer, before = json_reply(b"", "503 Away"), len(webhook.seen)
    later()
    notices.send_notices()
    assert len(webhook.seen) == before + 1


def test_a_dead_webhook_holds_no_mail_up(webhook, post_office, monkeypatch):
    monkeypatch.setattr(notices, "MOST", 2)
    for _ in range(5):
        waiting()
    waiting(recipient="rita@example.com")
    webhook.answer = json_reply(b"", "503 Away")
    notices.send_notices()
    assert len(post_office.mails) == len(webhook.seen) == 1


def test_an_account_that_was_deactivated_gets_nothing(post_office):
    waiting(recipient="rita@example.com")
    User.objects.update(is_active=False)
    notices.send_notices()
    assert post_office.mails == []


def test_a_mail_says_it_in_words(post_office, settings):
    settings.PUBLIC_URL = "https://gateway.example"
    notice = waiting(recipient="rita@example.com")
    notices.send_notices()
    notices.send_notices()
    [mail] = map(message_from_string, post_office.mails)
    assert (mail["From"], mail["To"]) == ("gateway@example.com", "rita@example.com")
    assert mail["Subject"] == "A conversation was assigned to rita"
    assert str(notice.pk) in mail["Message-ID"]
    text = mail.get_payload(decode=True).decode()
    assert "lea assigned a conversation to rita." in text
    assert "https://gateway.example/admin/x/" in text
    assert "AUTH" in post_office.heard
    assert len(post_office.recipients) == 1
    assert Notice.objects.get().delivered


@pytest.mark.parametrize(
    ("verb", "answer", "problem"),
    [
        ("AUTH", "535 no", "did not take it: SMTPAuthenticationError"),
        ("MAIL", "550 no", "refused it: SMTPSenderRefused"),
        ("RCPT", "550 canary@example.com", "refused it: SMTPRecipientsRefused"),
        ("DATA", "554 canary", "did not take it: SMTPDataError"),
    ],
)
def test_a_mail_that_is_not_taken_waits(settings, caplog, verb, answer, problem):
    waiting(recipient="rita@example.com")
    settings.NOTICE_FROM = "gateway@example.com"
    with MailServer(says={verb: answer}) as server:
        settings.NOTICE_MAIL = f"smtp://us:word@127.0.0.1:{server.port}"
        notices.send_notices()
    notice = Notice.objects.get()
    assert problem in notice.problem
    assert (notice.delivered, notice.tries) == (None, 1)
    assert "canary" not in caplog.text + notice.problem


def test_mail_goes_without_tls_only_where_the_operator_says_so(post_office):
    waiting(recipient="rita@example.com")
    with override_settings(UPSTREAM_HTTP_HOSTS=[]):
        notices.send_notices()
    assert Notice.objects.get().problem == "the mail server offers no TLS"
    assert "AUTH" not in post_office.heard
    assert post_office.mails == []


def test_a_server_that_cannot_prove_who_it_is_gets_neither_password_nor_mail(settings):
    waiting(recipient="rita@example.com")
    settings.NOTICE_FROM = "gateway@example.com"
    with MailServer(offers_tls=True) as server:
        settings.NOTICE_MAIL = f"smtp://us:word@127.0.0.1:{server.port}"
        notices.send_notices()
        assert server.heard == ["EHLO", "STARTTLS"]
        assert "SSLCertVerificationError" in Notice.objects.get().problem
        later()
        with override_settings(LLM_CA_BUNDLE=str(CERTIFICATE)):
            notices.send_notices()
        assert Notice.objects.get().delivered
        assert server.heard[2:5] == ["EHLO", "STARTTLS", "EHLO"]


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "0x7f.1", "metadata.test"])
def test_mail_goes_to_no_address_that_calls_may_not_go_to(settings, host, monkeypatch):
    def resolve(name, port, **how):
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, ("169.254.169.254", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    waiting(recipient="rita@example.com")
    settings.NOTICE_MAIL, settings.NOTICE_FROM = f"smtp://{host}:25", "gateway@example.com"
    settings.UPSTREAM_HTTP_HOSTS = ["169.254.169.254", "metadata.test"]
    notices.send_notices()
    assert "may not be sent to" in Notice.objects.get().problem


def test_an_address_that_is_none_is_said(post_office):
    waiting(recipient="rita@example.com\nBcc: eve@example.com")
    notices.send_notices()
    assert "no address for mail" in Notice.objects.get().problem
    assert post_office.mails == []


def test_a_server_that_never_ends_is_cut(settings, monkeypatch):
    monkeypatch.setattr("proxy.jobs.mail.TIMEOUT", 0.3)
    waiting(recipient="rita@example.com")
    settings.NOTICE_FROM = "gateway@example.com"
    with Wire() as wire:
        wire.deaf = True
        settings.NOTICE_MAIL = f"smtp://127.0.0.1:{wire.port}"
        notices.send_notices()
    assert "did not take it" in Notice.objects.get().problem


def test_a_channel_that_is_off_keeps_what_waits(webhook, settings):
    waiting()
    settings.NOTICE_URL = ""
    notices.send_notices()
    assert not webhook.seen
    assert Notice.objects.waiting().count() == 1


def test_what_was_tried_often_is_tried_each_hour(webhook):
    notice = waiting()
    for _ in range(40):
        notice.mark_failed("no")
    pause = notice.due - timezone.now()
    assert timedelta(minutes=59) < pause <= timedelta(hours=1)
