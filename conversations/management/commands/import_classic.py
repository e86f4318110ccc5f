"""Brings over the log of a classic gateway. May be run again: rows that are here already are passed by, whatever became of them since."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import psycopg
from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand, CommandError
from django.db import DataError, transaction
from django.db.models import Q
from psycopg import sql

from conversations import record
from conversations.imports import classic
from conversations.imports.classic import ClassicRow, UnreadableRow
from conversations.imports.sqldump import BrokenDump, Dump
from conversations.imports.sqldump import UnreadableDump as UnreadableInDump
from conversations.models import Conversation, Snapshot, User
from conversations.record import place

BATCH, BATCH_SIZE = (
    100,
    16_000_000,
)  # rows, and characters, of one transaction: what a stop loses, and the next run does again


Columns = dict[str, str | None]
Found = tuple[str, Columns | UnreadableInDump]  # where a row is, and what it says


class Command(BaseCommand):
    help = "Imports the log of a classic gateway, from its database or from an SQL dump of it. May be stopped, and run again."

    def add_arguments(self, parser):
        help = "postgresql://user@host:5432/name (its password from PGPASSWORD or ~/.pgpass), or a file"
        parser.add_argument("source", metavar="DATABASE_URL|FILE.sql", help=help)
        parser.add_argument("--schema", default="llm_logs", help="of the tables, in a database")

    def handle(self, *, source, schema, **options):
        self.imported = self.known = self.unreadable = self.done = self.told = 0
        self.owners: dict[str, User] = {}
        try:
            with log_of(source, schema) as log:
                self.total = sum(log.count(table) for table in classic.TABLES)
                for table in classic.TABLES:
                    for batch in batches(log.rows(table)):
                        self.bring(table, batch)
                        self.show_progress()
                if log.problem:
                    self.refuse("the rest of the dump", log.problem)
        except KeyboardInterrupt:
            raise CommandError(
                f"Stopped. {self.imported:,} rows were imported; run it again to go on.",
                returncode=130,
            ) from None
        except psycopg.Error as problem:  # the classic one's: ours are Django's
            raise CommandError(
                f"The classic database failed: {problem}\n{self.imported:,} rows were imported; run it again to go on."
            ) from None
        self.end_line()
        self.stdout.write(
            f"Imported {self.imported:,} rows. Already here: {self.known:,}. Not readable: {self.unreadable:,}."
        )
        if self.unreadable:
            raise CommandError(
                "Not everything could be read; what could is imported.", returncode=1
            )

    def bring(self, table: str, batch: list[Found]) -> None:
        ids: dict[UUID, tuple[str, Columns]] = {}
        for where, columns in batch:
            self.done += 1
            try:
                if isinstance(columns, Exception):
                    raise columns
                id = classic.id_of(columns)
                self.known += id in ids
                ids.setdefault(id, (where, columns))
            except (UnreadableRow, UnreadableInDump) as why:
                self.refuse(f"{table}, {where}", why)
        known = set(
            Snapshot.objects.filter(classic_id__in=ids).values_list("classic_id", flat=True)
        )
        self.known += len(known)
        rows: list[tuple[str, User, ClassicRow]] = []
        for id, (where, columns) in ids.items():
            if id not in known:
                what = f"{table}, row {id} ({where})"
                try:
                    row = classic.read(table, columns)
                except UnreadableRow as why:
                    self.refuse(what, why)
                else:
                    rows.append((what, self.owner(row), row))
        with transaction.atomic():
            for what, owner, row in rows:
                try:
                    with transaction.atomic():
                        bring(owner, row)
                except DataError as why:
                    self.refuse(
                        what, f"PostgreSQL refuses it ({getattr(why.__cause__, 'sqlstate', '')})"
                    )
                    rows = [one for one in rows if one[0] != what]
        self.imported += len(rows)

    def owner(self, row: ClassicRow) -> User:
        user = self.owners.get(row.user_name)
        if user is None:
            defaults = {
                "is_active": False,
                "password": make_password(None),
                "job_title": row.job_title,
            }
            user = self.owners[row.user_name] = User.objects.get_or_create(
                username=row.user_name, defaults=defaults
            )[0]
            place.read_thread_key(
                user.pk
            )  # kept in memory too: made where no row's failure takes it back
        ours = (
            not user.is_active and user.last_login is None
        )  # nobody but an import ever used the account
        if row.job_title and row.job_title != user.job_title and (ours or not user.job_title):
            user.job_title = row.job_title
            user.save(update_fields=["job_title"])
        return user

    def refuse(self, what: str, why: object) -> None:
        self.unreadable += 1
        self.end_line()
        self.stderr.write(f"Not readable: {what}: {why}.")

    def show_progress(self) -> None:
        if self.stdout.isatty():
            share = self.done / max(self.total, 1)
            self.stdout.write(
                f"\r{'█' * int(share * 30):░<30} {self.done:,} of {self.total:,}", ending=""
            )
            self.stdout.flush()
        elif self.done >= self.told + 1000 or self.done == self.total:
            self.told = self.done
            self.stdout.write(f"{self.done:,} of {self.total:,} rows")

    def end_line(self) -> None:
        if self.stdout.isatty():
            self.stdout.write("")


# One row --------------------------------------------------------------------------------------


def bring(owner: User, row: ClassicRow) -> None:
    conversation = conversation_of(owner, row)
    newest = newest_import(conversation) if conversation else None
    call = record.open(row.asked(owner.pk, conversation.id if conversation else None))
    record.close(call, row.outcome)
    if call.conversation is None or row.kind != Snapshot.Kind.CHAT:
        return
    changes: dict[str, Any] = {}
    if conversation is None:
        changes["shown"] = row.shown
    elif newest:
        if row.at < conversation.started:
            changes["started"] = row.at
        # What the owner did here since the last import stays.
        at, title, shown = newest
        if row.at >= at and conversation.title == title:
            changes["title"] = row.title
        if row.at >= at and conversation.shown == shown:
            changes["shown"] = row.shown
    Conversation.objects.filter(id=call.conversation).update(**changes)


def conversation_of(owner: User, row: ClassicRow) -> Conversation | None:
    """The one that its root names; or, as the old page did, an earlier row or that one's reply."""
    if row.root is None or not row.messages:
        return None
    own = Conversation.objects.filter(owner=owner)
    if found := own.filter(classic_root=row.root).first():
        return found
    named = Q(upstream_id=row.root)
    if id := as_uuid(row.root):
        named |= Q(classic_id=id)
    snapshots = (
        Snapshot.objects.filter(named, owner=owner)
        .exclude(conversation=None)
        .select_related("conversation")
        .order_by("id")
    )
    found = next((snapshot.conversation for snapshot in snapshots[:1]), None)
    if found:
        own.filter(id=found.id, classic_root=None).update(classic_root=row.root)
    return found


def newest_import(conversation: Conversation) -> tuple[Any, str, bool] | None:
    """When its newest imported row was, and the title and shown that this row left it with."""
    snapshot = (
        conversation.snapshots.exclude(classic=None)
        .order_by("-id")
        .only("classic", "opened")
        .first()
    )
    if snapshot is None or snapshot.classic is None:
        return None
    said = orjson.loads(snapshot.classic)
    return (
        snapshot.opened,
        said.get("conversation_title", said.get("convo_title")),
        said.get("convo_show") is not False,
    )


def as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def batches(rows: Iterator[Found]) -> Iterator[list[Found]]:
    batch, size = [], 0
    for where, columns in rows:
        batch.append((where, columns))
        size += (
            0
            if isinstance(columns, Exception)
            else sum(len(text or "") for text in columns.values())
        )
        if len(batch) == BATCH or size > BATCH_SIZE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


# Where rows come from -------------------------------------------------------------------------


@contextmanager
def log_of(source: str, schema: str) -> Iterator[Any]:
    if source.startswith(("postgresql://", "postgres://")):
        with psycopg.connect(
            source, client_encoding="utf8", application_name="import_classic"
        ) as connection:
            yield Database(connection, schema)
        return
    try:
        dump = Dump(Path(source), classic.TABLES, classic.order, "response_time")
    except (OSError, BrokenDump) as problem:
        raise CommandError(
            f"The dump cannot be read: {getattr(problem, 'strerror', None) or problem}"
        ) from None
    if not dump.problem and not any(dump.count(table) for table in classic.TABLES):
        raise CommandError(f"The dump has no row of {', '.join(classic.TABLES)}.")
    yield dump


class Database:
    """A classic gateway's, read in one snapshot of it; nothing is written there."""

    problem = ""

    def __init__(self, connection: psycopg.Connection, schema: str) -> None:
        self.connection, self.schema = connection, schema
        connection.read_only, connection.isolation_level = (
            True,
            psycopg.IsolationLevel.REPEATABLE_READ,
        )
        connection.execute("SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO'")
        self.columns: dict[str, list[str]] = {}
        for table, wanted in classic.TABLES.items():
            found = connection.execute(COLUMNS, [schema, table, list(wanted)]).fetchall()
            if found and found[0][0] not in "rpf":
                raise CommandError(
                    f"{schema}.{table} is a view there: this is the database of a gateway like this one, not of a classic one."
                )
            if found:
                self.columns[table] = [name for _, name in found]
                if missing := [name for name in classic.NEEDED if name not in self.columns[table]]:
                    raise CommandError(f"{schema}.{table} has no column {', '.join(missing)}.")
        if not self.columns:
            raise CommandError(
                f"There is no table {', '.join(f'{schema}.{table}' for table in classic.TABLES)}. Another schema? Name it with --schema."
            )

    def count(self, table: str) -> int:
        if table not in self.columns:
            return 0
        row = self.connection.execute(
            sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(self.schema, table))
        ).fetchone()
        return row[0] if row else 0

    def rows(self, table: str) -> Iterator[Found]:
        columns = self.columns.get(table)
        if not columns:
            return
        texts = sql.SQL(", ").join(
            sql.SQL("{}::text").format(sql.Identifier(name)) for name in columns
        )
        query = sql.SQL("SELECT {} FROM {} ORDER BY response_time, id").format(
            texts, sql.Identifier(self.schema, table)
        )
        with self.connection.cursor(name=table) as cursor:
            cursor.itersize = BATCH
            for number, row in enumerate(cursor.execute(query), 1):
                yield f"number {number:,} by response_time", dict(zip(columns, row, strict=True))


COLUMNS = """
    SELECT c.relkind, a.attname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE n.nspname = %s AND c.relname = %s AND a.attname = ANY(%s)"""
