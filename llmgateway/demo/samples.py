"""The demo's sample conversations: fixtures/conversations.json → calls, written as real ones are, but dated.

A conversation there: `owner`, `days_ago` and `at` (UTC), `model` (`served` as another), `via` page or key, and its turns. A turn:
`minutes` since the one before, `ask` (text, or lines) or raw `messages`, `say` or a raw `reply`; `after` names the turn it
continues (0: none, a new beginning), else the one before; `status` and `error` where it did not end well.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings

from conversations import record
from conversations.models import Conversation, Snapshot
from conversations.record import CallRequest, threads
from conversations.shape import Json
from proxy import outcome
from proxy.demo import answers, chat
from proxy.demo.models import CHAT
from proxy.demo.picture import digest, png
from proxy.demo.questions import count_tokens
from proxy.jobs import metadata

FILE = settings.BASE_DIR / "fixtures" / "conversations.json"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
PROGRAM = "OpenAI/Python 3.54.0"


def write(owners: dict[str, int], keys: dict[str, str], now: datetime) -> int:
    """All of them, in order of time, the last one yesterday. How many conversations; `owners` are ids and `keys` prefixes by name."""
    samples = [
        Sample(entry, number, owners, keys, now)
        for number, entry in enumerate(json.loads(FILE.read_text("utf-8")))
    ]
    due = [(at, sample, turn) for sample in samples for at, turn in sample.times()]
    for _, sample, turn in sorted(due, key=lambda one: one[0]):
        sample.write(turn)
    Conversation.objects.filter(
        id__in=[sample.root for sample in samples if sample.entry.get("hidden")]
    ).update(shown=False)
    return len(samples)


def assess(now: datetime) -> None:
    """Every third, the night after it, as if a sample had been drawn: by calls that the demo upstream would have answered so."""
    chats = (
        Conversation.objects.with_call(kind=Snapshot.Kind.CHAT, status=Snapshot.Status.OK)
        .select_related("owner")
        .order_by("started")
    )
    for number, conversation in enumerate(chats):
        at = datetime.combine(
            conversation.last.date() + timedelta(days=1), time(1, 30), UTC
        ) + timedelta(seconds=7 * number)
        if number % 3 or at > now:
            continue
        asked = metadata.build_request(conversation, opened=at, upstream=settings.LLM_LABEL)
        asked.sent = orjson.dumps(asked.body)
        reply = {"role": "assistant", "content": answers.answer(asked.body["messages"])}
        answer = completed(
            f"chatcmpl-demo{int(at.timestamp())}", at, CHAT.get(asked.model, asked.model), reply
        )
        answer["usage"] = chat.make_usage(
            *(
                sum(count_tokens(threads.extract_searchable_text(each)) for each in said)
                for said in (asked.body["messages"], [reply])
            )
        )
        call, ended = record.open(asked), outcome.read_outcome(asked, answer, Snapshot.Status.OK)
        ended.first_byte, ended.closed = at + timedelta(milliseconds=700), at + timedelta(seconds=3)
        record.close(call, ended)


def completed(id: str, at: datetime, model: str, reply: Json, reason: str | None = "stop") -> Json:
    choice = {"index": 0, "message": reply, "finish_reason": reason}
    return {
        "id": id,
        "object": "chat.completion",
        "created": int(at.timestamp()),
        "model": model,
        "choices": [choice],
    }


class Sample:
    def __init__(
        self, entry: Json, number: int, owners: dict[str, int], keys: dict[str, str], now: datetime
    ):
        self.entry, self.owner = entry, owners[entry["owner"]]
        self.key = keys[entry["owner"]] if entry.get("via") == "key" else ""
        day = (now - timedelta(days=entry["days_ago"])).date()
        # Seconds of its own, so that no two calls begin in one instant.
        self.begin = datetime.combine(day, time.fromisoformat(entry["at"]), UTC) + timedelta(
            seconds=7 * number % 60, microseconds=number * 1009
        )
        self.address = f"192.0.2.{self.owner % 200 + 10}"
        self.root: UUID | None = None
        system = text(entry.get("system"))
        self.histories: list[list[Json]] = [
            [{"role": "system", "content": system}] if system else []
        ]

    def times(self) -> Iterator[tuple[datetime, int]]:
        at = self.begin
        for number, turn in enumerate(self.entry["turns"]):
            at += timedelta(minutes=turn.get("minutes", 2) if number else 0)
            turn["opened"] = at
            yield at, number

    def write(self, number: int) -> None:
        turn = self.entry["turns"][number]
        history = self.histories[turn.get("after", number)]
        status = turn.get("status", Snapshot.Status.OK)
        asked = self.asked(turn, history)
        if status == Snapshot.Status.REFUSED:
            call = record.open(replace(asked, messages=[], root=None))
        else:
            call = record.open(asked)
            self.root = call.conversation
        answer, pictures = self.answer(turn, asked, status)
        ended = outcome.read_outcome(asked, answer, status, pictures)
        ended.error_code, ended.error = (
            turn.get("error", {}).get("code", ""),
            turn.get("error", {}).get("text", ""),
        )
        ended.closed = call.opened + timedelta(milliseconds=40)
        if status != Snapshot.Status.REFUSED:
            ended.first_byte = call.opened + timedelta(
                milliseconds=380 + 37 * (len(asked.sent) % 23)
            )
            ended.closed = ended.first_byte + timedelta(
                milliseconds=20 * (ended.completion_tokens or 90)
            )
        record.close(call, ended)
        done = status == Snapshot.Status.OK
        self.histories.append(
            asked.messages + [threads.fold_reply(reply) for reply in ended.replies]
            if done
            else history
        )

    def asked(self, turn: Json, history: list[Json]) -> CallRequest:
        entry, kind = self.entry, self.entry.get("kind", Snapshot.Kind.CHAT)
        messages = history + drawn(
            turn.get("messages") or [{"role": "user", "content": text(turn.get("ask"))}]
        )
        body: Json = {"model": entry["model"]}
        if kind == Snapshot.Kind.CHAT:
            body |= {"messages": messages} | (
                {} if self.key else {"stream": True, "stream_options": {"include_usage": True}}
            )
            body |= {name: entry[name] for name in ("tools",) if name in entry} | entry.get(
                "params", {}
            )
        elif kind == Snapshot.Kind.IMAGE:
            body |= {
                "prompt": text(turn["ask"]),
                "n": 1,
                "size": entry["size"],
                "response_format": "b64_json",
            }
        else:
            body, messages = body | {"input": turn["input"]}, []
        return CallRequest(
            owner=self.owner,
            kind=kind,
            model=entry["model"],
            body=body,
            messages=messages,
            sent=orjson.dumps(body),
            upstream=settings.LLM_LABEL,
            root=None if self.key else self.root,
            threads_by_content=bool(self.key),
            title=entry.get("title", ""),
            key=self.key,
            address=self.address,
            user_agent=PROGRAM if self.key else BROWSER,
            opened=turn["opened"],
        )

    def answer(
        self, turn: Json, asked: CallRequest, status: str
    ) -> tuple[Json | None, list[Json] | None]:
        """The upstream's JSON, as far as it came, and the pictures in it."""
        complete, created = status == Snapshot.Status.OK, int(turn["opened"].timestamp())
        served = self.entry.get("served") or CHAT.get(asked.model, asked.model)
        prompt = sum(
            4 + count_tokens(threads.extract_searchable_text(message)) for message in asked.messages
        )
        if asked.kind == Snapshot.Kind.IMAGE and complete:
            answer = {
                "created": created,
                "data": [{"b64_json": picture(asked.body["prompt"], asked.body["size"])}],
            }
            return answer, outcome.read_pictures(answer, lambda url: None)
        if asked.kind == Snapshot.Kind.EMBEDDING:
            used = sum(map(count_tokens, asked.body["input"]))
            data = [
                {"object": "embedding", "index": index}
                for index, _ in enumerate(asked.body["input"])
            ]
            return {
                "object": "list",
                "data": data,
                "model": served,
                "usage": {"prompt_tokens": used, "total_tokens": used},
            }, None
        if not (turn.get("say") or turn.get("reply")):
            return None, None
        reply = turn.get("reply") or {"role": "assistant", "content": text(turn["say"])}
        reason = "tool_calls" if reply.get("tool_calls") else "stop"
        answer = completed(
            f"chatcmpl-demo{created}", turn["opened"], served, reply, reason if complete else None
        )
        if complete:
            answer["usage"] = chat.make_usage(
                *turn.get(
                    "tokens", (3 + prompt, count_tokens(threads.extract_searchable_text(reply)))
                )
            )
        return answer, None


def text(value: Any) -> str:
    """A text, or its lines."""
    return "\n".join(value) if isinstance(value, list) else value or ""


def drawn(messages: list[Json]) -> list[Json]:
    """With a real picture in place of each `picture:` address."""
    for message in messages:
        for part in message["content"] if isinstance(message["content"], list) else []:
            url = part.get("image_url", {}).get("url", "")
            if url.startswith("picture:"):
                part["image_url"]["url"] = "data:image/png;base64," + picture(
                    url.removeprefix("picture:"), "256x256"
                )
    return messages


def picture(prompt: str, size: str) -> str:
    width, height = map(int, size.split("x"))
    return base64.b64encode(png(digest(prompt), width, height)).decode()
