"""A made-up year of a company's calls, for demonstrating and measuring the review desk at size.

Heavy-tailed, as real logs are: few people write most of it, few conversations are long, few words
are common. The rows are those that conversations.record writes, with its ids and path hashes, but
copied in by the day: a million calls take minutes instead of an hour. Two things differ: the
commitment covers the parameters alone instead of the request, and pictures are addresses without
files.
"""

import bisect
import itertools
import random
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any, Generic, TypeVar
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
from conversations.models.user import MADE_UP as MARK
from conversations.record import calls, threads
from conversations.record.calls import estimate_tokens
from conversations.record.rows import MESSAGE
from conversations.shape import Json
from proxy import prices
from proxy.faults import Code
from proxy.protocols.usage import TokenUsage

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
USED = ("prompt_tokens", "completion_tokens", "cost")
TOTALS = ("calls", "failures", *USED)
Row = dict[str, Any]
Item = TypeVar("Item")


class Weighted(Generic[Item]):
    """Draws of items by weight."""

    def __init__(
        self, dice: random.Random, items: Iterable[Item], weights: Iterable[float]
    ) -> None:
        self.dice = dice
        self.items = list(items)
        self.sums = list(itertools.accumulate(weights))

    def __call__(self) -> Item:
        return self.items[bisect.bisect(self.sums, self.dice.random() * self.sums[-1])]


class Company:
    """Its people, and how they write. The same seed makes the same company."""

    def __init__(self, people: int, seed: int) -> None:
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
        self.users = [self._make_person(number) for number in range(people)]
        self.owner = Weighted(dice, self.users, (1 / rank**0.8 for rank in range(1, people + 1)))
        self.staff = [self._make_reviewer(*fields) for fields in STAFF]

    def _make_person(self, number: int) -> tuple[int, bytes]:
        """Create an account that calls models: its id, and the key of its thread ids."""
        department = self.dice.choice(list(DEPARTMENTS))
        user = User.objects.create(
            username=f"person{number:04}",
            external_id=f"{MARK}{number}",
            department=department,
            job_title=self.dice.choice(DEPARTMENTS[department]),
            password="!",  # noqa: S106 - no password fits it
        )
        seed = ThreadSeed.objects.create(owner=user, seed=self.dice.randbytes(32)).seed
        return user.pk, bytes(seed)

    def _make_reviewer(self, name: str, group: str, title: str) -> User:
        """Create an account that reviews, and does not call models."""
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

    def make_sampling_policies(self, since: date) -> None:
        """Create the policies that draw conversations into the queue as the calls are sealed."""
        for percent, department in ((1, ""), (3, "Security")):
            SamplingPolicy.objects.create(
                percent=percent,
                department=department,
                seed=self.dice.randbytes(32),
                made=datetime.combine(since, time(), UTC),
                made_by=self.staff[0],
            )

    def text(self, mean: int) -> str:
        """Write `mean` sentences and one more, on average."""
        return " ".join(self.sentence() for _ in range(1 + int(self.dice.expovariate(1 / mean))))


class Day:
    """The rows of one day."""

    def __init__(self, company: Company, date: date) -> None:
        self.company = company
        self.dice = company.dice
        self.date = date
        self.conversations: list[Row] = []
        self.snapshots: list[Row] = []
        self.messages: list[Row] = []

    def add_conversation(self) -> None:
        """Add one conversation, and perhaps a call that was refused before it."""
        at = self._draw_time()
        if self.dice.random() < 0.02:
            Talk(self, at, Snapshot.Kind.CHAT).refuse(at)
        kind = Snapshot.Kind.IMAGE if self.dice.random() < 0.02 else Snapshot.Kind.CHAT
        talk = Talk(self, at, kind)
        turns = 1
        if kind == Snapshot.Kind.CHAT:
            turns = min(int(self.dice.paretovariate(1.3)), LONGEST)
        for _ in range(turns):
            at = talk.exchange(at) + timedelta(seconds=self.dice.expovariate(1 / 90))
        self.conversations.append(talk.row())

    def _draw_time(self) -> datetime:
        hour, dice = self.company.hour(), self.dice
        begun = time(hour, dice.randrange(60), dice.randrange(60), dice.randrange(1_000_000))
        return datetime.combine(self.date, begun, UTC)

    def write(self) -> None:
        """Copy the rows in one transaction; the calls wait for their seals by time of closing."""
        self.snapshots.sort(key=lambda row: row["closed"])
        waiting = [{"subject": row["id"], "closed": row["closed"]} for row in self.snapshots]
        with transaction.atomic():
            copy_rows(Conversation, self.conversations)
            copy_rows(Snapshot, self.snapshots)
            copy_rows(Message, self.messages)
            copy_rows(Unsealed, waiting)


class Talk:
    """One conversation as it goes on: `parent` is the message that the next one follows."""

    def __init__(self, day: Day, begun: datetime, kind: str) -> None:
        company = day.company
        self.day = day
        self.dice = day.dice
        self.write_text = company.text
        self.kind = kind
        self.begun = begun
        self.last = begun
        self.owner, self.key = company.owner()
        self.id = ids.make_id(begun)
        self.model = "dall-e-2" if kind == Snapshot.Kind.IMAGE else company.model()
        self.by_page = self.dice.random() < 0.6
        self.parent: Row | None = None
        self.preamble: UUID | None = None
        self.title = ""
        self.calls: list[Row] = []

    def exchange(self, at: datetime) -> datetime:
        """Add a question and its answer, sometimes answered twice; return when it was over."""
        first, parent = ids.make_id(at), self.parent
        question = {"role": "user", "content": self.write_text(2)}
        if parent is None:
            self.title = calls.make_title([question])
            self._add_preamble(first)
        head = self._add_message(first, question, parent)
        snapshots = [first, ids.make_id(at + timedelta(seconds=40))]
        answers = 2 if self.dice.random() < 0.03 else 1
        for snapshot in snapshots[:answers]:
            at = self._add_call(snapshot, at, head, self.day.company.end())
        return at

    def refuse(self, at: datetime) -> None:
        """Add a call that was refused, and belongs to no conversation."""
        messages = [{"role": "user", "content": self.write_text(2)}]
        self._add_snapshot(
            ids.make_id(at),
            {"model": self.model, "messages": messages},
            status=Snapshot.Status.REFUSED,
            opened=at,
            closed=at + timedelta(milliseconds=3),
            conversation_id=None,
        )

    def _add_preamble(self, snapshot: UUID) -> None:
        system = self.dice.choice(PROMPTS) if self.kind == Snapshot.Kind.CHAT else ""
        if system:
            message = {"role": "system", "content": system}
            self.preamble = self._add_message(snapshot, message, None, threads.PREAMBLE)["id"]

    def _add_call(self, snapshot: UUID, at: datetime, head: Row, status: str) -> datetime:
        """Add one call and its reply; return when it was closed."""
        body = self._body(head)
        fields: Row = {}
        reply: Row | None = None
        if self.kind == Snapshot.Kind.IMAGE:
            if status == Snapshot.Status.OK:
                fields = draw_image(body, at)
        elif status in (Snapshot.Status.OK, Snapshot.Status.CANCELLED):
            message = {"role": "assistant", "content": self.write_text(6)}
            reply = self._add_message(snapshot, message, head)
            fields = answer_chat(snapshot, head, reply, status, self.model)
        self.parent = reply or head
        milliseconds = 400 + 20 * fields.get("completion_tokens", 90)
        self.last = at + timedelta(milliseconds=milliseconds)
        row = self._add_snapshot(
            snapshot,
            body,
            status=status,
            opened=at,
            closed=self.last,
            head_id=head["id"],
            reply_id=reply and reply["id"],
            **fields,
        )
        self.calls.append(row)
        return self.last

    def _body(self, head: Row) -> Json:
        """What the caller sends, without the messages."""
        if self.kind == Snapshot.Kind.IMAGE:
            return {"model": self.model, "prompt": head["text"], "n": 1, "size": "1024x1024"}
        if self.by_page:
            stream = {"stream": True, "stream_options": {"include_usage": True}}
            return {"model": self.model} | stream
        return {"model": self.model}

    def _add_snapshot(self, snapshot: UUID, body: Json, **fields: Any) -> Row:
        """Add a call's row; `fields` hold its `status`, `opened` and `closed` at least."""
        params, salt = orjson.dumps(body), self.dice.randbytes(16)
        status: str = fields["status"]
        code, error = FAULTS.get(status, ("", ""))
        has_begun = status in (Snapshot.Status.OK, Snapshot.Status.CANCELLED)
        row = {
            "id": snapshot,
            "conversation_id": self.id,
            "owner_id": self.owner,
            "key": "" if self.by_page else f"gw-{self.owner:08}",
            "end_user": "",
            "kind": self.kind,
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
            "cost_source": "",
            "error_code": code,
            "error": error,
            "address": f"192.0.2.{self.owner % 250 + 1}",
            "user_agent": AGENTS[not self.by_page],
            "first_byte": fields["opened"] + timedelta(milliseconds=350) if has_begun else None,
        } | fields
        self.day.snapshots.append(row)
        return row

    def _add_message(
        self, snapshot: UUID, message: Json, parent: Row | None, root: bytes = threads.TURNS
    ) -> Row:
        [message_id] = threads.make_message_ids(
            self.key, self.id, parent["id"] if parent else root, [message]
        )
        path_hash = (
            threads.hash_next(self.key, parent["path_hash"], message)
            if parent
            else threads.hash_path(self.key, root, [message])[0]
        )
        is_reply = message["role"] == "assistant"
        row = {
            "id": message_id,
            "conversation_id": self.id,
            "snapshot_id": snapshot,
            "parent_id": parent and parent["id"],
            "depth": parent["depth"] + 1 if parent else 0,
            "role": message["role"],
            "text": message["content"],
            "raw": None,
            "echo_of_id": None,
            "path_hash": path_hash,
            "origin": Message.Origin.RELAYED if is_reply else Message.Origin.SENT,
        }
        self.day.messages.append(row)
        return row

    def row(self) -> Row:
        totals = {name: sum(call[name] or 0 for call in self.calls) for name in USED}
        return {
            "id": self.id,
            "owner_id": self.owner,
            "title": self.title,
            "shown": True,
            "started": self.begun,
            "last": self.last,
            "turns": sum(call["reply_id"] is not None for call in self.calls),
        } | totals


def draw_image(body: Json, at: datetime) -> Row:
    """Make the fields of a snapshot whose image was drawn."""
    response = {
        "created": int(at.timestamp()),
        "data": [{"url": "https://images.example/1.png"}],
    }
    fields: Row = {"response": orjson.dumps(response).decode()}
    return fields | _priced(prices.image_cost(body))


def _priced(cost: Decimal | None) -> Row:
    return {"cost": cost, "cost_source": "" if cost is None else Snapshot.CostSource.LIST.value}


def answer_chat(snapshot: UUID, head: Row, reply: Row, status: str, model: str) -> Row:
    """Make the fields of a snapshot whose question was answered, or half answered."""
    complete = status == Snapshot.Status.OK
    choice = {
        "index": 0,
        "message": {MESSAGE: str(reply["id"])},
        "finish_reason": "stop" if complete else None,
    }
    response = {
        "id": f"chatcmpl-{snapshot.hex}",
        "object": "chat.completion",
        "model": model,
        "choices": [choice],
    }
    prompt = estimate_tokens(head["text"]) * (head["depth"] + 1)
    completion = estimate_tokens(reply["text"])
    fields: Row = {
        "response": orjson.dumps(response).decode(),
        "prompt_tokens": prompt,
        "completion_tokens": completion,
    } | _priced(prices.token_cost([model], TokenUsage(fresh=prompt, output=completion)))
    if complete:
        fields |= {"upstream_id": f"chatcmpl-{snapshot.hex}", "finish_reason": "stop"}
    return fields


def add_usage(usage: dict[tuple, Row], snapshots: list[Row]) -> None:
    """Add the calls to the roll-up by day of opening, owner and model, as their closing does.

    The day of opening may be the one after the day of the conversation.
    """
    for call in snapshots:
        key = (call["opened"].date(), call["owner_id"], call["model"])
        names = dict(zip(("day", "owner_id", "model"), key, strict=True))
        row = usage.setdefault(key, names | dict.fromkeys(TOTALS, 0))
        row["calls"] += 1
        row["failures"] += call["status"] != Snapshot.Status.OK
        for name in USED:
            row[name] += call[name] or 0


def copy_rows(model: type[Model], rows: Sequence[Row]) -> None:
    if not rows:
        return
    columns = list(rows[0])
    statement = f"COPY {model._meta.db_table} ({', '.join(columns)}) FROM STDIN"
    with connection.cursor() as cursor, cursor.cursor.copy(statement) as stream:
        for row in rows:
            stream.write_row([row[name] for name in columns])


def write(
    calls: int, people: int, seed: int, today: date, report: Callable[[int], None]
) -> Company:
    """Write so many calls over the year before today, growing, with quiet weekends.

    The last day is finished, so that a few more are written. `report` gets the calls written so
    far after each day.
    """
    company = Company(people, seed)
    days = [today - timedelta(days=ago) for ago in range(365, 0, -1)]
    company.make_sampling_policies(days[0])
    weights = [
        (1.0 if day.weekday() < 5 else 0.12) * (0.5 + number / 365)
        for number, day in enumerate(days)
    ]
    written = 0
    usage: dict[tuple, Row] = {}
    for day, share in zip(days, itertools.accumulate(weights), strict=True):
        rows = Day(company, day)
        while written + len(rows.snapshots) < calls * share / sum(weights):
            rows.add_conversation()
        rows.write()
        add_usage(usage, rows.snapshots)
        written += len(rows.snapshots)
        report(written)
    copy_rows(Usage, list(usage.values()))
    return company
