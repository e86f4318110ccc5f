"""The API as an OpenAPI 3.1 document, written by hand: views read few fields and pass on the rest, so no serializer could tell.

It says what the gateway itself checks. A request that it allows may still be refused by the model's server.
"""

from typing import Any

from conversations.models import Snapshot
from conversations.shape import Json

from .. import prices

ANYTHING: Json = {"type": "object", "additionalProperties": True}
ID = {"type": "string", "format": "uuid"}
MODEL = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": r"^[!-~]+( [!-~]+)*$"}
ROLE = {"enum": ["system", "developer", "user", "assistant", "tool", "function"]}
MESSAGE = {
    "type": "object",
    "required": ["role"],
    "properties": {"role": ROLE},
    "additionalProperties": True,
}
MESSAGES = {"type": "array", "minItems": 1, "maxItems": 4000, "items": MESSAGE}
PROMPT = {"type": "string", "minLength": 1}
COUNT = {"type": ["integer", "null"]}
MOMENT = {"type": "string", "format": "date-time"}


def object_of(required: str = "", **properties: Any) -> Json:
    """An object with these properties, those named first required; any others are passed on."""
    return {
        "type": "object",
        "required": required.split(),
        "properties": properties,
        "additionalProperties": True,
    }


ERROR = object_of(
    "error",
    message={"type": "string"},
    error=object_of(
        "message type param code",
        message={"type": "string"},
        type={"type": "string"},
        param={"type": ["string", "null"]},
        code={"type": ["string", "null"]},
    ),
)
CONVERSATION = object_of(
    "id title shown started last turns",
    id=ID,
    title={"type": "string"},
    shown={"type": "boolean"},
    started=MOMENT,
    last=MOMENT,
    turns={"type": "integer"},
    prompt_tokens={"type": "integer"},
    completion_tokens={"type": "integer"},
    cost_usd={"type": "number"},
)
ROW = object_of(
    "id request response usage_info user_name title response_time convo_title convo_show root_gpt_id",
    id=ID,
    request=ANYTHING,
    response={"type": ["object", "null"]},
    usage_info={"type": ["object", "null"]},
    user_name={"type": "string"},
    title={"type": ["string", "null"]},
    response_time={"type": ["string", "null"]},
    convo_title={"type": ["string", "null"]},
    convo_show={"type": "boolean"},
    root_gpt_id={"type": ["string", "null"]},
)
COMPLETION = object_of(
    "choices",
    id={"type": "string"},
    choices={"type": "array", "items": ANYTHING},
    usage={"type": ["object", "null"]},
)
PICTURES = object_of("data", data={"type": "array", "items": ANYTHING})
CLASSIC = {"uuid": ID, "root_uuid": ID}
ROOT = {
    "type": ["string", "null"],
    "description": 'absent, null, empty or "string": a new conversation',
}
PRICED = {"enum": ["dall-e-2", None]}
SPENT = {
    "calls": {"type": "integer"},
    "failures": {"type": "integer"},
    "prompt_tokens": {"type": "integer"},
    "completion_tokens": {"type": "integer"},
}
FIGURES = object_of(
    "calls failures prompt_tokens completion_tokens cost_usd", cost_usd={"type": "number"}, **SPENT
)
NEXT = {"type": ["string", "null"], "description": "the `before` of the following page"}


def chat(**more: Any) -> Json:
    return object_of(
        "model messages",
        model=MODEL,
        messages=MESSAGES,
        stream={"type": ["boolean", "null"]},
        stream_options={"type": ["object", "null"]},
        **more,
    )


def picture() -> Json:
    return object_of(
        "prompt",
        prompt=PROMPT,
        model={"anyOf": [MODEL, {"type": "null"}]},
        n={"type": ["integer", "null"]},
        size={"type": ["string", "null"]},
    )


def listed(name: str, item: Json) -> Json:
    """A page of a list."""
    return object_of(name, **{name: {"type": "array", "items": item}}, next=NEXT)


def answer(description: str, schema: Json | None = None, kind: str = "application/json") -> Json:
    return {"description": description} | (
        {"content": {kind: {"schema": schema}}} if schema else {}
    )


ERRORS = {
    "400": "The request makes no sense; `param` names where.",
    "401": "No key, or one that is not known, expired or revoked.",
    "403": "The key has not this scope, or the session's CSRF token is missing.",
    "404": "No such thing, or not yours.",
    "405": "No such method here.",
    "413": "More than 20 MB.",
    "415": "A compressed body, or a wrong content type.",
    "429": "Too much at once; `retry-after` says when to try again.",
    "502": "The model's server failed.",
    "503": "The call cannot be recorded, so it did not pass; or too many are open.",
    "504": "The model's server was too slow.",
}


def operation(
    summary: str,
    reply: Json,
    *,
    body: Json | None = None,
    kind: str = "application/json",
    parameters: tuple = (),
    tag: str,
    status: str = "200",
) -> Json:
    described: Json = {
        "summary": summary,
        "tags": [tag],
        "parameters": list(parameters),
        "responses": {status: reply}
        | {status: answer(text, ERROR) for status, text in ERRORS.items()},
    }
    return described | (
        {"requestBody": {"required": True, "content": {kind: {"schema": body}}}} if body else {}
    )


def given(name: str, schema: Json, description: str, where: str = "query") -> Json:
    return {
        "name": name,
        "in": where,
        "required": where == "path",
        "schema": schema,
        "description": description,
    }


STREAMED = {
    "description": "The reply; with `stream: true` as server-sent events, whose last is `[DONE]`, or an error",
    "headers": {
        "x-request-id": {"description": "the snapshot's id", "schema": ID},
        "x-conversation-id": {"description": "the root id", "schema": ID},
    },
}
PLACES = (
    given(
        "x-conversation-id",
        {"type": "string"},
        "the root id of a conversation of yours, which the call continues",
        "header",
    ),
    given(
        "x-session-id",
        {"type": "string", "maxLength": 200, "pattern": "^[ -~]*$"},
        "a name of your own for a conversation",
        "header",
    ),
)
LIMIT = given(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": 999_999},
    "rows a page; at most 1,000 come",
)
BEFORE = given("before", ID, "go on behind this id")
DAY = {"type": "string", "pattern": r"^20\d\d-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])$"}


def streamed(schema: Json) -> Json:
    return STREAMED | {
        "content": {
            "application/json": {"schema": schema},
            "text/event-stream": {"schema": {"type": "string"}},
        }
    }


def exported(kind: str) -> Json:
    headers = {
        "x-next-cursor": {
            "description": "the `after` of the next export",
            "schema": {"type": "string"},
        }
    }
    return {
        "description": "The rows, streamed, in the order of their seals",
        "headers": headers,
        "content": {kind: {"schema": {"type": "string"}}},
    }


V1, CLASSICS, REST, USAGE, EXPORT = (
    "OpenAI's API",
    "The classic gateway's API",
    "Conversations",
    "Usage",
    "Export of the log",
)
NAME = given("name", {"type": "string", "minLength": 1}, "the root id", "path")
EXPORTED = (
    given(
        "purpose",
        {"type": "string", "pattern": "^[!-~]{1,200}$"},
        "why; it stands on the audit trail",
    )
    | {"required": True},
    given(
        "after",
        {"type": "string", "pattern": r"^\d{1,18}$"},
        "the `x-next-cursor` of the pull before; without it, from the first",
    ),
    given("since", DAY, "opened on this day or later (UTC)"),
    given("until", DAY, "opened on this day or earlier (UTC)"),
    given("user", {"type": "string"}, "a user name, exactly"),
    given("model", {"type": "string"}, "as it was asked for"),
    given("status", {"enum": Snapshot.Status.values}, "how the call ended"),
    given("kind", {"enum": Snapshot.Kind.values}, "of call"),
)
TABLES = {"enum": ["turns", "figures", "classic"]}
EXPORTS = "For a session or a key's owner that may export what was said; a key needs the scope `export`. A call that is open is in a later export, once."

PATHS: Json = {
    "/v1/chat/completions": {
        "post": operation(
            "Ask a model", streamed(COMPLETION), body=chat(), parameters=PLACES, tag=V1
        )
    },
    "/v1/images/generations": {
        "post": operation(
            "Have a picture made",
            answer("The pictures", PICTURES),
            body=picture(),
            parameters=PLACES,
            tag=V1,
        )
    },
    "/v1/images/edits": {
        "post": operation(
            "Have a picture changed",
            answer("The pictures", PICTURES),
            kind="multipart/form-data",
            parameters=PLACES,
            tag=V1,
            body=object_of(
                "prompt image", prompt=PROMPT, image={"type": "string", "format": "binary"}
            ),
        )
    },
    "/v1/embeddings": {
        "post": operation(
            "Have texts measured",
            answer("The vectors", ANYTHING),
            tag=V1,
            body=object_of(
                "model input",
                model=MODEL,
                input={
                    "anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "minItems": 1}]
                },
            ),
        )
    },
    "/v1/models": {
        "get": operation(
            "The models that may be asked",
            answer("A list", object_of("data", data={"type": "array", "items": ANYTHING})),
            tag=V1,
        )
    },
    "/v1/models/{name}": {
        "get": operation(
            "One model",
            answer("The model", object_of("id", id={"type": "string"})),
            parameters=(NAME | {"description": "its id"},),
            tag=V1,
        )
    },
    "/api/chat": {
        "post": operation(
            "Ask a model",
            streamed(object_of("choices uuid root_uuid", **COMPLETION["properties"], **CLASSIC)),
            tag=CLASSICS,
            body=chat(root_id=ROOT, convo_title={"type": ["string", "null"], "maxLength": 200}),
        )
    },
    "/api/checkchat": {
        "post": operation(
            "The reply to my newest equal request",
            answer("The stored reply", COMPLETION),
            body=chat(),
            tag=CLASSICS,
        )
    },
    "/api/update_title": {
        "post": operation(
            "Rename a conversation",
            answer("Renamed", object_of("message new_title")),
            tag=CLASSICS,
            body=object_of(
                "root_id convo_title",
                root_id={"type": "string"},
                convo_title={"type": "string", "pattern": r"[!-~]"},
            ),
        )
    },
    "/api/update_title_openai": {
        "post": operation(
            "Have a model title a conversation",
            answer("The title, twice", object_of("message new_title")),
            tag=CLASSICS,
            body=object_of("root_id", root_id={"type": "string"}),
        )
    },
    "/api/metadata_check": {
        "post": operation(
            "Have a model assess a conversation",
            answer("Its JSON text", object_of("message metadata")),
            tag=CLASSICS,
            body=object_of("root_id", root_id={"type": "string"}),
        )
    },
    "/api/remove_convo": {
        "post": operation(
            "Hide a conversation",
            answer("Hidden; the log stays", object_of("message")),
            tag=CLASSICS,
            body=object_of("root_id", root_id={"type": "string"}),
        )
    },
    "/api/history": {
        "get": operation(
            "My calls",
            answer("Rows", listed("Historical_list", ROW)),
            parameters=(LIMIT, BEFORE),
            tag=CLASSICS,
        )
    },
    "/api/history_v2": {
        "get": operation(
            "The newest call of each conversation of mine",
            parameters=(LIMIT, BEFORE),
            tag=CLASSICS,
            reply=answer("Rows", listed("Historical_Conversations", ROW)),
        )
    },
    "/api/image_gen": {
        "post": operation(
            "Have a picture made",
            answer("The pictures", PICTURES),
            tag=CLASSICS,
            body=object_of(
                "prompt",
                prompt=PROMPT,
                n={"type": "integer", "minimum": 1, "maximum": 10},
                size={"enum": list(prices.IMAGE)},
                model=PRICED,
            ),
        )
    },
    "/api/conversations": {
        "get": operation(
            "My conversations",
            answer("Newest first", listed("conversations", CONVERSATION)),
            tag=REST,
            parameters=(
                LIMIT,
                BEFORE,
                given("since", DAY, "last used on this day or later (UTC)"),
                given("until", DAY, "last used on this day or earlier (UTC)"),
                given("model", {"type": "string"}, "spoken with this model"),
                given("shown", {"type": "boolean"}, "in the history, or hidden from it"),
            ),
        )
    },
    "/api/conversations/{name}": {
        "get": operation(
            "One of my conversations, whole",
            answer("Its messages and calls", CONVERSATION),
            parameters=(NAME,),
            tag=REST,
        ),
        "patch": operation(
            "Rename it",
            answer("Renamed", CONVERSATION),
            body=object_of("title", title={"type": "string", "pattern": r"[!-~]"}),
            parameters=(NAME,),
            tag=REST,
        ),
        "delete": operation(
            "Hide it",
            {"description": "Hidden; the log stays"},
            parameters=(NAME,),
            tag=REST,
            status="204",
        ),
    },
    "/api/export.csv": {
        "get": {"description": EXPORTS}
        | operation(
            "The log as CSV",
            exported("text/csv"),
            tag=EXPORT,
            parameters=(*EXPORTED, given("of", TABLES, "what a row says; turns, unless given")),
        )
    },
    "/api/export.jsonl": {
        "get": {"description": EXPORTS}
        | operation(
            "The log, faithfully", exported("application/jsonl"), tag=EXPORT, parameters=EXPORTED
        )
    },
    "/api/usage": {
        "get": operation(
            "What was spent",
            tag=USAGE,
            parameters=(
                given("since", DAY, "the first day (UTC); 30 days, unless given"),
                given("until", DAY, "the last; today, unless given"),
                given(
                    "of",
                    {"enum": ["me", "everyone"]},
                    "everyone: with the right to see the usage report",
                ),
            ),
            reply=answer(
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
        "description": 'Every call is recorded before it leaves. Errors have one shape: `{"error": {message, type, param, code}}`.',
    },
    "paths": PATHS,
    "components": {
        "securitySchemes": {
            "key": {"type": "http", "scheme": "bearer", "description": "a gateway key, gw-…"}
        }
    },
    "security": [{"key": []}],
}
