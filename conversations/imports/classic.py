"""A row of the classic gateway's log → the call that is recorded of it. Pure.

Snapshot.classic keeps, under the names of the row's columns, what the row said and the record does not say: always title (the job title of that
day), convo_title, convo_show, root_gpt_id and orig_summarized_id; request, response, usage_info and usage_cost only where the record would give
back another. Two more keys: `fields`, what a request carried that no model saw (its `headers`), and `conversation_title`, the conversation's where it
had to differ from convo_title. The views of schema llm_logs show all this in place of ours.
"""

import json
import math
import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
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
BOOLEANS = {None: None, "t": True, "true": True, "f": False, "false": False}


class UnreadableRow(ValueError):
    """Why a row cannot be imported: fit to show, without a word of it."""


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

    def asked(self, owner: int, root: UUID | None) -> CallRequest:
        """As a call in that conversation; in a new one without it, or in none where no message is known."""
        model = self.body.get("model")
        return CallRequest(
            owner=owner,
            kind=self.kind,
            model=model if isinstance(model, str) else "",
            body=self.body,
            messages=self.messages,
            sent=self.sent,
            root=root,
            by_content=False,
            title=self.title,
            at=self.at,
            classic_id=self.id,
            classic=self.classic,
            classic_root=self.root,
        )


def read(table: str, columns: dict[str, str | None]) -> ClassicRow:
    """`columns` as PostgreSQL prints them. Raises Unreadable."""
    if len(user_name := columns.get("user_name") or "") > 150:
        raise UnreadableRow("its user_name is longer than the 150 characters of an account's name")
    if not user_name:
        raise UnreadableRow("it names no user")
    id, at = id_of(columns), moment(columns.get("response_time"))
    request, response, usage = (
        parsed(name, columns.get(name)) for name in ("request", "response", "usage_info")
    )
    convo_title, shown, root = (
        columns.get("convo_title"),
        BOOLEANS.get(columns.get("convo_show")),
        columns.get("root_gpt_id"),
    )
    if len(root or "") > 500:
        raise UnreadableRow("its root_gpt_id is longer than 500 characters")
    classic: Json = {"title": columns.get("title")}
    kind = {"image_logs": Snapshot.Kind.IMAGE, "meta_summarizer_log": Snapshot.Kind.METADATA}.get(
        table, Snapshot.Kind.CHAT
    )
    if kind == Snapshot.Kind.CHAT:
        classic |= {"convo_title": convo_title, "convo_show": shown, "root_gpt_id": root}
        if convo_title == SUMMARIZER and root is None and not shown:
            kind = Snapshot.Kind.TITLE
    elif kind == Snapshot.Kind.METADATA:
        classic["orig_summarized_id"] = columns.get("orig_summarized_id")

    body = request if isinstance(request, dict) else {}
    if not isinstance(request, dict):
        classic["request"] = request
    elif fields := {name: body[name] for name in ("headers", REPLACED) if name in body}:
        classic["fields"] = fields
        body = {name: value for name, value in body.items() if name not in fields}
    row = ClassicRow(
        kind=kind,
        id=id,
        user_name=user_name,
        job_title=(columns.get("title") or "")[:150],
        at=at,
        root=None if root in NO_ROOT else root,
        title="",
        shown=shown is not False,
        body=body,
        messages=messages_of(kind, body),
        sent=(columns.get("request") or "").encode(),
        classic=classic,
    )
    if kind == Snapshot.Kind.CHAT:
        row.title = one_line(convo_title or calls.make_title(row.messages))
        if row.title != convo_title:
            classic["conversation_title"] = row.title
    _answered(row, response)
    _counted(row, usage, response)
    if kind == Snapshot.Kind.IMAGE:
        _paid(row, columns.get("usage_cost"))
    return row


def id_of(columns: dict[str, str | None]) -> UUID:
    try:
        return UUID(columns.get("id") or "")
    except ValueError:
        raise UnreadableRow("its id is no UUID") from None


def moment(text: str | None) -> datetime:
    """Naive times are UTC."""
    try:
        at = datetime.fromisoformat((text or "").strip())
    except ValueError:
        raise UnreadableRow("its response_time is no time") from None
    if not 1970 < at.year < 2500:
        raise UnreadableRow("its response_time is of another age")
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def order(text: str | None) -> int:
    """Microseconds, to sort by; times that cannot be read come first."""
    try:
        return int(moment(text).timestamp() * 1_000_000)
    except UnreadableRow:
        return 0


REPLACED = "_replaced"  # as the views say it of what PostgreSQL's json cannot hold


def parsed(name: str, text: str | None) -> Any:
    """The JSON of a column; also of JSON that stands in it as a text. Halves of a surrogate pair, which are no text, become U+FFFD, and an object says so."""
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
        value = orjson.loads(
            SURROGATE.sub("\ufffd", json.dumps(json.loads(text), ensure_ascii=False))
        )
    except (ValueError, RecursionError):
        raise UnreadableRow(f"its {name} is not JSON") from None
    return value | {REPLACED: True} if isinstance(value, dict) else value


def messages_of(kind: str, body: Json) -> list[Json]:
    """What was said, as far as a conversation can hold it: a title's or a summary's call belongs to none."""
    if kind == Snapshot.Kind.IMAGE:
        return (
            [{"role": "user", "content": body["prompt"]}]
            if isinstance(body.get("prompt"), str)
            else []
        )
    messages = body.get("messages")
    whole = (
        kind == Snapshot.Kind.CHAT
        and isinstance(messages, list)
        and all(isinstance(message, dict) for message in messages)
    )
    return messages if whole else []  # type: ignore[return-value]


def _answered(row: ClassicRow, response: Any) -> None:
    outcome, choices = row.outcome, None
    outcome.closed = row.at
    if isinstance(response, dict):
        choices = response.get("choices")
        if response.get("error") and not choices and not response.get("data"):
            outcome.status = Snapshot.Status.FAILED
        outcome.upstream_id, outcome.served_model = (
            _text(response.get("id")),
            _text(response.get("model")),
        )
    elif isinstance(response, list) and row.kind == Snapshot.Kind.CHAT:
        choices = [
            {"message": item["generation"]}
            for item in response
            if isinstance(item, dict) and "generation" in item
        ]  # SageMaker's
    outcome.response = response if isinstance(response, dict) else None
    if response is not None and outcome.response is None:
        row.classic["response"] = response
    if not row.messages:
        return
    if row.kind == Snapshot.Kind.IMAGE:
        outcome.replies = _pictures(response)
    elif isinstance(choices, list):
        said = [
            choice
            for choice in choices
            if isinstance(choice, dict) and isinstance(choice.get("message"), dict)
        ]
        outcome.replies = [choice["message"] for choice in said]
        outcome.finish_reason = _text(said[0].get("finish_reason")) if said else ""
        if len(said) < len(choices) and outcome.response:
            row.classic["response"], outcome.response = outcome.response, None


def _pictures(response: Any) -> list[Json]:
    items = (
        response.get("data") if isinstance(response, dict) and "choices" not in response else None
    )
    found = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    urls = [
        f"data:image/png;base64,{item['b64_json']}"
        if isinstance(item.get("b64_json"), str)
        else _text(item.get("url"))
        for item in found
    ]
    return (
        [
            {
                "role": "assistant",
                "content": [
                    {"type": "image_url", "image_url": {"url": url}} for url in urls if url
                ],
            }
        ]
        if any(urls)
        else []
    )


def _counted(row: ClassicRow, usage: Any, response: Any) -> None:
    told = (
        usage
        if isinstance(usage, dict)
        else response.get("usage")
        if usage is None and isinstance(response, dict)
        else None
    )
    if isinstance(told, dict):
        row.outcome.prompt_tokens, row.outcome.completion_tokens = (
            _count(told.get("prompt_tokens")),
            _count(told.get("completion_tokens")),
        )
    prompt, completion = row.outcome.prompt_tokens, row.outcome.completion_tokens or 0
    ours = (
        None
        if prompt is None
        else {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
    )
    if row.kind != Snapshot.Kind.IMAGE and usage != ours:
        row.classic["usage_info"] = usage


def _paid(row: ClassicRow, text: str | None) -> None:
    if text is None:
        return
    try:
        dollars = float(text)
    except ValueError:
        raise UnreadableRow("its usage_cost is no number") from None
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
