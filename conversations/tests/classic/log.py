"""The log of a classic gateway, and what of it was imported."""

import base64
import json
import subprocess
from hashlib import sha256
from io import StringIO
from urllib.parse import urlencode

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from conversations.models import (
    Attachment,
    Conversation,
    Message,
    SearchEntry,
    Snapshot,
    Unsealed,
    Usage,
    User,
)
from conversations.tests import classic_rows
from conversations.tests.views import rows
from llmgateway.embedded.postgres import PROGRAMS

FIXED = (
    "id",
    "user_name",
    "title",
    "response_time",
    "convo_title",
    "convo_show",
    "root_gpt_id",
    "orig_summarized_id",
)
JSON = ("request", "response", "usage_info")


class Classic:
    """A database as the classic gateway's."""

    def __init__(self, name):
        server = connection.settings_dict
        self.name, self.where = (
            name,
            urlencode(
                {
                    key.lower(): server[key]
                    for key in ("HOST", "PORT", "USER", "PASSWORD")
                    if server.get(key)
                }
            ),
        )
        self.url = self.url_of(name)

    def url_of(self, name):
        return f"postgresql:///{name}?{self.where}"

    def connect(self, name=None):
        return psycopg.connect(self.url_of(name or self.name), autocommit=True)

    def make(self, tables, json_type="text"):
        with self.connect() as made:
            made.execute("DROP SCHEMA IF EXISTS llm_logs CASCADE")
            made.execute("CREATE SCHEMA llm_logs")
            for table, content in tables.items():
                made.execute(classic_rows.ddl(table, content, json_type))
                self.add(made, table, content)
        return self.url

    def add(self, made, table, content):
        names = list(content[0])
        values = ", ".join(["%s"] * len(names))
        query = f"INSERT INTO llm_logs.{table} ({', '.join(names)}) VALUES ({values})"
        made.cursor().executemany(
            query, [[classic_rows.stored(name, row[name]) for name in names] for row in content]
        )

    def dump(self, path, *how):
        subprocess.run([PROGRAMS / "pg_dump", *how, "--file", path, self.url], check=True)
        return str(path)


def bring(source, **how):
    """What the command says; its errors behind it."""
    out, err = StringIO(), StringIO()
    try:
        call_command("import_classic", str(source), stdout=out, stderr=err, **how)
    except CommandError as failed:
        return f"{out.getvalue()}{err.getvalue()}exit {failed.returncode}: {failed}"
    return out.getvalue() + err.getvalue()


def assert_equal_to(tables):
    for table, content in tables.items():
        shown = {row["id"]: row for row in rows(table)}
        assert set(shown) == {row["id"] for row in content}
        for row in content:
            view = shown[row["id"]]
            assert {name: view[name] for name in FIXED if name in row} == {
                name: row[name] for name in FIXED if name in row
            }
            for name in JSON:
                if name in row:
                    assert unfiled(view[name]) == unfiled(row[name]), (row["id"], name)
            if "usage_cost" in row:
                assert view["usage_cost"] == (
                    row["usage_cost"] and pytest.approx(row["usage_cost"])
                )


def unfiled(value):
    """A picture's name stands in the views where the picture was."""
    return json.loads(
        json.dumps(value).replace(classic_rows.PICTURE, f"[file with sha256 {PICTURE_HASH}]")
    )


PICTURE_HASH = sha256(base64.b64decode(classic_rows.PICTURE)).hexdigest()


def everything():
    """All that an import may write."""
    models = (User, Conversation, Snapshot, Message, Attachment, Usage, Unsealed, SearchEntry)
    return [sorted(model.objects.values_list(), key=repr) for model in models]
