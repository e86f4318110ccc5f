"""Why a call did not succeed, in words fit to show: one error type, from upstreams and from the gateway itself."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import UUID

import requests

from conversations.shape import Json

REFUSED = "Your token was refused by the model's server. Paste another under “Your token”."


class Fault(Exception):
    """A call that did not succeed; `text` may be shown to the caller."""

    snapshot: UUID | None = None
    conversation: UUID | None = None
    answered = 0  # the status that the upstream replied with, or named; 200 where what it sent then was no answer
    unsent = False  # no byte of the call left
    ours = False  # the upstream has no part in it
    spent = False  # the gateway has tried again already, so the caller need not

    def __init__(
        self,
        status: int,
        code: str | None,
        text: str,
        type: str = "upstream_error",
        *,
        param: str | None = None,
        retry_after: str | None = None,
    ):
        super().__init__(code)
        self.status, self.code, self.text, self.type, self.param, self.retry_after = (
            status,
            code,
            text,
            type,
            param,
            retry_after,
        )

    def of(self, snapshot: UUID, conversation: UUID | None = None) -> "Fault":
        """The same, and which call it ended."""
        self.snapshot, self.conversation = snapshot, conversation
        return self

    @property
    def repeatable(self) -> bool:
        """Whether the same call may be sent again, here or elsewhere: the upstream says that it did not do it, or sent no answer."""
        return self.unsent or self.answered in (200, 408, 429) or self.answered >= 500

    @property
    def error(self) -> Json:
        return {"message": self.text, "type": self.type, "param": self.param, "code": self.code}


def refused(status: int, error: Json, token: str = "", retry_after: str | None = None) -> Fault:
    """The error object of an upstream that answered with this status, as the caller's."""
    if token and status in (401, 403):
        fault = Fault(502, "token_refused", REFUSED)
    elif status in (401, 403, 407):
        fault = Fault(
            502, "upstream_credentials", "The model's server refused the gateway's credentials."
        )
    elif not 400 <= status < 500:
        ours, code = (504, "upstream_timeout") if status == 504 else (502, "upstream_failed")
        fault = Fault(ours, error["code"] or code, error["message"], retry_after=retry_after)
    else:
        type = "rate_limit_error" if status == 429 else "invalid_request_error"
        fault = Fault(
            status,
            error["code"],
            error["message"],
            type,
            param=error["param"],
            retry_after=retry_after,
        )
    fault.answered = status
    return fault


def retry_after(reply: requests.Response) -> str | None:
    """Whole seconds, however it was said; None where it was not."""
    said = reply.headers.get("retry-after", "")
    if said.isascii() and said.isdigit():
        return said
    try:
        return str(max(0, round((parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())))
    except (ValueError, TypeError):
        return None


MEANT = {  # what an error may be called instead of naming its status
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "overloaded_error": 529,
    "server_error": 500,
    "api_error": 500,
    "timeout_error": 504,
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "content_filter": 400,
    "content_policy_violation": 400,
    "not_found_error": 404,
    "authentication_error": 401,
    "permission_error": 403,
}


def failed(error: Any) -> Fault:
    """An error that came at status 200, before anything of an answer: by the status that it names or means, or none in particular."""
    said = error if isinstance(error, dict) else {}
    named = [said.get(name) for name in ("code", "status", "status_code", "type")]
    status = next(
        (
            MEANT[name] if name in MEANT else int(name)
            for name in map(str, named)
            if name in MEANT or re.fullmatch("[45][0-9]{2}", name)
        ),
        0,
    )
    if not status:
        return Fault(502, "upstream_failed", error_words(error))
    code, param = (str(said[name])[:200] if said.get(name) else None for name in ("code", "param"))
    return refused(
        status,
        {
            "message": error_words(error),
            "code": None if code == str(status) else code,
            "param": param,
        },
    )


def error_words(error: Any) -> str:
    """What an upstream says went wrong."""
    said = error.get("message") if isinstance(error, dict) else error
    return str(said or "The model's server failed.")[:2000]
