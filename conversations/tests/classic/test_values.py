"""Each value of a dump is read as PostgreSQL itself reads it, or named: the server is asked."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversations.imports import classic
from conversations.imports.classic import UnreadableRow
from conversations.imports.sqldump import Dump
from conversations.imports.sqlvalues import UnreadableDump

ID = "00000000-0000-0000-0000-000000000910"


@pytest.fixture(scope="module")
def server(gateway):
    with gateway.connect() as server:
        server.execute("SET timezone = 'UTC'; SET datestyle = 'ISO, MDY'")
        server.execute("CREATE TEMP TABLE copied (a text, b text)")
        yield server


def ask(server: psycopg.Connection, query: str, *values: object):
    """The server's word, or None where it refuses."""
    try:
        return server.execute(query, values).fetchone()[0]
    except psycopg.Error:
        return None


def as_row(**columns: str) -> classic.ClassicRow:
    row = {"id": ID, "user_name": "ann", "response_time": "2024-01-02", "request": "{}"}
    return classic.read("chatgpt_logs", row | columns)


# One value ------------------------------------------------------------------------------------

TIMES = [
    "2024-01-02",
    "2024-01-02 03:04",
    "2024-01-02 03:04:05.000 +0100",
    "2024-01-02 03:04:05 UTC",
    "2024-01-02 24:00:00",
    "2024-01-02 24:00:01",
    "2024-01-02 24:00:00.000001",
    "2024-12-31 23:59:60",
    "2024-01-02 03:60:05",
    "2024-02-30 03:04:05",
    "2024-01-02T03:04:05Z",
    "2024-01-02t03:04:05z",
    "2024-01-02 03:04:05.1234565",
    "2024-01-02 03:04:05.9999999",
    "2024-01-02 03:04:05,5",
    "2024-01-02 03:04:05-08",
    "2024-01-02 03:04:05 -08:30:15",
    "2024-01-02 03:04:05+15:59",
    "2024-01-02 03:04:05+16:00",
    "2024-01-02 03:04:05+01:60",
    "2024-01-02 03:04:05 CET",
    "2024-01-02 03:04:05 Europe/Berlin",
    "2024-01-02 03:04:05 PM",
    "2024-01-02 03:04:05 BC",
    "2024-W01-2",
    "2024-001",
    "20240102T030405",
    "01/02/2024 03:04:05",
    "2.1.2024 03:04",
    "2024-1-2 3:4:5",
    " 2024-01-02 03:04:05\n",
    "12024-01-02 03:04:05",
    "infinity",
    "now",
    "epoch",
    "",
    "\u0662\u0660\u0662\u0664-01-02",
]


def same_time(server: psycopg.Connection, text: str) -> bool:
    """Whether it is read; it must be the server's then."""
    expected = ask(server, "SELECT extract(epoch FROM %s::timestamptz)", text)
    try:
        at = classic.moment(text)
    except UnreadableRow:
        return False
    exact = (at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    assert expected is not None, text
    assert round(Decimal(exact), 6) == round(expected, 6), text
    return True


def test_times_are_the_server_s_or_named(server):
    read = [text for text in TIMES if same_time(server, text)]
    assert read[:5] == TIMES[:5]
    assert "now" not in read


@settings(max_examples=300, deadline=None)
@given(
    st.from_regex(
        r"\A ?(20[0-9]{2}|1999)-[0-1][0-9]-[0-3][0-9]([ T][0-2][0-9]:[0-6][0-9](:[0-6][0-9]"
        r"(\.[0-9]{1,9})?)?( ?([Zz]|UTC|gmt|[+-][01][0-9](:?[0-6][0-9])?))?)?\Z"
    )
)
def test_any_time_that_is_read_is_the_server_s(server, text):
    same_time(server, text)


WORDS = "true false yes no on off null wahr".split()
BOOLEANS = sorted({word[:end] for word in WORDS for end in range(1, len(word) + 1)})
BOOLEANS += [word.upper() for word in WORDS] + ["1", "0", "2", "10", "-1", "yess", "01"]


@pytest.mark.parametrize("text", [*BOOLEANS, " true ", "", "\u0661"])
def test_booleans_are_the_server_s_or_named(server, text):
    expected = ask(server, "SELECT %s::boolean", text)
    if expected is None:
        with pytest.raises(UnreadableRow, match="its convo_show is neither true nor false"):
            as_row(convo_show=text)
    else:
        assert as_row(convo_show=text).classic["convo_show"] is expected


@pytest.mark.parametrize(
    "text",
    [
        ID,
        ID.upper(),
        ID.replace("-", ""),
        f"{{{ID}}}",
        f"{{{ID}",
        f"{ID}}}",
        f"urn:uuid:{ID}",
        f" {ID}",
        "0000-0000-0000-0000-0000-0000-0000-0910",
        "0-0000000000000000000000000000910",
        f"{ID}-",
        ID.replace("0000", "0_00", 1),
        ID.replace("-", "--"),
        "\u0660" * 32,
    ],
)
def test_ids_are_the_server_s_or_named(server, text):
    expected = ask(server, "SELECT %s::uuid", text)
    try:
        assert classic.id_of({"id": text}) == expected
    except UnreadableRow:
        assert expected is None


@pytest.mark.parametrize(
    "text",
    "1 1.5 .5 5. 1e2 1E-3 +2 1_000 0x10 NaN infinity \u0661 1e 1,5 $1 '' 0.1e1 1d 1f".split(),
)
def test_costs_are_the_server_s_or_named(server, text):
    expected = ask(server, "SELECT %s::float8", text)
    row = {"id": ID, "user_name": "ann", "response_time": "2024-01-02", "usage_cost": text}
    try:
        read = classic.read("image_logs", row)
    except UnreadableRow:
        return
    assert expected is not None, text
    cost = read.classic.get("usage_cost", read.outcome.cost)
    assert float(cost) == expected or expected != expected  # NaN


# One literal ----------------------------------------------------------------------------------


def read_one(tmp_path: Path, text: str) -> str | None:
    """The value; raises UnreadableDump."""
    path = tmp_path / "one.sql"
    path.write_bytes(text.encode())
    dump = Dump(path, {"t"}, lambda _: 0, "a")
    assert dump.problem == ""
    [(_, row)] = dump.rows("t")
    if isinstance(row, UnreadableDump):
        raise row
    return row["b"]


LITERALS = [
    *("1 007 -5 +5 .5 1.50 1e2 -1.5e2 1e-3 -0 -0.0 12345678901234567890 0x1F 1_000 5.".split()),
    *("'a' 'it''s' 'a\\nb' $$it's$$ $x$a$$b$x$ N'a' B'01' X'1F' U&'\\0041' NULL TRUE".split()),
    *("E'a\\nb' E'\\b\\f\\r\\t' E'\\v' E'\\q' E'\\x' E'\\x4' E'\\x41B' E'\\1012' E'\\8'".split()),
    *("E'\\400' E'\\000' E'\\u0041' E'\\\\' E'it\\'s' E'\\xff' E'\\303\\251'".split()),
    "'a'::text",
    "'a'::varchar(1)",
    "'abc'::varchar(2)",
    "'abc'::char(2)",
    "varchar 'abc'",
    "'abc'::name",
    "'{\"a\": 1}'::json",
    "'2024-01-02 03:04:05'::date",
    "date '2024-01-02'",
    "'2024-01-02 03:04:05.5'::timestamp(0)",
    "interval '1 day'",
    "'1.25'::int",
    "'1.23'::real",
    "'a' || 'b'",
    "'a'\n'b'",
    "'a' 'b'",
    "lower('A')",
    "('a')",
    "- 5",
    "--c\n5",
]


@pytest.mark.parametrize("literal", LITERALS)
def test_a_literal_is_the_server_s_or_named(server, tmp_path, literal):
    server.execute("TRUNCATE copied")
    statement = f"INSERT INTO copied (a, b) VALUES ('1', {literal});"
    try:
        server.execute(statement)
    except psycopg.Error:
        expected = None
        refused = True
    else:
        refused = False
        expected = server.execute("SELECT b FROM copied").fetchone()[0]
    try:
        found = read_one(tmp_path, statement.replace("copied", "t", 1))
    except UnreadableDump:
        return
    assert not refused
    assert found == expected


def test_most_literals_are_read(tmp_path):
    read = 0
    for literal in LITERALS:
        try:
            read_one(tmp_path, f"INSERT INTO t (a, b) VALUES ('1', {literal});")
            read += 1
        except UnreadableDump:
            pass
    assert read >= 30


# One row of a COPY ----------------------------------------------------------------------------

COPIED = [
    b"a",
    b"",
    rb"\N",
    rb"\\N",
    rb"x\N",
    rb"\b\f\n\r\t\v",
    rb"\101\7\08\400",
    rb"\x41\x4g\xg\x",
    rb"\q\u0041\U\e",
    b"a\\\tb",
    b"a\\\\\tb",
    b"a\\\nb",
    b"a\\\\",
    rb"\.x",
    rb"x\.",
    rb"\\.x",
    b"a\rb",
    b"a\\\rb",
    rb"\000",
    b"\xff",
    rb"\xc3\xa9",
    "é漢😀".encode(),
]


def copied(server: psycopg.Connection, data: bytes) -> list[tuple] | None:
    server.execute("TRUNCATE copied")
    try:
        with server.cursor() as cursor, cursor.copy("COPY copied (a, b) FROM STDIN") as copy:
            copy.write(data)
    except psycopg.Error:
        return None
    return server.execute("SELECT a, b FROM copied").fetchall()


@pytest.mark.parametrize("value", COPIED)
def test_a_copied_value_is_the_server_s_or_named(server, tmp_path, value):
    line = b"1\t" + value + b"\n"
    expected = copied(server, line)
    path = tmp_path / "one.sql"
    path.write_bytes(b"COPY t (a, b) FROM stdin;\n" + line + b"\\.\n")
    dump = Dump(path, {"t"}, lambda _: 0, "a")
    assert dump.problem == ""
    rows = [row for _, row in dump.rows("t")]
    if any(isinstance(row, UnreadableDump) for row in rows):
        assert expected is None
    else:
        assert [tuple(row.values()) for row in rows] == expected


# Partitions -----------------------------------------------------------------------------------

PARTITIONED = """
    CREATE SCHEMA llm_logs;
    CREATE TABLE llm_logs.chatgpt_logs (id uuid, user_name text, response_time timestamp)
        PARTITION BY RANGE (response_time);
    CREATE TABLE llm_logs.old_ones PARTITION OF llm_logs.chatgpt_logs
        FOR VALUES FROM (MINVALUE) TO ('2024-01-01') PARTITION BY RANGE (response_time);
    CREATE TABLE llm_logs."Deep" PARTITION OF llm_logs.old_ones DEFAULT;
    CREATE TABLE llm_logs.chatgpt_logs_new (response_time timestamp, id uuid, user_name text);
    ALTER TABLE llm_logs.chatgpt_logs ATTACH PARTITION llm_logs.chatgpt_logs_new DEFAULT;
    CREATE TABLE llm_logs.image_logs (id uuid, user_name text, response_time timestamp);
    CREATE TABLE llm_logs.image_logs_old () INHERITS (llm_logs.image_logs);
    CREATE TABLE llm_logs.image_logs_backup (id uuid);
    INSERT INTO llm_logs.image_logs_old VALUES (gen_random_uuid(), 'ann', '2023-01-01');
    INSERT INTO llm_logs.image_logs_backup VALUES (gen_random_uuid());
    INSERT INTO llm_logs.chatgpt_logs SELECT gen_random_uuid(), 'ann', day
        FROM generate_series('2023-12-30'::timestamp, '2024-01-04', '1 day') day"""


@pytest.fixture
def partitioned(gateway):
    with gateway.connect() as made:
        made.execute("DROP SCHEMA IF EXISTS llm_logs CASCADE")
        made.execute(PARTITIONED)
        yield gateway
        made.execute("DROP SCHEMA llm_logs CASCADE")


@pytest.mark.parametrize("how", [[], ["--column-inserts"], ["--load-via-partition-root"]])
def test_rows_of_partitions_are_rows_of_their_table(partitioned, tmp_path, how):
    path = partitioned.dump(tmp_path / "some.sql", *how)
    dump = Dump(path, classic.TABLES, classic.order, "response_time")
    assert (dump.problem, dump.unread) == ("", {})
    assert dump.count("chatgpt_logs") == 6
    assert dump.count("image_logs") == 1
    days = [row["response_time"][:10] for _, row in dump.rows("chatgpt_logs")]
    assert days == sorted(days)


def test_what_may_be_a_partition_is_named(partitioned, tmp_path):
    path = partitioned.dump(tmp_path / "some.sql", "--data-only")
    dump = Dump(path, classic.TABLES, classic.order, "response_time")
    assert sorted(dump.unread) == ["chatgpt_logs_new", "image_logs_backup", "image_logs_old"]
    assert "--load-via-partition-root" in dump.unread["chatgpt_logs_new"]
