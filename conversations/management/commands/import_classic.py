"""Imports the log of a classic gateway.

May be run again: rows that are here already are passed by, whatever became of them since.
"""

from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import psycopg
from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand, CommandError
from django.db import DataError, transaction
from django.db.models import Q
from psycopg import sql

from conversations import record
from conversations.ids import parse_uuid
from conversations.imports import classic
from conversations.imports.classic import ClassicRow, UnreadableRow
from conversations.imports.sqldump import Dump
from conversations.imports.sqlvalues import BrokenDump
from conversations.imports.sqlvalues import UnreadableDump as UnreadableInDump
from conversations.models import Conversation, Snapshot, User
from conversations.record import place

# Rows, and characters, of one transaction: what a stop loses, and the next run does again.
BATCH, BATCH_SIZE = 100, 16_000_000


Columns = dict[str, str | None]
LoggedRow = tuple[str, Columns | UnreadableInDump]  # where a row is, and what it says


class Command(BaseCommand):
    help = (
        "Imports the log of a classic gateway, from its database or from an SQL dump of it."
        " May be stopped, and run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "source",
            metavar="DATABASE_URL|FILE.sql",
            help="postgresql://user@host:5432/name (its password from PGPASSWORD or ~/.pgpass),"
            " or a file",
        )
        parser.add_argument("--schema", default="llm_logs", help="of the tables, in a database")

    def handle(self, *, source: str, schema: str, **options: object) -> None:
        self.imported = self.known = 0
        self.unreadable = self.done = 0
        self.reported = 0  # rows done when progress was last written
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
                for table, why in log.unread.items():
                    self.refuse(f"the table {table}", why)
        except KeyboardInterrupt:
            raise CommandError(
                f"Stopped. {self.imported:,} rows were imported; run it again to go on.",
                returncode=130,
            ) from None
        except psycopg.Error as problem:  # the classic one's: ours are Django's
            raise CommandError(
                f"The classic database failed: {problem}\n"
                f"{self.imported:,} rows were imported; run it again to go on."
            ) from None
        self.end_line()
        self.stdout.write(
            f"Imported {self.imported:,} rows. Already here: {self.known:,}."
            f" Not readable: {self.unreadable:,}."
        )
        if self.unreadable:
            raise CommandError(
                "Not everything could be read; what could is imported.", returncode=1
            )

    def bring(self, table: str, batch: list[LoggedRow]) -> None:
        """Import the rows of a batch that are not here yet, in one transaction."""
        rows, refused = self.read_new(table, batch), 0
        with transaction.atomic():
            for what, owner, row in rows:
                try:
                    with transaction.atomic():
                        bring(owner, row)
                except DataError as why:
                    state = getattr(why.__cause__, "sqlstate", "")
                    self.refuse(what, f"PostgreSQL refuses it ({state})")
                    refused += 1
        self.imported += len(rows) - refused

    def read_new(self, table: str, batch: list[LoggedRow]) -> list[tuple[str, User, ClassicRow]]:
        """Each row that is not here yet: what it is in an error message, its owner, itself."""
        by_id = self.by_id(table, batch)
        known = set(
            Snapshot.objects.filter(classic_id__in=by_id).values_list("classic_id", flat=True)
        )
        self.known += len(known)
        rows: list[tuple[str, User, ClassicRow]] = []
        for row_id, (where, columns) in by_id.items():
            if row_id in known:
                continue
            what = f"{table}, row {row_id} ({where})"
            try:
                row = classic.read(table, columns)
            except UnreadableRow as why:
                self.refuse(what, why)
            else:
                rows.append((what, self.owner(row), row))
        return rows

    def by_id(self, table: str, batch: list[LoggedRow]) -> dict[UUID, tuple[str, Columns]]:
        ids: dict[UUID, tuple[str, Columns]] = {}
        for where, columns in batch:
            self.done += 1
            try:
                if isinstance(columns, Exception):
                    raise columns
                row_id = classic.id_of(columns)
                self.known += row_id in ids
                ids.setdefault(row_id, (where, columns))
            except (UnreadableRow, UnreadableInDump) as why:
                self.refuse(f"{table}, {where}", why)
        return ids

    def owner(self, row: ClassicRow) -> User:
        user = self.owners.get(row.user_name)
        if user is None:
            defaults = {
                "is_active": False,
                "password": make_password(None),
                "job_title": row.job_title,
            }
            user, _ = User.objects.get_or_create(username=row.user_name, defaults=defaults)
            self.owners[row.user_name] = user
            # Kept in memory too: made where no row's failure takes it back.
            place.read_thread_key(user.pk)
        is_imported = not user.is_active and user.last_login is None  # used by imports alone
        is_newer = row.job_title and row.job_title != user.job_title
        if is_newer and (is_imported or not user.job_title):
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
        elif self.done >= self.reported + 1000 or self.done == self.total:
            self.reported = self.done
            self.stdout.write(f"{self.done:,} of {self.total:,} rows")

    def end_line(self) -> None:
        if self.stdout.isatty():
            self.stdout.write("")


# One row --------------------------------------------------------------------------------------


def bring(owner: User, row: ClassicRow) -> None:
    conversation = conversation_of(owner, row)
    newest = newest_import(conversation) if conversation else None
    call = record.open(row.as_request(owner.pk, conversation.id if conversation else None))
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
        if row.at >= newest.at and conversation.title == newest.title:
            changes["title"] = row.title
        if row.at >= newest.at and conversation.shown == newest.shown:
            changes["shown"] = row.shown
    Conversation.objects.filter(id=call.conversation).update(**changes)


def conversation_of(owner: User, row: ClassicRow) -> Conversation | None:
    """The conversation that the row's root names, or one that an earlier row of that id is in."""
    if row.root is None or not row.messages:
        return None
    own = Conversation.objects.filter(owner=owner)
    if conversation := own.filter(classic_root=row.root).first():
        return conversation
    # The old page named a row by its id or by that of its reply.
    with_root = Q(upstream_id=row.root)
    if row_id := parse_uuid(row.root):
        with_root |= Q(classic_id=row_id)
    snapshots = (
        Snapshot.objects.filter(with_root, owner=owner)
        .exclude(conversation=None)
        .select_related("conversation")
        .order_by("id")
    )
    conversation = next((snapshot.conversation for snapshot in snapshots[:1]), None)
    if conversation:
        own.filter(id=conversation.id, classic_root=None).update(classic_root=row.root)
    return conversation


class Imported(NamedTuple):
    """What a row left its conversation with."""

    at: datetime
    title: str
    shown: bool


def newest_import(conversation: Conversation) -> Imported | None:
    snapshot = (
        conversation.snapshots.exclude(classic=None)
        .order_by("-id")
        .only("classic", "opened")
        .first()
    )
    if snapshot is None or snapshot.classic is None:
        return None
    classic_row = orjson.loads(snapshot.classic)
    return Imported(
        snapshot.opened,
        classic_row.get("conversation_title", classic_row.get("convo_title")),
        classic_row.get("convo_show") is not False,
    )


def batches(rows: Iterator[LoggedRow]) -> Iterator[list[LoggedRow]]:
    batch, size = [], 0
    for where, columns in rows:
        batch.append((where, columns))
        if not isinstance(columns, Exception):
            size += sum(len(text or "") for text in columns.values())
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
    if (
        not dump.problem
        and not dump.unread
        and not any(dump.count(table) for table in classic.TABLES)
    ):
        raise CommandError(f"The dump has no row of {', '.join(classic.TABLES)}.")
    yield dump


class Database:
    """A classic gateway's database, read in one snapshot of it; nothing is written there."""

    problem = ""
    unread: dict[str, str] = {}

    def __init__(self, connection: psycopg.Connection, schema: str) -> None:
        self.connection, self.schema = connection, schema
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO'")
        self.columns: dict[str, list[str]] = {}
        for table, wanted in classic.TABLES.items():
            found = connection.execute(COLUMNS, [schema, table, list(wanted)]).fetchall()
            if found and found[0][0] not in "rpf":
                raise CommandError(
                    f"{schema}.{table} is a view there: this is the database of a gateway like this"
                    " one, not of a classic one."
                )
            if found:
                self.columns[table] = [name for _, name in found]
                if missing := [name for name in classic.NEEDED if name not in self.columns[table]]:
                    raise CommandError(f"{schema}.{table} has no column {', '.join(missing)}.")
        if not self.columns:
            tables = ", ".join(f"{schema}.{table}" for table in classic.TABLES)
            raise CommandError(
                f"There is no table {tables}. Another schema? Name it with --schema."
            )

    def count(self, table: str) -> int:
        if table not in self.columns:
            return 0
        row = self.connection.execute(
            sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(self.schema, table))
        ).fetchone()
        return row[0] if row else 0

    def rows(self, table: str) -> Iterator[LoggedRow]:
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
