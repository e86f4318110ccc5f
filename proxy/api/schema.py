"""The API as an OpenAPI 3.1 document, written by hand.

The views read few fields and pass on the rest, so no serializer could tell. The document says what
the gateway itself checks: a request that it allows may still be refused by the model's server.
"""

from conversations.models import Snapshot
from conversations.shape import Json

from .. import prices
from .schema_parts import (
    ANYTHING,
    BEFORE,
    CLASSIC_IDS,
    COMPLETION,
    CONVERSATION,
    CONVERSATION_HEADERS,
    DAY,
    FIGURES,
    ID,
    LIMIT,
    MODEL,
    PICTURES,
    PRICED_MODEL,
    PROMPT,
    ROOT,
    ROW,
    body,
    chat_schema,
    export_replies,
    image_schema,
    json_reply,
    object_of,
    operation,
    page_of,
    parameter,
    stream_replies,
)

OPENAI_API = "OpenAI's API"
CLASSIC_API = "The classic gateway's API"
CONVERSATIONS = "Conversations"
USAGE = "Usage"
EXPORT = "Export of the log"

NAME = parameter("name", {"type": "string", "minLength": 1}, "the root id", "path")
EXPORT_PARAMETERS = (
    parameter(
        "purpose",
        {"type": "string", "pattern": "^[!-~]{1,200}$"},
        "why; it stands on the audit trail",
    )
    | {"required": True},
    parameter(
        "after",
        {"type": "string", "pattern": r"^\d{1,18}$"},
        "the `x-next-cursor` of the pull before; without it, from the first",
    ),
    parameter("since", DAY, "opened on this day or later (UTC)"),
    parameter("until", DAY, "opened on this day or earlier (UTC)"),
    parameter("user", {"type": "string"}, "a user name, exactly"),
    parameter("model", {"type": "string"}, "as it was asked for"),
    parameter("status", {"enum": Snapshot.Status.values}, "how the call ended"),
    parameter("kind", {"enum": Snapshot.Kind.values}, "of call"),
)
EXPORT_TABLES = {"enum": ["turns", "figures", "classic"]}
EXPORT_NOTE = (
    "For a session or a key's owner that may export what was said; a key needs the scope `export`. "
    "A call that is open is in a later export, once."
)

PATHS: Json = {
    "/v1/chat/completions": {
        "post": operation(
            "Ask a model",
            stream_replies(COMPLETION),
            request=body(chat_schema()),
            parameters=CONVERSATION_HEADERS,
            tag=OPENAI_API,
        )
    },
    "/v1/images/generations": {
        "post": operation(
            "Have a picture made",
            stream_replies(PICTURES, event="object"),
            request=body(image_schema()),
            parameters=CONVERSATION_HEADERS,
            tag=OPENAI_API,
        )
    },
    "/v1/images/edits": {
        "post": operation(
            "Have a picture changed",
            stream_replies(PICTURES, event="object"),
            parameters=CONVERSATION_HEADERS,
            tag=OPENAI_API,
            request=body(
                object_of(
                    "prompt image",
                    prompt=PROMPT,
                    image={"type": "string", "format": "binary", "minLength": 1},
                    stream={"enum": ["true", "false"]},
                ),
                "multipart/form-data",
            ),
        )
    },
    "/v1/embeddings": {
        "post": operation(
            "Create embeddings",
            json_reply("The vectors", ANYTHING),
            tag=OPENAI_API,
            request=body(
                object_of(
                    "model input",
                    model=MODEL,
                    input={
                        "anyOf": [
                            {"type": "string", "minLength": 1},
                            {"type": "array", "minItems": 1},
                        ]
                    },
                )
            ),
        )
    },
    "/v1/models": {
        "get": operation(
            "The models that may be asked",
            json_reply("A list", object_of("data", data={"type": "array", "items": ANYTHING})),
            tag=OPENAI_API,
        )
    },
    "/v1/models/{name}": {
        "get": operation(
            "One model",
            json_reply("The model", object_of("id", id={"type": "string"})),
            parameters=(NAME | {"description": "its id"},),
            tag=OPENAI_API,
        )
    },
    "/api/chat": {
        "post": operation(
            "Ask a model",
            stream_replies(
                object_of("choices uuid root_uuid", **COMPLETION["properties"], **CLASSIC_IDS)
            ),
            tag=CLASSIC_API,
            request=body(
                chat_schema(
                    root_id=ROOT, convo_title={"type": ["string", "null"], "maxLength": 200}
                )
            ),
        )
    },
    "/api/checkchat": {
        "post": operation(
            "The reply to my newest equal request",
            json_reply("The stored reply", COMPLETION),
            request=body(chat_schema()),
            tag=CLASSIC_API,
        )
    },
    "/api/update_title": {
        "post": operation(
            "Rename a conversation",
            json_reply("Renamed", object_of("message new_title")),
            tag=CLASSIC_API,
            request=body(
                object_of(
                    "root_id convo_title",
                    root_id={"type": "string"},
                    convo_title={"type": "string", "pattern": r"[!-~]"},
                )
            ),
        )
    },
    "/api/update_title_openai": {
        "post": operation(
            "Have a model title a conversation",
            json_reply("The title, twice", object_of("message new_title")),
            tag=CLASSIC_API,
            request=body(object_of("root_id", root_id={"type": "string"})),
        )
    },
    "/api/metadata_check": {
        "post": operation(
            "Have a model assess a conversation",
            json_reply("Its JSON text", object_of("message metadata")),
            tag=CLASSIC_API,
            request=body(object_of("root_id", root_id={"type": "string"})),
        )
    },
    "/api/remove_convo": {
        "post": operation(
            "Hide a conversation",
            json_reply("Hidden; the log stays", object_of("message")),
            tag=CLASSIC_API,
            request=body(object_of("root_id", root_id={"type": "string"})),
        )
    },
    "/api/history": {
        "get": operation(
            "My calls",
            json_reply("Rows", page_of("Historical_list", ROW)),
            parameters=(LIMIT, BEFORE),
            tag=CLASSIC_API,
        )
    },
    "/api/history_v2": {
        "get": operation(
            "The newest call of each conversation of mine",
            parameters=(LIMIT, BEFORE),
            tag=CLASSIC_API,
            replies=json_reply("Rows", page_of("Historical_Conversations", ROW)),
        )
    },
    "/api/image_gen": {
        "post": operation(
            "Have a picture made",
            json_reply("The pictures", PICTURES),
            tag=CLASSIC_API,
            request=body(
                object_of(
                    "prompt",
                    prompt=PROMPT,
                    n={"type": "integer", "minimum": 1, "maximum": 10},
                    size={"enum": list(prices.IMAGE)},
                    model=PRICED_MODEL,
                )
            ),
        )
    },
    "/api/conversations": {
        "get": operation(
            "My conversations",
            json_reply("Newest first", page_of("conversations", CONVERSATION)),
            tag=CONVERSATIONS,
            parameters=(
                LIMIT,
                BEFORE,
                parameter("since", DAY, "last used on this day or later (UTC)"),
                parameter("until", DAY, "last used on this day or earlier (UTC)"),
                parameter("model", {"type": "string"}, "spoken with this model"),
                parameter("shown", {"type": "boolean"}, "in the history, or hidden from it"),
            ),
        )
    },
    "/api/conversations/{name}": {
        "get": operation(
            "One of my conversations, by pages of 20 MB",
            json_reply("Its messages, then its calls", CONVERSATION),
            parameters=(NAME, parameter("after", ID, "the `next` of the page before")),
            tag=CONVERSATIONS,
        ),
        "patch": operation(
            "Rename it",
            json_reply("Renamed", CONVERSATION),
            request=body(object_of("title", title={"type": "string", "pattern": r"[!-~]"})),
            parameters=(NAME,),
            tag=CONVERSATIONS,
        ),
        "delete": operation(
            "Hide it",
            {"204": {"description": "Hidden; the log stays"}},
            parameters=(NAME,),
            tag=CONVERSATIONS,
        ),
    },
    "/api/export.csv": {
        "get": {"description": EXPORT_NOTE}
        | operation(
            "The log as CSV",
            export_replies("text/csv"),
            tag=EXPORT,
            parameters=(
                *EXPORT_PARAMETERS,
                parameter("of", EXPORT_TABLES, "what a row says; turns, unless given"),
            ),
        )
    },
    "/api/export.jsonl": {
        "get": {"description": EXPORT_NOTE}
        | operation(
            "The log, faithfully",
            export_replies("application/jsonl"),
            tag=EXPORT,
            parameters=EXPORT_PARAMETERS,
        )
    },
    "/api/usage": {
        "get": operation(
            "What was spent",
            tag=USAGE,
            parameters=(
                parameter("since", DAY, "the first day (UTC); 30 days, unless given"),
                parameter("until", DAY, "the last; today, unless given"),
                parameter(
                    "of",
                    {"enum": ["me", "everyone"]},
                    "everyone: with the right to see the usage report",
                ),
            ),
            replies=json_reply(
                "Of these days, and of as many before",
                object_of("since until total before steps models", total=FIGURES, before=FIGURES),
            ),
        )
    },
}

DOCUMENT: Json = {
    "openapi": "3.1.0",
    "info": {
        "title": "LLM Gateway",
        "version": "1",
        "description": "Every call is recorded before it leaves. "
        'Errors have one shape: `{"error": {message, type, param, code}}`.',
    },
    "paths": PATHS,
    "components": {
        "securitySchemes": {
            "key": {"type": "http", "scheme": "bearer", "description": "a gateway key, gw-…"}
        }
    },
    "security": [{"key": []}],
}
