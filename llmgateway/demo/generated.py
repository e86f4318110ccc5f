"""A year of a company's calls, made up: what the review desk is looked at and measured with, at a size that kills log tables.

Heavy-tailed, as real logs are: few people write most of it, few conversations are long, few words are common. The rows are those
that conversations.record writes, with its ids and path hashes, but copied in by the day: a million calls take minutes instead of
an hour. Only the commitment is over the newest message instead of the whole request, and pictures are addresses without files.
"""

import bisect
import itertools
import random
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.db.models import Model

from conversations import ids
from conversations.models import (
    Conversation,
    Message,
    SamplingPolicy,
    Snapshot,
    ThreadSeed,
    Unsealed,
    Usage,
    User,
)
from conversations.record import calls, threads
from conversations.record.calls import estimate_tokens
from conversations.record.rows import MESSAGE
from conversations.shape import Json
from proxy import prices
from proxy.faults import Code

MARK = "generated:"  # begins the external id of each person made up
DEPARTMENTS = {
    "Customer Service": ("Support Engineer", "Team Lead"),
    "Engineering": ("Backend Developer", "Site Reliability Engineer", "Product Manager"),
    "Finance": ("Analyst", "Controller"),
    "Legal": ("Legal Counsel",),
    "Marketing": ("Marketing Specialist", "Copywriter"),
    "People": ("HR Partner",),
    "Research": ("Data Scientist",),
    "Sales": ("Account Executive", "Sales Manager"),
    "Security": ("Security Analyst",),
}
STAFF = (
    ("lead0000", "Lead", "Compliance Lead"),
    *((f"reviewer{number:04}", "Reviewer", "Compliance Officer") for number in range(5)),
)
MODELS = {
    "gpt-4o-mini": 50,
    "gpt-4o": 25,
    "gpt-4.1": 12,
    "claude-sonnet-4-5": 8,
    "gemini-2.5-flash": 4,
    "llama-3.3-70b": 1,
}
PROMPTS = (
    "",
    "",
    "",
    "You are a helpful assistant.",
    "You are a careful programmer. Answer with code first.",
    "You help a security investigator.",
)
ENDS = {
    Snapshot.Status.OK: 940,
    Snapshot.Status.FAILED: 25,
    Snapshot.Status.CANCELLED: 20,
    Snapshot.Status.INTERRUPTED: 3,
}
FAULTS: dict[str, tuple[str, str]] = {
    Snapshot.Status.FAILED: (Code.UPSTREAM_TIMEOUT, "The model's server took too long to answer."),
    Snapshot.Status.CANCELLED: (Code.CLIENT_GONE, "The caller hung up."),
    Snapshot.Status.REFUSED: (Code.CONVERSATION_NOT_FOUND, "No such conversation."),
    Snapshot.Status.INTERRUPTED: (Code.GATEWAY_STOPPED, "The gateway was stopped."),
}
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "OpenAI/Python 3.54.0",
)
HOURS = (1, 1, 1, 1, 1, 2, 6, 15, 40, 60, 60, 50, 35, 50, 60, 60, 45, 25, 12, 6, 4, 3, 2, 1)
LONGEST = 500  # turns
SYLLABLES = [consonant + vowel for consonant in "bcdfglmnprstv" for vowel in "aeio"]
TOTALS = ("calls", "failures", "prompt_tokens", "completion_tokens", "cost")
Row = dict[str, Any]


class Weighted:
    """Draws by weight: the cumulated weights are made once."""

    def __init__(self, dice: random.Random, items: Any, weights: Any):
        self.dice, self.items, self.sums = dice, list(items), list(itertools.accumulate(weights))

    def __call__(self) -> Any:
        return self.items[bisect.bisect(self.sums, self.dice.random() * self.sums[-1])]


class Company:
    """Its people, and how they write. The same seed makes the same company."""

    def __init__(self, people: int, seed: int):
        self.dice = dice = random.Random(seed)  # noqa: S311 - nothing secret is drawn
        self.words = ["".join(dice.choices(SYLLABLES, k=dice.randint(1, 4))) for _ in range(20_000)]
        word = Weighted(dice, self.words, (1 / rank for rank in range(1, len(self.words) + 1)))
        sentences = [
            " ".join(word() for _ in range(dice.randint(4, 24))).capitalize() + "."
            for _ in range(30_000)
        ]
        self.sentence = Weighted(dice, sentences, itertools.repeat(1, len(sentences)))
        self.model = Weighted(dice, MODELS, MODELS.values())
        self.end = Weighted(dice, ENDS, ENDS.values())
        self.hour = Weighted(dice, range(24), HOURS)
        self.users = [self._person(number) for number in range(people)]
        self.owner = Weighted(dice, self.users, (1 / rank**0.8 for rank in range(1, people + 1)))
        self.staff = [self._staff(*each) for each in STAFF]

    def _person(self, number: int) -> tuple[int, bytes]:
        department = self.dice.choice(list(DEPARTMENTS))
        user = User.objects.create(
            username=f"person{number:04}",
            external_id=f"{MARK}{number}",
            department=department,
            job_title=self.dice.choice(DEPARTMENTS[department]),
            password="!",  # noqa: S106 - nobody signs in as them
        )
        return user.pk, bytes(
            ThreadSeed.objects.create(owner=user, seed=self.dice.randbytes(32)).seed
        )

    def _staff(self, name: str, group: str, title: str) -> User:
        """Who reviews, and does not ask models."""
        user = User.objects.create(
            username=name,
            external_id=f"{MARK}{name}",
            department="Compliance",
            job_title=title,
            is_staff=True,
            password="!",  # noqa: S106
        )
        user.groups.add(Group.objects.get(name=group))
        return user

    def samples(self, since: date) -> None:
        """Policies that draw into the queue: while the calls are sealed."""
        for percent, department in ((1, ""), (3, "Security")):
            SamplingPolicy.objects.create(
                percent=percent,
                department=department,
                seed=self.dice.randbytes(32),
                made=datetime.combine(since, time(), UTC),
                made_by=self.staff[0],
            )

    def text(self, mean: int) -> str:
        return " ".join(self.sentence() for _ in range(1 + int(self.dice.expovariate(1 / mean))))


class Day:
    """The rows of one day."""

    def __init__(self, company: Company, date: date):
        self.company, self.dice, self.date = company, company.dice, date
        self.conversations: list[Row] = []
        self.snapshots: list[Row] = []
        self.messages: list[Row] = []

    def converse(self) -> None:
        """One conversation more, and perhaps a call that was refused before it."""
        at = datetime.combine(
            self.date,
            time(
                self.company.hour(),
                self.dice.randrange(60),
                self.dice.randrange(60),
                self.dice.randrange(1_000_000),
            ),
            UTC,
        )
        if self.dice.random() < 0.02:
            Talk(self, at, Snapshot.Kind.CHAT).refused(at)
        talk = Talk(
            self, at, Snapshot.Kind.IMAGE if self.dice.random() < 0.02 else Snapshot.Kind.CHAT
        )
        for _ in range(
            1
            if talk.kind == Snapshot.Kind.IMAGE
            else min(int(self.dice.paretovariate(1.3)), LONGEST)
        ):
            at = talk.exchange(at) + timedelta(seconds=self.dice.expovariate(1 / 90))
        self.conversations.append(talk.row())

    def write(self) -> None:
        """In one transaction; the calls wait for their seals in order of closing."""
        self.snapshots.sort(key=lambda row: row["closed"])
        waiting = [{"subject": row["id"], "closed": row["closed"]} for row in self.snapshots]
        with transaction.atomic():
            copy(Conversation, self.conversations)
            copy(Snapshot, self.snapshots)
            copy(Message, self.messages)
            copy(Unsealed, waiting)


class Talk:
    """One conversation as it goes on: `parent` is the message that the next one follows."""

    def __init__(self, day: Day, begun: datetime, kind: str):
        company, self.dice = day.company, day.dice
        self.day, self.say, self.kind, self.begun, self.last = day, company.text, kind, begun, begun
        (self.owner, self.key), self.id = company.owner(), ids.make_id(begun)
        self.model = "dall-e-2" if kind == Snapshot.Kind.IMAGE else company.model()
        self.by_page = self.dice.random() < 0.6
        self.parent: Row | None = None
        self.preamble: UUID | None = None
        self.title, self.calls = "", []  # type: ignore[var-annotated]

    def exchange(self, at: datetime) -> datetime:
        """A question and its answer; some answers are asked for twice. When it was over."""
        first, parent = ids.make_id(at), self.parent
        question = {"role": "user", "content": self.say(2)}
        if parent is None:
            self.title = calls.make_title([question])
            if system := self.dice.choice(PROMPTS) if self.kind == Snapshot.Kind.CHAT else "":
                self.preamble = self._message(
                    first, {"role": "system", "content": system}, None, threads.PREAMBLE
                )["id"]
        head = self._message(first, question, parent)
        for id in (first, ids.make_id(at + timedelta(seconds=40)))[
            : 1 + (self.dice.random() < 0.03)
        ]:
            at = self._call(id, at, head, self.day.company.end())
        return at

    def refused(self, at: datetime) -> None:
        body = {"model": self.model, "messages": [{"role": "user", "content": self.say(2)}]}
        self._snapshot(
            ids.make_id(at),
            at,
            Snapshot.Status.REFUSED,
            at + timedelta(milliseconds=3),
            body,
            conversation_id=None,
        )

    def _call(self, id: UUID, at: datetime, head: Row, status: str) -> datetime:
        complete, image = status == Snapshot.Status.OK, self.kind == Snapshot.Kind.IMAGE
        spent: Row = {}
        body: Json = {"model": self.model} | (
            {"stream": True, "stream_options": {"include_usage": True}} if self.by_page else {}
        )
        reply, response = None, ""
        if image:
            body = {"model": self.model, "prompt": head["text"], "n": 1, "size": "1024x1024"}
            response = (
                orjson.dumps(
                    {
                        "created": int(at.timestamp()),
                        "data": [{"url": "https://images.example/1.png"}],
                    }
                ).decode()
                if complete
                else ""
            )
            spent = {"cost": prices.image_cost(body)} if complete else {}
        elif complete or status == Snapshot.Status.CANCELLED:
            reply = self._message(id, {"role": "assistant", "content": self.say(6)}, head)
            choice = {
                "index": 0,
                "message": {MESSAGE: str(reply["id"])},
                "finish_reason": "stop" if complete else None,
            }
            response = orjson.dumps(
                {
                    "id": f"chatcmpl-{id.hex}",
                    "object": "chat.completion",
                    "model": self.model,
                    "choices": [choice],
                }
            ).decode()
            prompt, completion = (
                estimate_tokens(head["text"]) * (head["depth"] + 1),
                estimate_tokens(reply["text"]),
            )
            spent = {
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "cost": prices.token_cost(self.model, prompt, completion),
            }
        self.parent, self.last = (
            reply or head,
            at + timedelta(milliseconds=400 + 20 * spent.get("completion_tokens", 90)),
        )
        spent |= (
            {"upstream_id": f"chatcmpl-{id.hex}", "finish_reason": "stop"}
            if complete and reply
            else {}
        )
        self.calls.append(
            self._snapshot(
                id,
                at,
                status,
                self.last,
                body,
                head_id=head["id"],
                reply_id=reply and reply["id"],
                response=response,
                **spent,
            )
        )
        return self.last

    def _snapshot(
        self, id: UUID, opened: datetime, status: str, closed: datetime, body: Json, **fields: Any
    ) -> Row:
        params, salt = orjson.dumps(body), self.dice.randbytes(16)
        code, error = FAULTS.get(status, ("", ""))
        row = {
            "id": id,
            "conversation_id": self.id,
            "owner_id": self.owner,
            "key": "" if self.by_page else f"gw-{self.owner:08}",
            "end_user": "",
            "kind": self.kind,
            "status": status,
            "stop": False,
            "model": self.model,
            "served_model": self.model if status == Snapshot.Status.OK else "",
            "upstream": "OPEN_AI",
            "params": params.decode(),
            "preamble_id": self.preamble,
            "head_id": None,
            "salt": salt,
            "commitment": sha256(salt + params).digest(),
            "reply_id": None,
            "response": "",
            "finish_reason": "",
            "upstream_id": "",
            "upstream_request_id": "",
            "prompt_tokens": None,
            "completion_tokens": None,
            "estimated": False,
            "cost": None,
            "error_code": code,
            "error": error,
            "address": f"192.0.2.{self.owner % 250 + 1}",
            "user_agent": AGENTS[not self.by_page],
            "opened": opened,
            "first_byte": opened + timedelta(milliseconds=350)
            if status in (Snapshot.Status.OK, Snapshot.Status.CANCELLED)
            else None,
            "closed": closed,
        } | fields
        self.day.snapshots.append(row)
        return row

    def _message(
        self, snapshot: UUID, message: Json, parent: Row | None, root: bytes = threads.TURNS
    ) -> Row:
        [id] = threads.make_message_ids(
            self.key, self.id, parent["id"] if parent else root, [message]
        )
        path_hash = (
            threads.hash_next(self.key, parent["path_hash"], message)
            if parent
            else threads.hash_path(self.key, root, [message])[0]
        )
        row = {
            "id": id,
            "conversation_id": self.id,
            "snapshot_id": snapshot,
            "parent_id": parent and parent["id"],
            "depth": parent["depth"] + 1 if parent else 0,
            "role": message["role"],
            "text": message["content"],
            "raw": None,
            "echo_of_id": None,
            "path_hash": path_hash,
            "origin": Message.Origin.RELAYED
            if message["role"] == "assistant"
            else Message.Origin.SENT,
        }
        self.day.messages.append(row)
        return row

    def row(self) -> Row:
        def total(name: str) -> Any:
            return sum(call[name] or 0 for call in self.calls)

        return {
            "id": self.id,
            "owner_id": self.owner,
            "title": self.title,
            "shown": True,
            "started": self.begun,
            "last": self.last,
            "turns": sum(call["reply_id"] is not None for call in self.calls),
            "prompt_tokens": total("prompt_tokens"),
            "completion_tokens": total("completion_tokens"),
            "cost": total("cost"),
        }


def use(usage: dict[tuple, Row], snapshots: list[Row]) -> None:
    """Adds what closing the calls would have added to the roll-up: by the day of opening, which may be the next one, owner and model."""
    for call in snapshots:
        key = (call["opened"].date(), call["owner_id"], call["model"])
        row = usage.setdefault(
            key,
            dict(zip(("day", "owner_id", "model"), key, strict=True)) | dict.fromkeys(TOTALS, 0),
        )
        row["calls"] += 1
        row["failures"] += call["status"] != Snapshot.Status.OK
        for name in TOTALS[2:]:
            row[name] += call[name] or 0


def copy(model: type[Model], rows: list[Row]) -> None:
    if not rows:
        return
    columns = list(rows[0])
    with (
        connection.cursor() as cursor,
        cursor.cursor.copy(
            f"COPY {model._meta.db_table} ({', '.join(columns)}) FROM STDIN"
        ) as stream,
    ):
        for row in rows:
            stream.write_row([row[name] for name in columns])


def write(calls: int, people: int, seed: int, today: date, done: Callable[[int], None]) -> Company:
    """So many calls (a few more: the last day is finished) over the year before today, growing, with quiet weekends."""
    company = Company(people, seed)
    days = [today - timedelta(days=ago) for ago in range(365, 0, -1)]
    company.samples(days[0])
    weights = [
        (1.0 if day.weekday() < 5 else 0.12) * (0.5 + number / 365)
        for number, day in enumerate(days)
    ]
    written, usage = 0, {}  # type: ignore[var-annotated]
    for day, share in zip(days, itertools.accumulate(weights), strict=True):
        rows = Day(company, day)
        while written + len(rows.snapshots) < calls * share / sum(weights):
            rows.converse()
        rows.write()
        use(usage, rows.snapshots)
        written += len(rows.snapshots)
        done(written)
    copy(Usage, list(usage.values()))
    return company
