"""A row of the classic gateway's log → the call that is recorded of it. Pure.

Snapshot.classic keeps, under the names of the row's columns, what the record does not hold of it:
always title (the job title of that day), convo_title, convo_show, root_gpt_id and
orig_summarized_id; request, response, usage_info and usage_cost only where the record would give
back another. Two more keys: `fields`, what a request carried that no model saw (its `headers`), and
`conversation_title`, the conversation's where it had to differ from convo_title. The views of
schema llm_logs show all this in place of ours.
"""

import json
import math
import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

from ..models import Snapshot
from ..record import CallRequest, Outcome, calls, threads
from ..shape import Json

COMMON = ("id", "request", "response", "user_name", "title", "response_time")
TABLES = {
    "chatgpt_logs": (*COMMON, "usage_info", "convo_title", "convo_show", "root_gpt_id"),
    "image_logs": (*COMMON, "usage_cost"),
    "meta_summarizer_log": (*COMMON, "usage_info", "orig_summarized_id"),
}
NEEDED = ("id", "user_name", "response_time")
NO_ROOT = (None, "", "string")  # "string" was the old page's first root id
SUMMARIZER = "summarizer"
SURROGATE = re.compile("[\ud800-\udfff]")
REPLACED = "_replaced"  # the views' mark of an object that PostgreSQL's json cannot hold
# What PostgreSQL takes for a boolean: these, and the words but for on and off also cut short.
TRUE, FALSE = ("true", "yes"), ("false", "no")
ON, OFF = ("on", "1"), ("off", "of", "0")
ID = re.compile(r"(\{)?(?:[0-9a-f]{4}-?){7}[0-9a-f]{4}(?(1)\})", re.IGNORECASE)
# PostgreSQL reads more than these. A form that depends on its settings is none of them.
TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[ Tt]\s*(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,15}))?)?"
    r"\s*(?:(Z|UTC|GMT)|([+-])(\d\d)(?::?(\d\d)(?::?(\d\d))?)?)?)?",
    re.ASCII | re.IGNORECASE,
)
FARTHEST = timedelta(hours=16)  # of a zone from UTC
NUMBER = re.compile(
    r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf|infinity|nan)", re.ASCII | re.IGNORECASE
)
SPACE = " \t\n\r\f\v"  # that PostgreSQL passes over


class UnreadableRow(ValueError):
    """Why a row cannot be imported: fit to show, without any of its content."""


@dataclass(slots=True, kw_only=True)
class ClassicRow:
    kind: str
    id: UUID
    user_name: str
    job_title: str
    at: datetime
    root: str | None  # what ties the rows of one conversation together
    title: str  # the conversation's, after this row
    shown: bool
    body: Json
    messages: list[Json]
    sent: bytes
    classic: Json
    outcome: Outcome = field(default_factory=lambda: Outcome(status=Snapshot.Status.OK))

    def as_request(self, owner: int, root: UUID | None) -> CallRequest:
        """The call in that conversation, or in a new one; in none where no message is known."""
        model = self.body.get("model")
        return CallRequest(
            owner=owner,
            kind=self.kind,
            model=model if isinstance(model, str) else "",
            body=self.body,
            messages=self.messages,
            sent=self.sent,
            root=root,
            threads_by_content=False,
            title=self.title,
            opened=self.at,
            classic_id=self.id,
            classic=self.classic,
            classic_root=self.root,
        )


def read(table: str, columns: dict[str, str | None]) -> ClassicRow:
    """Read a row's columns as PostgreSQL prints them. Raises UnreadableRow."""
    user_name = _user_name_of(columns)
    row_id, at = id_of(columns), moment(columns.get("response_time"))
    request = parsed("request", columns.get("request"))
    response = parsed("response", columns.get("response"))
    usage = parsed("usage_info", columns.get("usage_info"))
    root = columns.get("root_gpt_id")
    if len(root or "") > 500:
        raise UnreadableRow("its root_gpt_id is longer than 500 characters")
    kind, shown = _kind_of(table, columns), _shown_of(columns)
    body, classic = _split_request(request)
    row = ClassicRow(
        kind=kind,
        id=row_id,
        user_name=user_name,
        job_title=(columns.get("title") or "")[:150],
        at=at,
        root=None if root in NO_ROOT else root,
        title="",
        shown=shown is not False,
        body=body,
        messages=messages_of(kind, body),
        sent=(columns.get("request") or "").encode(),
        classic=_own_columns(table, columns) | classic,
    )
    if kind == Snapshot.Kind.CHAT:
        convo_title = columns.get("convo_title")
        row.title = one_line(convo_title or calls.make_title(row.messages))
        if row.title != convo_title:
            row.classic["conversation_title"] = row.title
    _read_response(row, response)
    _read_usage(row, usage, response)
    if kind == Snapshot.Kind.IMAGE:
        _read_cost(row, columns.get("usage_cost"))
    return row


def _user_name_of(columns: dict[str, str | None]) -> str:
    user_name = columns.get("user_name") or ""
    if len(user_name) > 150:
        raise UnreadableRow("its user_name is longer than the 150 characters of an account's name")
    if not user_name:
        raise UnreadableRow("it names no user")
    return user_name


def _kind_of(table: str, columns: dict[str, str | None]) -> str:
    if table == "image_logs":
        return Snapshot.Kind.IMAGE
    if table == "meta_summarizer_log":
        return Snapshot.Kind.METADATA
    by_summarizer = columns.get("convo_title") == SUMMARIZER and columns.get("root_gpt_id") is None
    if by_summarizer and not _shown_of(columns):
        return Snapshot.Kind.TITLE
    return Snapshot.Kind.CHAT


def _own_columns(table: str, columns: dict[str, str | None]) -> Json:
    """The columns that only a classic row has."""
    classic: Json = {"title": columns.get("title")}
    if table == "chatgpt_logs":
        classic["convo_title"] = columns.get("convo_title")
        classic["convo_show"] = _shown_of(columns)
        classic["root_gpt_id"] = columns.get("root_gpt_id")
    elif table == "meta_summarizer_log":
        classic["orig_summarized_id"] = columns.get("orig_summarized_id")
    return classic


def _split_request(request: Any) -> tuple[Json, Json]:
    """The body that a model saw, and what Snapshot.classic keeps of the rest."""
    if not isinstance(request, dict):
        return {}, {"request": request}
    fields = {name: request[name] for name in ("headers", REPLACED) if name in request}
    if not fields:
        return request, {}
    body = {name: value for name, value in request.items() if name not in fields}
    return body, {"fields": fields}


def _shown_of(columns: dict[str, str | None]) -> bool | None:
    text = columns.get("convo_show")
    return None if text is None else boolean("convo_show", text)


def boolean(name: str, text: str) -> bool:
    """Read it as PostgreSQL does. Raises UnreadableRow."""
    word = text.strip(SPACE).lower()
    is_true = word in ON or any(each.startswith(word) for each in TRUE)
    is_false = word in OFF or any(each.startswith(word) for each in FALSE)
    if is_true == is_false:  # neither, or nothing
        raise UnreadableRow(f"its {name} is neither true nor false")
    return is_true


def id_of(columns: dict[str, str | None]) -> UUID:
    text = columns.get("id") or ""
    if not ID.fullmatch(text):
        raise UnreadableRow("its id is no UUID")
    return UUID(text)


def moment(text: str | None) -> datetime:
    """Read a time as PostgreSQL does where the zone is UTC. Raises UnreadableRow."""
    match = TIME.fullmatch((text or "").strip(SPACE))
    if not match:
        raise UnreadableRow("its response_time is no time, or of a form that is not read here")
    clock = [int(part or 0) for part in match.group(4, 5, 6)]
    zone = [int(part or 0) for part in match.group(10, 11, 12)]
    try:
        at = datetime(int(match[1]), int(match[2]), int(match[3]), tzinfo=UTC)
        at += _read_clock(clock, match[7]) - _read_offset(match[9], zone)
    except (ValueError, OverflowError):
        raise UnreadableRow("its response_time is no time") from None
    if not 1970 < at.year < 2500:
        raise UnreadableRow("its response_time is of another age")
    return at


def _read_clock(parts: list[int], fraction: str | None) -> timedelta:
    """Since midnight; 24:00:00 is one, and a leap second the next minute. Raises ValueError."""
    clock = timedelta(hours=parts[0], minutes=parts[1], seconds=parts[2])
    clock += timedelta(microseconds=round(float(f"0.{fraction or 0}") * 1_000_000))
    if parts[1] > 59 or parts[2] > 60 or clock > timedelta(days=1):
        raise ValueError
    return clock


def _read_offset(sign: str | None, parts: list[int]) -> timedelta:
    """The zone's, east of UTC. Raises ValueError."""
    offset = timedelta(hours=parts[0], minutes=parts[1], seconds=parts[2])
    if max(parts[1:]) > 59 or offset >= FARTHEST:
        raise ValueError
    return -offset if sign == "-" else offset


def order(text: str | None) -> int:
    """Microseconds, to sort by; times that cannot be read come first."""
    try:
        return int(moment(text).timestamp() * 1_000_000)
    except UnreadableRow:
        return 0


def parsed(name: str, text: str | None) -> Any:
    """The JSON of a column; also of JSON that is in it as a text.

    Halves of a surrogate pair, which are no text, become U+FFFD, and an object is marked REPLACED.
    """
    if text is None:
        return None
    try:
        value = orjson.loads(text)
    except ValueError:
        value = _mended(name, text)
    if isinstance(value, str):
        with suppress(ValueError):
            value = orjson.loads(value)
    if text.count("{") + text.count("[") > threads.DEEPEST and threads.is_deeper(value):
        raise UnreadableRow(f"its {name} is nested more than {threads.DEEPEST} levels deep")
    return value


def _mended(name: str, text: str) -> Any:
    try:
        mended = SURROGATE.sub("\ufffd", json.dumps(json.loads(text), ensure_ascii=False))
        value = orjson.loads(mended)
    except (ValueError, RecursionError):
        raise UnreadableRow(f"its {name} is not JSON") from None
    return value | {REPLACED: True} if isinstance(value, dict) else value


def messages_of(kind: str, body: Json) -> list[Json]:
    """The messages that a conversation can hold: the call for a title or a summary has none."""
    if kind == Snapshot.Kind.IMAGE:
        prompt = body.get("prompt")
        return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else []
    messages = body.get("messages")
    if kind != Snapshot.Kind.CHAT or not isinstance(messages, list):
        return []
    return messages if all(isinstance(message, dict) for message in messages) else []


def _read_response(row: ClassicRow, response: Any) -> None:
    outcome, choices = row.outcome, None
    outcome.closed = row.at
    if isinstance(response, dict):
        choices = response.get("choices")
        if response.get("error") and not choices and not response.get("data"):
            outcome.status = Snapshot.Status.FAILED
        outcome.upstream_id = _text(response.get("id"))
        outcome.served_model = _text(response.get("model"))
        outcome.response = response
    elif isinstance(response, list) and row.kind == Snapshot.Kind.CHAT:
        choices = [
            {"message": item["generation"]}
            for item in response
            if isinstance(item, dict) and "generation" in item
        ]  # SageMaker's
    if response is not None and outcome.response is None:
        row.classic["response"] = response
    if not row.messages:
        return
    if row.kind == Snapshot.Kind.IMAGE:
        outcome.replies = _pictures(response)
    elif isinstance(choices, list):
        _read_choices(row, choices)


def _read_choices(row: ClassicRow, choices: list) -> None:
    outcome = row.outcome
    readable = [
        choice
        for choice in choices
        if isinstance(choice, dict) and isinstance(choice.get("message"), dict)
    ]
    outcome.replies = [choice["message"] for choice in readable]
    outcome.finish_reason = _text(readable[0].get("finish_reason")) if readable else ""
    if len(readable) < len(choices) and outcome.response:
        row.classic["response"], outcome.response = outcome.response, None


def _pictures(response: Any) -> list[Json]:
    """The one message of the pictures that a response has, if any."""
    if not isinstance(response, dict) or "choices" in response:
        return []
    items = response.get("data")
    if not isinstance(items, list):
        return []
    urls = [_url_of(item) for item in items if isinstance(item, dict)]
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls if url]
    return [{"role": "assistant", "content": parts}] if parts else []


def _url_of(item: Json) -> str:
    if isinstance(item.get("b64_json"), str):
        return f"data:image/png;base64,{item['b64_json']}"
    return _text(item.get("url"))


def _read_usage(row: ClassicRow, usage: Any, response: Any) -> None:
    counts = usage
    if usage is None and isinstance(response, dict):
        counts = response.get("usage")
    if isinstance(counts, dict):
        row.outcome.prompt_tokens = _count(counts.get("prompt_tokens"))
        row.outcome.completion_tokens = _count(counts.get("completion_tokens"))
    if row.kind != Snapshot.Kind.IMAGE and usage != _usage_on_record(row.outcome):
        row.classic["usage_info"] = usage


def _usage_on_record(outcome: Outcome) -> Json | None:
    """The usage_info that the record gives back."""
    prompt, completion = outcome.prompt_tokens, outcome.completion_tokens or 0
    if prompt is None:
        return None
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _read_cost(row: ClassicRow, text: str | None) -> None:
    if text is None:
        return
    if not NUMBER.fullmatch(text := text.strip(SPACE)):
        raise UnreadableRow("its usage_cost is no number")
    dollars = float(text)
    if 0 <= dollars < 1_000_000 and round(exact := Decimal(text), 8) == exact:
        row.outcome.cost = exact
    elif not math.isfinite(dollars) or 1e-37 < abs(dollars) < 3e38:
        row.classic["usage_cost"] = repr(dollars)
    else:
        raise UnreadableRow("its usage_cost is no real number of PostgreSQL's")


def one_line(text: str) -> str:
    return "".join(c if c >= " " else " " for c in text)[:500]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int | None:
    """A count that fits its column."""
    return value if type(value) is int and 0 <= value < 2**31 else None
