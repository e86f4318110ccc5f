"""The files that sealed calls name: each has its row in the conversation, its bytes and its type.

A sealed text names a file by its sha256, and with what stood before its base64. So a row or a file
that was taken away is missed, and another in its place does not fit.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from hashlib import file_digest
from typing import Any, NamedTuple
from uuid import UUID

from django.core.files.storage import default_storage
from django.db import connection

from .. import exact_json
from ..ledger import BrokenChain
from ..models import Attachment
from ..packs import pack
from ..record import attachments
from ..record.attachments import Reference
from ..record.rows import clean
from .sealing import FILE

MOST_BYTES = 8 << 20  # of texts that are read in one go, unless one call has more
NAMING = r'"\$attachment":\["([0-9a-f]{64})"'
REMEMBERED = 50_000  # files that are not read again in one run

# What calls say that may name files: a text a message, and one of the call's own JSON columns.
SAID = f"""
    SELECT m.snapshot_id AS call, m.conversation_id AS conversation, m.raw AS said
    FROM conversations_message m
    WHERE m.conversation_id = ANY(ARRAY(
            SELECT DISTINCT conversation_id FROM conversations_snapshot
            WHERE id = ANY(%(calls)s::uuid[])))
        AND m.snapshot_id = ANY(%(calls)s::uuid[]) AND strpos(m.raw, '{FILE}') > 0
    UNION ALL
    SELECT id, conversation_id,
        '[' || concat_ws(',', nullif(params, ''), nullif(response, ''), classic) || ']'
    FROM conversations_snapshot WHERE id = ANY(%(calls)s::uuid[])"""
SIZES = f"SELECT call, sum(octet_length(said)) FROM ({SAID}) named GROUP BY call"
ROWS = """
    SELECT conversation_id, encode(sha256, 'hex'), size, media_type
    FROM conversations_attachment
    WHERE sha256 = ANY(%(digests)s::bytea[])
        AND (conversation_id = ANY(%(conversations)s::uuid[]) OR conversation_id IS NULL)"""
# A row has the type that the first call said; here are all that name the file in a conversation.
ALL_SAID = f"""
    SELECT m.raw FROM conversations_message m
    WHERE m.conversation_id = %(conversation)s AND strpos(m.raw, %(digest)s) > 0
    UNION ALL
    SELECT said FROM (
        SELECT '[' || concat_ws(',', nullif(params, ''), nullif(response, ''), classic) || ']'
        FROM conversations_snapshot WHERE conversation_id {{is}}
            AND (strpos(params, '{FILE}') > 0 OR strpos(response, '{FILE}') > 0
                OR strpos(classic, '{FILE}') > 0)
    ) own (said) WHERE strpos(said, %(digest)s) > 0"""

# Rows that no call names, in portions; also a call that is open names its files.
UNNAMED = f"""
    SELECT encode(a.sha256, 'hex'), a.conversation_id
    FROM (
        SELECT *, encode(sha256, 'hex') AS digest FROM conversations_attachment
        WHERE id > %(after)s AND id <= %(until)s
    ) a
    WHERE CASE
        WHEN a.conversation_id IS NULL THEN a.digest NOT IN (
            SELECT (regexp_matches(said, '{NAMING}', 'g'))[1]
            FROM conversations_snapshot, concat_ws(' ', params, response, classic) AS said
            WHERE conversation_id IS NULL AND strpos(said, '{FILE}') > 0)
        ELSE NOT EXISTS (
            SELECT FROM conversations_message m
            WHERE m.conversation_id = a.conversation_id AND strpos(m.raw, a.digest) > 0
        ) AND NOT EXISTS (
            SELECT FROM conversations_snapshot s
            WHERE s.conversation_id = a.conversation_id
                AND strpos(concat_ws(' ', s.params, s.response, s.classic), a.digest) > 0
        ) END"""
PORTION = 5000  # rows of one statement


class Named(NamedTuple):
    """A file that a call names in a conversation; none: in a call that belongs to none."""

    call: UUID
    conversation: UUID | None
    file: Reference


class StoredFile(NamedTuple):
    size: int
    media_type: str  # as its first bytes tell


class Files:
    """The files of one run. Without `with_contents` their bytes are counted, and not read."""

    def __init__(self, *, with_contents: bool) -> None:
        self.with_contents = with_contents
        self.count = 0
        self._stored = lru_cache(REMEMBERED)(self._read_stored)
        self._says = lru_cache(REMEMBERED)(self._read_whether)

    def check(self, calls: Mapping[UUID, object]) -> None:
        """Check the files of these calls; each is named as its value says.

        Raises BrokenChain at the first that does not fit.
        """
        for named in _read_named(list(calls)) if calls else ():
            rows = _read_rows(named)
            for each in named:
                self._check_one(each, rows, f"which the {calls[each.call]} names")

    def _check_one(self, named: Named, rows: Mapping[Any, Any], why: str) -> None:
        digest = named.file.sha256
        row = rows.get((named.conversation, digest))
        if row is None:
            raise BrokenChain(f"The row of the file with sha256 {digest}, {why}, is gone.")
        size, media_type = row
        try:
            stored = self._stored(digest)
        except FileNotFoundError:
            raise BrokenChain(f"The file with sha256 {digest}, {why}, is gone.") from None
        except OSError as problem:
            raise BrokenChain(
                f"The file with sha256 {digest}, {why}, cannot be read ({type(problem).__name__})."
            ) from None
        if stored is None or stored.size != size:
            raise BrokenChain(f"The file with sha256 {digest}, {why}, was changed.")
        fits = media_type == _type_of(named.file, stored)
        if not fits and not self._says(named.conversation, digest, media_type):
            raise BrokenChain(
                f"The row of the file with sha256 {digest}, {why}, was changed: it says "
                f"{media_type}, and no call does."
            )

    def _read_stored(self, digest: str) -> StoredFile | None:
        """Read what lies in the storage; None where it has another sha256. Raises OSError."""
        self.count += 1
        with default_storage.open(attachments.storage_name(bytes.fromhex(digest))) as file:
            kind = attachments.detect_media_type(file.read(12))
            file.seek(0)
            if self.with_contents and file_digest(file, "sha256").hexdigest() != digest:
                return None
            return StoredFile(file.size, kind)

    def _read_whether(self, conversation: UUID | None, digest: str, media_type: str) -> bool:
        """Read whether any text of a conversation gives the file this type."""
        stored = self._stored(digest)
        assert stored
        sql = ALL_SAID.format(**{"is": "= %(conversation)s" if conversation else "IS NULL"})
        with connection.chunked_cursor() as cursor:
            cursor.execute(sql, {"conversation": conversation, "digest": digest})
            return any(
                file.sha256 == digest and _type_of(file, stored) == media_type
                for (said,) in cursor
                for file in attachments.list_files(exact_json.loads(said))
            )


def check_rows() -> Iterator[str]:
    """Yield each row of a file that no call of its conversation names."""
    newest = Attachment.objects.order_by("-id").values_list("id", flat=True).first() or 0
    with connection.cursor() as cursor:
        for after in range(0, newest, PORTION):
            cursor.execute(UNNAMED, {"after": after, "until": after + PORTION})
            for digest, conversation in cursor.fetchall():
                where = f"conversation {conversation}" if conversation else "calls outside of any"
                yield f"No call names the file with sha256 {digest} of {where}: it was put in."


def _type_of(file: Reference, stored: StoredFile) -> str:
    return clean(file.media_type, 100) or stored.media_type


def _read_named(calls: list[UUID]) -> Iterator[list[Named]]:
    """Yield what these calls name, as many calls at a time as their texts allow."""
    with connection.cursor() as cursor:
        cursor.execute(SIZES, {"calls": calls})
        sizes = cursor.fetchall()
        for part in pack(sizes, lambda row: int(row[1]), MOST_BYTES):
            cursor.execute(SAID, {"calls": [call for call, _ in part]})
            named = dict.fromkeys(
                Named(call, conversation, file)
                for call, conversation, said in cursor
                for file in attachments.list_files(exact_json.loads(said))
            )
            yield list(named)


def _read_rows(named: list[Named]) -> dict[tuple[UUID | None, str], tuple[int, str]]:
    """Read the rows of files: size and media type, by conversation and sha256."""
    values: dict[str, Any] = {
        "digests": [bytes.fromhex(digest) for digest in {each.file.sha256 for each in named}],
        "conversations": list({each.conversation for each in named if each.conversation}),
    }
    with connection.cursor() as cursor:
        cursor.execute(ROWS, values)
        return {(row[0], row[1]): (row[2], row[3]) for row in cursor}
