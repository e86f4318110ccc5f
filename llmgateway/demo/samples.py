"""The demo's sample conversations: fixtures/conversations.json, written as real calls, but dated.

A conversation there: `owner`, `days_ago` and `at` (UTC), `model` (`served` as another), `via` page
or key, and its turns. A turn: `minutes` since the one before, `ask` (text, or lines) or raw
`messages`, `say` or a raw `reply`; `after` names the turn it continues (0: none, a new beginning),
else the one before; `status` and `error` where it did not end well.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from uuid import UUID

import orjson
from django.conf import settings

from conversations import record
from conversations.models import Conversation, Snapshot, Unsealed
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
    """Write all of them in order of time, the last one yesterday, and return their number.

    By the account's name, `owners` are ids and `keys` prefixes of API keys.
    """
    samples = []
    for number, entry in enumerate(json.loads(FILE.read_text("utf-8"))):
        name = entry["owner"]
        key = keys[name] if entry.get("via") == "key" else ""
        day = (now - timedelta(days=entry["days_ago"])).date()
        # Seconds of its own, so that no two calls begin in one instant.
        begun = datetime.combine(day, time.fromisoformat(entry["at"]), UTC) + timedelta(
            seconds=7 * number % 60, microseconds=number * 1009
        )
        samples.append(Sample(entry, begun, owners[name], key))
    due = [(at, sample, turn) for sample in samples for at, turn in sample.times()]
    for _, sample, turn in sorted(due, key=lambda item: item[0]):
        sample.write(turn)
    hidden = [sample.root for sample in samples if sample.entry.get("hidden")]
    Conversation.objects.filter(id__in=hidden).update(shown=False)
    return len(samples)


def assess(now: datetime) -> None:
    """Assess every third in the night after it, as if a sample had been drawn.

    The calls are answered as the demo upstream would have answered them.
    """
    chats = (
        Conversation.objects.with_call(kind=Snapshot.Kind.CHAT, status=Snapshot.Status.OK)
        .select_related("owner")
        .order_by("started")
    )
    for number, conversation in enumerate(chats):
        night = datetime.combine(conversation.last.date() + timedelta(days=1), time(1, 30), UTC)
        at = night + timedelta(seconds=7 * number)
        if number % 3 == 0 and at <= now:
            assess_one(conversation, at)


def order_seals() -> None:
    """Let what waits for its seal have it in the order of time, as if it had come then.

    What is sealed out of that order is what verify takes for a call that was dated back.
    """
    waiting = list(Unsealed.objects.order_by("closed", "id").values("kind", "subject", "closed"))
    Unsealed.objects.all().delete()
    Unsealed.objects.bulk_create(Unsealed(**row) for row in waiting)


def assess_one(conversation: Conversation, at: datetime) -> None:
    request = metadata.build_request(conversation, opened=at, upstream=settings.LLM_LABEL)
    request.sent = orjson.dumps(request.body)
    messages = request.body["messages"]
    reply = {"role": "assistant", "content": answers.answer(messages)}
    model = CHAT.get(request.model, request.model)
    answer = complete_chat(at, model, reply)
    answer["usage"] = chat.make_usage(sum_tokens(messages), sum_tokens([reply]))
    call = record.open(request)
    ended = outcome.read_outcome(request, answer, Snapshot.Status.OK)
    ended.first_byte = at + timedelta(milliseconds=700)
    ended.closed = at + timedelta(seconds=3)
    record.close(call, ended)


def complete_chat(at: datetime, model: str, reply: Json, reason: str | None = "stop") -> Json:
    """Make a chat completion as OpenAI's API spells it, without its usage."""
    created = int(at.timestamp())
    return {
        "id": f"chatcmpl-demo{created}",
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [{"index": 0, "message": reply, "finish_reason": reason}],
    }


def sum_tokens(messages: list[Json]) -> int:
    return sum(count_tokens(threads.extract_searchable_text(message)) for message in messages)


class Sample:
    """One conversation of the file, written turn by turn."""

    def __init__(self, entry: Json, begun: datetime, owner: int, key: str) -> None:
        self.entry = entry
        self.begun = begun
        self.owner = owner
        self.key = key
        self.kind = entry.get("kind", Snapshot.Kind.CHAT)
        self.address = f"192.0.2.{owner % 200 + 10}"
        self.root: UUID | None = None
        system = text(entry.get("system"))
        preamble: list[Json] = [{"role": "system", "content": system}] if system else []
        # The messages after each turn: a turn that failed leaves those of before it.
        self.histories = [preamble]

    def times(self) -> Iterator[tuple[datetime, int]]:
        """Set when each turn was opened, and yield it with the turn's number."""
        at = self.begun
        for number, turn in enumerate(self.entry["turns"]):
            at += timedelta(minutes=turn.get("minutes", 2) if number else 0)
            turn["opened"] = at
            yield at, number

    def write(self, number: int) -> None:
        turn = self.entry["turns"][number]
        history = self.histories[turn.get("after", number)]
        status = turn.get("status", Snapshot.Status.OK)
        request = self._request(turn, history)
        if status == Snapshot.Status.REFUSED:
            call = record.open(replace(request, messages=[], root=None))
        else:
            call = record.open(request)
            self.root = call.conversation
        answer, pictures = self._answer(turn, request, status)
        ended = outcome.read_outcome(request, answer, status, pictures)
        error = turn.get("error", {})
        ended.error_code, ended.error = error.get("code", ""), error.get("text", "")
        ended.closed = call.opened + timedelta(milliseconds=40)
        if status != Snapshot.Status.REFUSED:
            waited = timedelta(milliseconds=380 + 37 * (len(request.sent) % 23))
            written = timedelta(milliseconds=20 * (ended.completion_tokens or 90))
            ended.first_byte = call.opened + waited
            ended.closed = ended.first_byte + written
        record.close(call, ended)
        if status == Snapshot.Status.OK:
            history = request.messages + [threads.fold_reply(reply) for reply in ended.replies]
        self.histories.append(history)

    def _request(self, turn: Json, history: list[Json]) -> CallRequest:
        new = turn.get("messages") or [{"role": "user", "content": text(turn.get("ask"))}]
        messages = history + draw_pictures(new)
        body = self._body(turn, messages)
        return CallRequest(
            owner=self.owner,
            kind=self.kind,
            model=self.entry["model"],
            body=body,
            messages=[] if self.kind == Snapshot.Kind.EMBEDDING else messages,
            sent=orjson.dumps(body),
            upstream=settings.LLM_LABEL,
            root=None if self.key else self.root,
            threads_by_content=bool(self.key),
            title=self.entry.get("title", ""),
            key=self.key,
            address=self.address,
            user_agent=PROGRAM if self.key else BROWSER,
            opened=turn["opened"],
        )

    def _body(self, turn: Json, messages: list[Json]) -> Json:
        entry, body = self.entry, {"model": self.entry["model"]}
        if self.kind == Snapshot.Kind.EMBEDDING:
            return body | {"input": turn["input"]}
        if self.kind == Snapshot.Kind.IMAGE:
            size = {"n": 1, "size": entry["size"], "response_format": "b64_json"}
            return body | {"prompt": text(turn["ask"])} | size
        body |= {"messages": messages}
        if not self.key:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        if "tools" in entry:
            body |= {"tools": entry["tools"]}
        return body | entry.get("params", {})

    def _answer(
        self, turn: Json, request: CallRequest, status: str
    ) -> tuple[Json | None, list[Json] | None]:
        """Make the upstream's JSON, as far as it came, and the pictures in it."""
        complete, opened = status == Snapshot.Status.OK, turn["opened"]
        served = self.entry.get("served") or CHAT.get(request.model, request.model)
        if request.kind == Snapshot.Kind.IMAGE and complete:
            picture = draw_picture(request.body["prompt"], request.body["size"])
            answer = {"created": int(opened.timestamp()), "data": [{"b64_json": picture}]}
            return answer, outcome.read_pictures(answer, lambda url: None)
        if request.kind == Snapshot.Kind.EMBEDDING:
            return embed(request.body["input"], served), None
        if not (turn.get("say") or turn.get("reply")):
            return None, None
        reply = turn.get("reply") or {"role": "assistant", "content": text(turn["say"])}
        if not complete:
            return complete_chat(opened, served, reply, None), None
        reason = "tool_calls" if reply.get("tool_calls") else "stop"
        answer = complete_chat(opened, served, reply, reason)
        prompt = 3 + 4 * len(request.messages) + sum_tokens(request.messages)
        answer["usage"] = chat.make_usage(*turn.get("tokens", (prompt, sum_tokens([reply]))))
        return answer, None


def embed(texts: list[str], model: str) -> Json:
    """Make an answer with embeddings as OpenAI's API spells it, but without the numbers."""
    used = sum(map(count_tokens, texts))
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": index} for index, _ in enumerate(texts)],
        "model": model,
        "usage": {"prompt_tokens": used, "total_tokens": used},
    }


def text(value: str | list[str] | None) -> str:
    """Join a text that is written as lines."""
    return "\n".join(value) if isinstance(value, list) else value or ""


def draw_pictures(messages: list[Json]) -> list[Json]:
    """Put a real picture in place of each `picture:` address, in the messages themselves."""
    for message in messages:
        for part in message["content"] if isinstance(message["content"], list) else []:
            url = part.get("image_url", {}).get("url", "")
            if url.startswith("picture:"):
                encoded = draw_picture(url.removeprefix("picture:"), "256x256")
                part["image_url"]["url"] = f"data:image/png;base64,{encoded}"
    return messages


def draw_picture(prompt: str, size: str) -> str:
    """Draw a PNG, in base64."""
    width, height = map(int, size.split("x"))
    return base64.b64encode(png(digest(prompt), width, height)).decode()
