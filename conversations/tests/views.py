"""Rows of the SQL views, as a reader of them gets them."""

import re

import orjson
from django.db import connection

CLASSIC = {
    "chatgpt_logs": {
        "id": "uuid",
        "request": "json",
        "usage_info": "json",
        "user_name": "text",
        "title": "text",
        "response_time": "timestamp without time zone",
        "response": "json",
        "convo_title": "text",
        "convo_show": "boolean",
        "root_gpt_id": "text",
    },
    "image_logs": {
        "id": "uuid",
        "request": "json",
        "response": "json",
        "usage_cost": "real",
        "user_name": "text",
        "title": "text",
        "response_time": "timestamp without time zone",
    },
    "meta_summarizer_log": {
        "id": "uuid",
        "request": "json",
        "response": "json",
        "usage_info": "json",
        "user_name": "text",
        "title": "text",
        "response_time": "timestamp without time zone",
        "orig_summarized_id": "text",
    },
}


def rows(view, **where):
    with connection.cursor() as cursor:
        condition = " AND ".join(f"{name} = %s" for name in where) or "true"
        cursor.execute(f"SELECT * FROM llm_logs.{view} WHERE {condition}", list(where.values()))
        return [
            dict(zip([column.name for column in cursor.description], row, strict=True))
            for row in cursor.fetchall()
        ]


def as_shown(value):
    """What a view makes of JSON: U+FFFD for U+0000, and an object says so."""
    text = orjson.dumps(value).decode()
    plain = re.sub(r"(?<!\\)((?:\\\\)*)\\u0000", r"\1\\ufffd", text)
    shown = orjson.loads(plain)
    return shown | {"_replaced": True} if plain != text and isinstance(shown, dict) else shown
