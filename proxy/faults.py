"""Why a call did not succeed, in words fit to show: one error type, from upstreams and the gateway.

Every fault is made here, by a function with a name. The tree of them, by what is at fault:

Fault
├── the request (400 to 415, invalid_request_error)
│   ├── invalid_request, invalid_json, body_incomplete, request_too_large, too_many_values
│   ├── unsupported_encoding, unsupported_media_type, unsupported_parameter
│   ├── not_found, model_not_found, conversation_not_found, endpoint_not_supported
│   └── token_missing, not_yet, nothing_to_title, nothing_to_assess, assessments_off
├── the caller's rights and limits (403, 429; permission_error, rate_limit_error)
│   ├── scope_missing, not_permitted, not_allowed, policy_not_accepted
│   └── export_limit_reached, wrong_keys_paused
├── the gateway (500 to 503; server_error, but for answer_not_kept)
│   ├── overloaded, share_taken, no_room_to_parse, upstream_full
│   ├── record_not_writable, end_not_recorded, answer_not_kept, call_lost, internal_error
│   ├── upstream_missing, upstream_misconfigured, address_barred
│   └── credentials_missing, credential_misplaced
├── the upstream (502, 504, upstream_error)
│   ├── unreachable, connect_timeout, reply_timeout, untrusted
│   ├── bad_reply, empty_answer, no_event, no_object, reply_too_large, truncated
│   ├── upstream_failed, upstream_credentials, token_refused
│   └── refused, failed: its own status, code and words
├── what cut the call (499, 503, 504; server_error)
│   └── client_gone, stopped, silent, too_long, gateway_stopped
└── what was said elsewhere: by_status, recorded
"""

import dataclasses
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from conversations.shape import Json

from . import redaction
from .protocols import errors, waits


class Code(StrEnum):
    """The gateway's own error codes, and what each means. An upstream's may be any other text."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        code = str.__new__(cls, value)
        code._value_, code.meaning = value, meaning
        return code

    INVALID_REQUEST = "invalid_request", "A parameter is missing or wrong; `param` names it."
    INVALID_JSON = "invalid_json", "The body is not a JSON object that can be recorded."
    BODY_INCOMPLETE = "body_incomplete", "The body ended early."
    REQUEST_TOO_LARGE = "request_too_large", "The body is larger than the gateway accepts."
    UNSUPPORTED_ENCODING = "unsupported_encoding", "The body is compressed."
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type", "The body has the wrong content type."
    UNSUPPORTED_PARAMETER = "unsupported_parameter", "This model has no such parameter."
    NOT_FOUND = "not_found", "There is nothing at this address."
    METHOD_NOT_ALLOWED = "method_not_allowed", "This address has no such method."
    MODEL_NOT_FOUND = "model_not_found", "There is no such model, or the caller may not use it."
    CONVERSATION_NOT_FOUND = "conversation_not_found", "The caller has no such conversation."
    ENDPOINT_NOT_SUPPORTED = "endpoint_not_supported", "This model does not serve this endpoint."
    NOT_YET = "not_yet", "The request has no answer yet."
    NOTHING_TO_TITLE = "nothing_to_title", "The conversation has no text to make a title of."
    NOTHING_TO_ASSESS = "nothing_to_assess", "The conversation has no text to assess."
    METADATA_CHECK_OFF = "metadata_check_off", "Assessments are switched off."
    TOKEN_MISSING = "token_missing", "The call needs the caller's own token for the upstream."

    INVALID_API_KEY = "invalid_api_key", "The API key is missing, unknown, expired or revoked."
    SCOPE_MISSING = "scope_missing", "The API key has not the scope for this call."
    NOT_PERMITTED = "not_permitted", "The caller has not the right to see this."
    NOT_ALLOWED = "not_allowed", "The caller may not do this."
    POLICY_NOT_ACCEPTED = "policy_not_accepted", "The caller has to accept the policy first."
    EXPORT_LIMIT_REACHED = "export_limit_reached", "The key has exported its rows of this day."
    RATE_LIMIT_EXCEEDED = "rate_limit_exceeded", "Too many requests in too short a time."

    OVERLOADED = "overloaded", "Too many calls are open."
    RECORD_NOT_WRITABLE = "record_not_writable", "The call, or its end, cannot be recorded."
    ANSWER_NOT_KEPT = "answer_not_kept", "The answer cannot be recorded, so it was not passed on."
    INTERNAL_ERROR = "internal_error", "The gateway failed."
    UPSTREAM_MISSING = "upstream_missing", "The gateway has no upstream."
    UPSTREAM_MISCONFIGURED = "upstream_misconfigured", "The gateway may not call this upstream."

    UPSTREAM_UNREACHABLE = "upstream_unreachable", "The upstream cannot be reached, or hung up."
    UPSTREAM_TLS = "upstream_tls", "The upstream's certificate is not trusted."
    UPSTREAM_TIMEOUT = "upstream_timeout", "The upstream was too slow."
    UPSTREAM_BAD_REPLY = "upstream_bad_reply", "The upstream's reply is not an answer."
    UPSTREAM_TRUNCATED = "upstream_truncated", "The answer ended before it was complete."
    UPSTREAM_FAILED = "upstream_failed", "The upstream reported an error without a code."
    UPSTREAM_CREDENTIALS = "upstream_credentials", "The gateway's credentials were refused."
    TOKEN_REFUSED = "token_refused", "The upstream refused the caller's own token."

    CLIENT_GONE = "client_gone", "The caller hung up."
    STOPPED = "stopped", "The caller stopped the answer."
    GATEWAY_STOPPED = "gateway_stopped", "The gateway stopped during the call."


# What the API alone says, of requests that never become calls. As labels they would take in what
# upstreams call by the same names.
OUTSIDE_CALLS = {Code.INVALID_API_KEY, Code.METHOD_NOT_ALLOWED, Code.RATE_LIMIT_EXCEEDED}
# Credentials and settings: another try finds them as they are.
MENDED_BY_HAND = {
    Code.UPSTREAM_CREDENTIALS,
    Code.UPSTREAM_MISCONFIGURED,
    Code.UPSTREAM_MISSING,
    Code.TOKEN_REFUSED,
}


@dataclass(frozen=True, eq=False, repr=False)
class _Values(Exception):
    """What a fault holds.

    A class of its own: a frozen one refuses Python's `__traceback__` too, but only to itself.
    """

    status: int
    code: str | None  # a Code, or the upstream's own
    text: str  # may be shown to the caller
    type: str = "upstream_error"
    param: str | None = None
    retry_after: str | None = None  # whole seconds
    answered: int = 0  # the upstream's status, or the one that it named; 200: without an answer
    unsent: bool = False  # no byte of the call left
    ours: bool = False  # the upstream has no part in it
    spent: bool = False  # the gateway, or its upstream, has tried enough: the caller need not
    snapshot: UUID | None = None
    conversation: UUID | None = None

    def __post_init__(self) -> None:
        """Hide secrets: an upstream may repeat what it was sent."""
        super().__init__(self.code)
        for name in ("code", "text", "param"):
            if (text := getattr(self, name)) and not isinstance(text, Code):
                object.__setattr__(self, name, redaction.hide(text))


class Fault(_Values):
    """A call that did not succeed. It never changes: methods return a copy.

    No text of it holds a secret that the process knows.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return self.__class__, tuple(getattr(self, each.name) for each in dataclasses.fields(self))

    def copy(self, **changes: Any) -> Self:
        return dataclasses.replace(self, **changes)

    def about(self, snapshot: UUID, conversation: UUID | None = None) -> Self:
        """Name the call that it ended."""
        return self.copy(snapshot=snapshot, conversation=conversation)

    def unsent_by_us(self) -> Self:
        return self.copy(unsent=True, ours=True)

    def after_last_try(self) -> Self:
        return self.copy(spent=True)

    def without_answer(self) -> Self:
        """Say that it came at status 200; one that names its own status stands for that."""
        return self.copy(answered=self.answered or 200)

    @property
    def repeatable(self) -> bool:
        """Whether the same call may be sent again, here or elsewhere.

        It may where the upstream says that it did not do it, or sent no answer.
        """
        return self.unsent or self.answered in (200, 408, 429) or self.answered >= 500

    @property
    def worth_repeating(self) -> bool:
        """Whether a client may try again: not where only a person can help.

        Nor where the gateway has tried enough; but one that is asked to wait has its own patience.
        """
        if self.code in MENDED_BY_HAND:
            return False
        return not self.spent or self.status == 429

    @property
    def error(self) -> Json:
        return {"message": self.text, "type": self.type, "param": self.param, "code": self.code}


# The request ------------------------------------------------------------------------------------


def _request(status: int, code: Code, text: str, param: str | None = None) -> Fault:
    return Fault(status, code, text, "invalid_request_error", param)


def invalid_request(param: str | None, text: str) -> Fault:
    return _request(400, Code.INVALID_REQUEST, text, param)


def invalid_json(text: str) -> Fault:
    return _request(400, Code.INVALID_JSON, text)


def body_incomplete() -> Fault:
    return _request(400, Code.BODY_INCOMPLETE, "The request's body ended early.")


def request_too_large(limit: int) -> Fault:
    """A body of more bytes than the limit."""
    text = f"The request is larger than {limit >> 20} MB."
    return _request(413, Code.REQUEST_TOO_LARGE, text)


def too_many_values(problem: Exception) -> Fault:
    return _request(413, Code.REQUEST_TOO_LARGE, f"The request has {problem}.")


def unsupported_encoding() -> Fault:
    return _request(415, Code.UNSUPPORTED_ENCODING, "Send the body without compression.")


def unsupported_media_type() -> Fault:
    return _request(415, Code.UNSUPPORTED_MEDIA_TYPE, "Send the images as multipart/form-data.")


def unsupported_parameter(param: str | None, text: str) -> Fault:
    return _request(400, Code.UNSUPPORTED_PARAMETER, text[:500], param and param[:200])


def not_found() -> Fault:
    return _request(404, Code.NOT_FOUND, "There is nothing here.")


def model_not_found(text: str = "There is no such model, or it is not for you.") -> Fault:
    return _request(404, Code.MODEL_NOT_FOUND, text, "model")


def conversation_not_found() -> Fault:
    return _request(404, Code.CONVERSATION_NOT_FOUND, "No such conversation.")


def endpoint_not_supported(endpoint: str) -> Fault:
    text = f"This model cannot be asked at /{endpoint}."
    return _request(404, Code.ENDPOINT_NOT_SUPPORTED, text, "model")


def not_yet() -> Fault:
    text = "There is no answer to this request yet."
    return _request(404, Code.NOT_YET, text).copy(retry_after="5")


def nothing_to_title() -> Fault:
    text = "Nothing was said in this conversation that a title could be made of."
    return _request(400, Code.NOTHING_TO_TITLE, text)


def nothing_to_assess() -> Fault:
    text = "Nothing was said in this conversation that could be assessed."
    return _request(400, Code.NOTHING_TO_ASSESS, text)


def assessments_off() -> Fault:
    return _request(404, Code.METADATA_CHECK_OFF, "Assessments are switched off here.")


def token_missing(text: str) -> Fault:
    return _request(400, Code.TOKEN_MISSING, text)


# The caller's rights and limits -----------------------------------------------------------------


def _forbidden(code: Code, text: str) -> Fault:
    return Fault(403, code, text, "permission_error")


def scope_missing(text: str) -> Fault:
    return _forbidden(Code.SCOPE_MISSING, text)


def not_permitted(text: str) -> Fault:
    return _forbidden(Code.NOT_PERMITTED, text)


def not_allowed() -> Fault:
    return _forbidden(Code.NOT_ALLOWED, "You may not do that.")


def policy_not_accepted(text: str) -> Fault:
    return _forbidden(Code.POLICY_NOT_ACCEPTED, text)


def export_limit_reached(rows: int, seconds: int) -> Fault:
    """A key has exported its rows of the day, which ends in so many seconds."""
    text = f"This key exports {rows:,} rows a day at most."
    wait = str(seconds)
    return Fault(429, Code.EXPORT_LIMIT_REACHED, text, "rate_limit_error", retry_after=wait)


def wrong_keys_paused(seconds: int) -> Fault:
    """A wrong API key from an address that has sent too many, and may send others after a time."""
    text = (
        "This API key is not known here, has expired, or was revoked, and too many such keys came "
        "from your address. A right key works at once."
    )
    wait = str(seconds)
    return Fault(429, Code.RATE_LIMIT_EXCEEDED, text, "rate_limit_error", retry_after=wait)


# The gateway ------------------------------------------------------------------------------------


NOT_RECORDED = (
    "The gateway cannot write its record, so the call did not pass. "
    "Nothing is sent that is not recorded."
)


def _server(status: int, code: Code, text: str, retry_after: str | None = None) -> Fault:
    return Fault(status, code, text, "server_error", retry_after=retry_after)


def overloaded() -> Fault:
    text = "Too many calls are open. Try again in a moment."
    return _server(503, Code.OVERLOADED, text, "2")


def share_taken() -> Fault:
    text = (
        "The gateway is busy, and your account has more than a third of the calls that it can "
        "have open. Try again when some of them have ended."
    )
    return _server(503, Code.OVERLOADED, text, "2")


def no_room_to_parse() -> Fault:
    text = "Too many large requests are being read. Try again in a moment."
    return _server(503, Code.OVERLOADED, text, "2")


def upstream_full() -> Fault:
    text = "Too many calls are open at the model's server. Try again in a moment."
    return _server(503, Code.OVERLOADED, text, "2").unsent_by_us()


def record_not_writable() -> Fault:
    return _server(503, Code.RECORD_NOT_WRITABLE, NOT_RECORDED, "5")


def end_not_recorded() -> Fault:
    """A call that may have been sent and answered, and whose end cannot be recorded."""
    text = (
        "The gateway cannot record how this call ended, so its answer is not passed on. "
        "The model may have answered it: sent again, it is another call."
    )
    return _server(503, Code.RECORD_NOT_WRITABLE, text).after_last_try()


def answer_not_kept() -> Fault:
    text = "The model's answer could not be kept, so it was not passed on."
    return Fault(502, Code.ANSWER_NOT_KEPT, text).after_last_try()


def call_lost() -> Fault:
    """A call that ended after another process had closed its record."""
    text = "The gateway took this call for lost. Its record is closed."
    return _server(503, Code.GATEWAY_STOPPED, text).after_last_try()


def internal_error() -> Fault:
    return _server(500, Code.INTERNAL_ERROR, "The gateway failed.").copy(ours=True)


def upstream_missing() -> Fault:
    text = "This gateway has no upstream: LLM_ENDPOINT is not set."
    return _server(502, Code.UPSTREAM_MISSING, text)


def upstream_misconfigured(text: str) -> Fault:
    """What an operator has to mend: the caller need not try again."""
    return _server(502, Code.UPSTREAM_MISCONFIGURED, text).after_last_try()


def address_barred() -> Fault:
    text = "The model's server is at an address that calls may not be sent to."
    return upstream_misconfigured(text).copy(ours=True)


def credential_misplaced() -> Fault:
    text = "The gateway may not send this model's credential to its server's address."
    return upstream_misconfigured(text)


def credentials_missing(text: str) -> Fault:
    return _server(502, Code.UPSTREAM_CREDENTIALS, text)


# The upstream -----------------------------------------------------------------------------------


def unreachable(text: str = "The model's server could not be reached, or hung up.") -> Fault:
    return Fault(502, Code.UPSTREAM_UNREACHABLE, text)


def connect_timeout() -> Fault:
    return Fault(504, Code.UPSTREAM_TIMEOUT, "The model's server could not be reached in time.")


def reply_timeout() -> Fault:
    return Fault(504, Code.UPSTREAM_TIMEOUT, "The model's server took too long to answer.")


def untrusted() -> Fault:
    return Fault(502, Code.UPSTREAM_TLS, "The model's server could not prove who it is.")


def bad_reply(text: str) -> Fault:
    return Fault(502, Code.UPSTREAM_BAD_REPLY, text)


def empty_answer() -> Fault:
    return bad_reply("The model returned an empty answer.")


def no_event() -> Fault:
    """Something in a stream that is no event of an answer."""
    return bad_reply("The model's server sent something that is no part of an answer.")


def no_object() -> Fault:
    return bad_reply("The model's server answered with something that is not a JSON object.")


def reply_too_large() -> Fault:
    return bad_reply("The model's server sent more than the gateway accepts.")


def truncated() -> Fault:
    text = "The model's answer ended before it was complete."
    return Fault(502, Code.UPSTREAM_TRUNCATED, text)


def upstream_failed(text: str) -> Fault:
    return Fault(502, Code.UPSTREAM_FAILED, text)


def upstream_credentials() -> Fault:
    text = "The model's server refused the gateway's credentials."
    return Fault(502, Code.UPSTREAM_CREDENTIALS, text)


LIMITED = (429, 503, 529)  # statuses of an upstream that has too much to do
MODERATION = "content_policy_violation"  # OpenAI's word where a provider gives none
REFUSED = "Your token was refused by the model's server. Paste another under “Your token”."


def token_refused() -> Fault:
    return Fault(502, Code.TOKEN_REFUSED, REFUSED)


def refused(status: int, error: Json, token: str = "", retry_after: str | None = None) -> Fault:
    """The error object of an upstream that answered with this status, as the caller's."""
    return _refused(status, error, token, retry_after).copy(answered=status)


# What a 403 says of what was asked, and what it says of who asked: the gateway.
MODERATED = re.compile(
    r"flag|moderat|safety|violat|content.?(filter|policy|management)|inappropriate|harmful", re.I
)
OF_ACCESS = re.compile(
    r"credential|\bkey\b|api.?key|auth|token|permi|forbid|denied|access|sign|account|project|<",
    re.I,
)


def _refused(status: int, error: Json, token: str, wait: str | None) -> Fault:
    untold = errors.tell_status(status)
    code, text = error["code"], error["message"] or untold
    code, text = code and code[:200], text[:2000]
    code = None if code and code.isdigit() else code  # a number says no more than the status
    if status == 403 and text != untold:
        said = f"{code} {error.get('type')} {text}"
        if MODERATED.search(said):
            return Fault(403, code or MODERATION, text, "invalid_request_error", error["param"])
        if not token and not OF_ACCESS.search(said):
            return Fault(403, code or errors.name_status(403), text, "permission_error")
    if token and status in (401, 403):
        return token_refused()
    if status in (401, 403, 407):
        return upstream_credentials()
    if status == 504:
        return Fault(504, code or Code.UPSTREAM_TIMEOUT, text, retry_after=wait)
    if not 400 <= status < 500:
        return Fault(502, code or Code.UPSTREAM_FAILED, text, retry_after=wait)
    kind = "rate_limit_error" if status == 429 else "invalid_request_error"
    code = code or error.get("type") or errors.name_status(status)
    return Fault(status, code, text, kind, error["param"], wait)


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
    """An error that came at status 200, before anything of an answer.

    It counts as the status that it names or means, or as none in particular.
    """
    error = redaction.hide_value(error)  # before anything is cut
    fields = error if isinstance(error, dict) else {}
    names = [str(fields.get(name)) for name in ("status", "code", "status_code", "type")]
    status = next((found for name in names if (found := _status_named(name))), 0)
    if not status:
        return upstream_failed(error_words(error))
    code, param = (
        str(fields[name])[:200] if fields.get(name) else None for name in ("code", "param")
    )
    if code == str(status):
        code = None
    text = error_words(error)
    wait = waits.read_limit({}, text) if status in LIMITED else None
    return refused(status, {"message": text, "code": code, "param": param}, retry_after=wait)


def _status_named(name: str) -> int:
    """The status that a word or number of an error stands for; 0 where it stands for none."""
    if name in MEANT:
        return MEANT[name]
    return int(name) if re.fullmatch("[45][0-9]{2}", name) else 0


def error_words(error: Any) -> str:
    """What an upstream says went wrong."""
    words = error.get("message") if isinstance(error, dict) else error
    return redaction.hide(str(words or "The model's server failed."))[:2000]


# What cut the call ------------------------------------------------------------------------------


def client_gone() -> Fault:
    return _server(499, Code.CLIENT_GONE, "The caller hung up.")


def stopped() -> Fault:
    return _server(499, Code.STOPPED, "Stopped.")


def silent() -> Fault:
    return _server(504, Code.UPSTREAM_TIMEOUT, "The model's server was silent for too long.")


def too_long() -> Fault:
    return _server(504, Code.UPSTREAM_TIMEOUT, "The answer took longer than the gateway allows.")


def gateway_stopped() -> Fault:
    return _server(503, Code.GATEWAY_STOPPED, "The gateway is restarting.")


# What was said elsewhere ------------------------------------------------------------------------


BY_STATUS = {
    401: ("authentication_error", Code.INVALID_API_KEY),
    403: ("permission_error", Code.NOT_ALLOWED),
    404: ("invalid_request_error", Code.NOT_FOUND),
    405: ("invalid_request_error", Code.METHOD_NOT_ALLOWED),
    429: ("rate_limit_error", Code.RATE_LIMIT_EXCEEDED),
}


def by_status(status: int, text: str) -> Fault:
    """What a framework refused with this status and these words."""
    kind, code = BY_STATUS.get(status, (None, None))
    return Fault(
        status, code, text, kind or ("invalid_request_error" if status < 500 else "server_error")
    )


def recorded(code: str, text: str) -> Fault:
    """How an earlier call failed, from its record."""
    return Fault(502, code, text)
