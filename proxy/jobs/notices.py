"""Notices to the webhook and by mail: each at least once, until it is delivered or a month old.

A channel that fails is left alone until the next minute; the other goes on.
"""

import json
import logging
import time
from collections.abc import Callable
from datetime import UTC
from email.message import EmailMessage

from django.conf import settings
from django.utils import timezone

from conversations import database, notices
from conversations.models import Notice
from conversations.models.notice import NoticeQuerySet

from . import mail, posting
from .posting import Answer, Try

TIMEOUT = 10.0  # seconds of one try at the webhook
MOST = 500  # that are sent at a time, by each
log = logging.getLogger(__name__)


def send_notices(is_over: Callable[[], bool] = lambda: False) -> None:
    """Send what is due. One process at a time."""
    try:
        due = Notice.objects.due(timezone.now())
        if settings.NOTICE_URL:
            _send_each(due.for_webhook(), post, is_over)
        if settings.NOTICE_MAIL:
            _send_each(due.for_people(), send_mail, is_over)
    finally:
        database.release()


def _send_each(
    due: NoticeQuerySet, send: Callable[[Notice], Answer], is_over: Callable[[], bool]
) -> None:
    """Send by one channel, until it fails: one notice that is refused holds no other up."""
    for notice in list(due[:MOST]):
        if is_over():
            return
        database.release()
        answer = send(notice)
        if not answer.problem:
            notice.mark_delivered()
            continue
        if notice.tries == 0:
            log.warning("notice %s waits: %s", notice.pk, answer.problem)
        notice.mark_failed(answer.problem, answer.retry_after)
        if not answer.refused:
            return


def post(notice: Notice) -> Answer:
    """POST it, signed as submissions are."""
    _, text = notices.write(notice)
    content = {
        "id": str(notice.pk),
        "kind": notice.kind,
        "at": notice.made.astimezone(UTC).isoformat(timespec="seconds"),
        "text": text,
        **json.loads(notice.facts),
    }
    body = json.dumps(content).encode()
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": str(notice.pk),
        **posting.sign_body(settings.NOTICE_SECRET, body, int(time.time())),
    }
    with Try(TIMEOUT) as attempt:
        return posting.post("NOTICE_URL", headers, body, attempt)


def send_mail(notice: Notice) -> Answer:
    assert notice.recipient
    message = EmailMessage()
    try:
        message["From"], message["To"] = settings.NOTICE_FROM, notice.recipient.email
        message["Subject"], text = notices.write(notice)
    except ValueError:  # an address that no header takes
        return Answer("its sender or its recipient has no address for mail", refused=True)
    message["Message-ID"] = f"<{notice.pk}@llm-gateway>"
    message["Date"] = notice.made
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    return mail.send(message)
