"""A dump of a classic gateway is imported as far as it goes."""

import bz2
import json
import lzma
import tracemalloc
from pathlib import Path

import pytest

from conversations.imports import classic
from conversations.imports.sqldump import Dump
from conversations.models import (
    Message,
)
from conversations.tests import classic_rows
from conversations.tests.classic.log import assert_equal_to, bring, everything
from conversations.tests.classic_rows import chat, said

pytestmark = pytest.mark.django_db


# From a dump ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [[], ["--inserts"], ["--column-inserts", "--data-only"], ["--inserts", "--rows-per-insert=7"]],
    ids=" ".join,
)
def test_every_row_comes_out_of_a_dump(gateway, tmp_path, how):
    tables = classic_rows.tables()
    gateway.make(tables, "json")
    dump = gateway.dump(tmp_path / "classic.sql", *how)
    assert "Not readable: 0." in bring(dump)
    assert_equal_to(tables)
    before = everything()
    assert "Imported 0 rows." in bring(dump)
    assert everything() == before


def inserted(row, table='"llm_logs".chatgpt_logs'):
    """As a database tool writes it."""

    def literal(value):
        if value is None or isinstance(value, bool):
            return str(value).lower().replace("none", "null")
        text = (
            value
            if isinstance(value, str)
            else str(value)
            if not isinstance(value, dict | list)
            else json.dumps(value)
        )
        return "'" + text.replace("'", "''") + "'"

    values = ", ".join(map(literal, row.values()))
    return f"INSERT INTO {table} ({', '.join(row)}) VALUES ({values});\n"


def read(tmp_path, text, table="chatgpt_logs"):
    path = tmp_path / "some.sql"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    dump = Dump(path, classic.TABLES, classic.order, "response_time")
    return dump.problem, [
        columns if isinstance(columns, dict) else str(columns) for _, columns in dump.rows(table)
    ]


def test_a_file_of_plain_inserts(tmp_path):
    """The sample log of the classic gateway is one."""
    content = classic_rows.chats()
    path = tmp_path / "logs.sql"
    path.write_text("".join(map(inserted, content)), newline="")
    assert "Not readable: 0." in bring(path)
    assert_equal_to({"chatgpt_logs": content})


def test_what_else_stands_in_a_dump_is_passed_by(tmp_path):
    """Nothing is executed, and rows are not found where none are."""
    row = inserted({"id": "1", "request": "{}", "response_time": "2023-01-01"})
    trap = row.replace("'1'", "'trap'").strip()
    text = f"""\ufeff\\restrict k3y
\\! touch {tmp_path}/executed
-- {trap} '
/* {trap} /* nested ' */ {trap} */
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
DROP TABLE conversations_message CASCADE;
CREATE FUNCTION f() RETURNS trigger AS $body$ BEGIN {trap} END $body$ LANGUAGE plpgsql;
CREATE FUNCTION g() RETURNS text AS 'BEGIN {trap.replace("'", "''")} END' LANGUAGE plpgsql;
CREATE TABLE llm_logs.chatgpt_logs (
    id uuid DEFAULT public.uuid_generate_v4() NOT NULL, "request" json, usage_cost numeric(10,2),
    response_time timestamp(6) without time zone DEFAULT now(),
    CONSTRAINT x CHECK ((id IS NOT NULL)), PRIMARY KEY (id));
COPY public.other (a, b) FROM stdin;
{trap}\tb
\\.
{row}
INSERT INTO llm_logs.chatgpt_logs VALUES
(E'2\\n\\'', '{{"a": 1}}'::json, -1.5e2, timestamp '2023-01-02'),
    ($x$3$'$x$, NULL, .5, '2023-01-03'::timestamp without time zone)
    ON CONFLICT DO NOTHING;
INSERT INTO other VALUES ('{trap.replace("'", "''")}');
COPY llm_logs.chatgpt_logs (id, request, response_time) FROM stdin;
4\t{{"a": "\\\\n\\t\\\\\\\\"}}\t2022-01-01\r
5\t\\N\t\\N
\\.
\\unrestrict k3y
"""
    assert read(tmp_path, text) == (
        "",
        [
            {"id": "5", "request": None, "response_time": None},
            {"id": "4", "request": '{"a": "\\n\t\\\\"}', "response_time": "2022-01-01"},
            {"id": "1", "request": "{}", "response_time": "2023-01-01"},
            {
                "id": "2\n'",
                "request": '{"a": 1}',
                "usage_cost": "-150",
                "response_time": "2023-01-02",
            },
            {"id": "3$'", "request": None, "usage_cost": "0.5", "response_time": "2023-01-03"},
        ],
    )
    assert not (tmp_path / "executed").exists()
    assert Message.objects.count() == 0


HEAD = "INSERT INTO llm_logs.chatgpt_logs (id, request) VALUES "


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (HEAD + "('1', 'a' || 'b'), ('2', '{}');", "request is an expression, not a value"),
        (
            HEAD + "('1', pg_read_file('/etc/passwd')), ('2', '{}');",
            "request is an expression, not a value",
        ),
        (
            HEAD + "('1', (SELECT ',' FROM x WHERE y IN (1, 2))), ('2', '{}');",
            "request is an expression, not a value",
        ),
        (HEAD + "('1', U&'\\0041'), ('2', '{}');", "request is an expression, not a value"),
        (
            HEAD + "('1', E'\\u0041'), ('2', '{}');",
            "it has escapes of a kind that pg_dump does not write",
        ),
        (HEAD + "('1', B'01'), ('2', '{}');", "request is of the type b, which is not read here"),
        (
            HEAD + "('1', '{\"a\": 1}'::varchar(3)), ('2', '{}');",
            "request is of the type varchar(3), which is not read here",
        ),
        (
            HEAD + "('1', '2024-01-02 03:04:05'::date), ('2', '{}');",
            "request is of the type date, which is not read here",
        ),
        (
            HEAD + "('1', '2024-01-02 03:04:05+01'::timestamp), ('2', '{}');",
            "request has a time zone, which its type timestamp drops",
        ),
        (
            HEAD + "('1', E'a\\000b'), ('2', '{}');",
            "it has a character NUL, which no text of PostgreSQL has",
        ),
        (
            HEAD + "('1', 1e99999), ('2', '{}');",
            "request is a number of more than 1000 digits",
        ),
        (HEAD + "('1'), ('2', '{}');", "it has 1 values for 2 columns"),
        (HEAD + "('1', DEFAULT), ('2', '{}');", "request is an expression, not a value"),
        (
            "INSERT INTO llm_logs.chatgpt_logs VALUES ('1', 'x');",
            "the dump names no columns for it. Make it with pg_dump --column-inserts, or without"
            " --inserts",
        ),
        (
            "COPY chatgpt_logs (id, request) FROM stdin;\n1\t2\t3\n2\t{}\n\\.\n",
            "it has 3 values for 2 columns",
        ),
        (b"COPY chatgpt_logs (id, request) FROM stdin;\n1\t\xff\n2\t{}\n\\.\n", "it is not UTF-8"),
    ],
)
def test_a_row_that_is_no_row_is_named_and_the_next_is_read(tmp_path, text, why):
    problem, found = read(tmp_path, text)
    assert problem == ""
    assert found[0] == why
    assert found[1:] in ([], [{"id": "2", "request": "{}"}])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (HEAD + "('1', '{}", "the file ends inside a text"),
        (HEAD + "('1', E'{}\\'", "the file ends inside a text"),
        (HEAD + "('1', $a$ $b$ $", "the file ends inside a text"),
        (HEAD + "('1', '{}' /* /* */", "the file ends inside a comment"),
        (HEAD + "('1', " + "(" * 10_000, "the file ends in the middle of an INSERT"),
        (HEAD + "('1'" + ",1" * 2000, "a row of more values than a table has columns"),
        (
            "INSERT INTO chatgpt_logs (id) SELECT 1;",
            "an INSERT INTO chatgpt_logs that is not a list of VALUES",
        ),
        ("COPY chatgpt_logs (id) FROM stdin;\n1\n2", "the file ends in the middle of a COPY"),
        (
            "CREATE TABLE chatgpt_logs (id uuid, request",
            "the file ends in the middle of a statement",
        ),
        ("SELECT 1", "the file ends in the middle of a statement"),
        (
            "SET client_encoding = 'LATIN1';",
            "the dump is not in UTF-8. Make it with pg_dump --encoding=UTF8",
        ),
        (
            "SET SESSION client_encoding TO LATIN1;",
            "the dump is not in UTF-8. Make it with pg_dump --encoding=UTF8",
        ),
        ("SET NAMES 'WIN1252';", "the dump is not in UTF-8. Make it with pg_dump --encoding=UTF8"),
        ("\\encoding LATIN1\n", "the dump is not in UTF-8. Make it with pg_dump --encoding=UTF8"),
        (
            "SELECT pg_catalog.set_config('client_encoding', 'LATIN1', false);",
            "the dump sets client_encoding by a function. Make it with SET",
        ),
        ("SET timezone = 'Europe/Berlin';", "the dump sets a time zone. Make it with PGTZ=UTC"),
        ("SET TIME ZONE 'PST8PDT';", "the dump sets a time zone. Make it with PGTZ=UTC"),
        ("\\i rows.sql\n", "\\i reads another file. Import that one too"),
        (
            "COPY chatgpt_logs (id) FROM stdin WITH (FORMAT csv);\n1\n\\.\n",
            "a COPY of chatgpt_logs with options. Make it with pg_dump",
        ),
        (
            "SET standard_conforming_strings = off;",
            "the dump was made with standard_conforming_strings off. Make it with that on",
        ),
    ],
)
def test_a_dump_that_breaks_off_says_where_and_what_came_before_is_read(tmp_path, text, why):
    problem, found = read(tmp_path, HEAD + "('0', '{}');\n" + text)
    assert problem.startswith("byte ")
    assert problem.endswith(f": {why}")
    assert found[0] == {"id": "0", "request": "{}"}
    assert len(found) <= 2


def test_a_dump_cut_anywhere_gives_its_whole_rows_and_says_that_it_was_cut(gateway, tmp_path):
    for how in ([], ["--column-inserts"]):
        gateway.make({"chatgpt_logs": [chat(n, said(f"{n} it's \\ a\n"), "x") for n in range(4)]})
        whole = Path(gateway.dump(tmp_path / "whole.sql", *how)).read_bytes()
        everything = read(tmp_path, whole)[1]
        assert len(everything) == 4
        for end in range(1, len(whole), 29):
            problem, found = read(tmp_path, whole[:end])
            assert found == everything[: len(found)]
            if 0 < len(found) < 4:
                assert problem or whole[:end].rstrip().endswith(
                    b";"
                )  # between two statements nobody can tell


def test_a_cut_dump_is_imported_as_far_as_it_goes(tmp_path):
    path = tmp_path / "cut.sql"
    path.write_text(
        "".join(map(inserted, [chat(1, said("a"), "b"), chat(2, said("c"), "d", root_gpt_id="x")]))[
            :-20
        ]
    )
    output = bring(path)
    assert "Not readable: the rest of the dump: byte " in output
    assert "Imported 1 rows. Already here: 0. Not readable: 1.\n" in output
    assert "exit 1" in output


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"PGDMP\x01\x0e", "pg_restore"),
        (b"\x1f\x8b\x08", "gunzip"),
        (bz2.compress(b"SELECT 1;"), "bunzip2"),
        (lzma.compress(b"SELECT 1;"), "unxz"),
        (b"\x28\xb5\x2f\xfd\x04\x00", "unzstd"),
        (b"\x04\x22\x4d\x18", "unlz4"),
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"toc.dat\0\0", "pg_restore"),
        ("\ufeffSELECT 1;".encode("utf-16-le"), "iconv"),
        ("\ufeffSELECT 1;".encode("utf-16-be"), "iconv"),
        ("SELECT 1;".encode("utf-16-le"), "iconv"),
        ("SELECT 1;".encode("utf-16-be"), "iconv"),
        ("\ufeffSELECT 1;".encode("utf-32"), "iconv"),
        (b"SELECT 1;", "has no row of chatgpt_logs"),
        (None, "No such file"),
    ],
)
def test_a_file_that_is_no_dump_says_what_it_is(tmp_path, data, why):
    path = tmp_path / "file"
    if data is not None:
        path.write_bytes(data)
    assert why in bring(path)


def test_a_large_dump_takes_little_memory(tmp_path):
    path, text = tmp_path / "large.sql", json.dumps({"messages": said("x" * 200_000)})
    with path.open("w") as file:
        for n in range(60):
            file.write(
                f"{HEAD}('{n}', '{text}');\nCOPY chatgpt_logs (id, request) FROM"
                f" stdin;\n{n}\t{text}\n\\.\n"
            )
    tracemalloc.start()
    try:
        dump = Dump(path, classic.TABLES, classic.order, "response_time")
        assert (
            sum(
                1
                for _, columns in dump.rows("chatgpt_logs")
                if len(columns["request"]) == len(text)
            )
            == 120
        )
        assert tracemalloc.get_traced_memory()[1] < 3_000_000 < path.stat().st_size / 5
    finally:
        tracemalloc.stop()
