"""Parts of the API's description: schemas, parameters, replies, and what puts them together."""

from typing import Any

from conversations.shape import Json

from ..faults import Code

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
MOMENT = {"type": "string", "format": "date-time"}


def object_of(required: str = "", **properties: Any) -> Json:
    """Describe an object: `required` names properties by spaces; others are passed on."""
    return {
        "type": "object",
        "required": required.split(),
        "properties": properties,
        "additionalProperties": True,
    }


CODE = {
    "type": ["string", "null"],
    "description": "The gateway's own codes; those of an upstream pass as they came.\n\n"
    + "\n".join(f"- `{code}`: {code.meaning}" for code in Code),
    "examples": [code.value for code in Code],
}
ERROR = object_of(
    "error",
    message={"type": "string"},
    error=object_of(
        "message type param code",
        message={"type": "string"},
        type={"type": "string"},
        param={"type": ["string", "null"]},
        code=CODE,
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
    "id request response usage_info user_name title response_time convo_title convo_show "
    "root_gpt_id",
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
CLASSIC_IDS = {"uuid": ID, "root_uuid": ID}
ROOT = {
    "type": ["string", "null"],
    "description": 'absent, null, empty or "string": a new conversation',
}
PRICED_MODEL = {"enum": ["dall-e-2", None]}
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


def chat_schema(**more: Any) -> Json:
    return object_of(
        "model messages",
        model=MODEL,
        messages=MESSAGES,
        stream={"type": ["boolean", "null"]},
        stream_options={"type": ["object", "null"]},
        **more,
    )


def image_schema() -> Json:
    return object_of(
        "prompt",
        prompt=PROMPT,
        model={"anyOf": [MODEL, {"type": "null"}]},
        n={"type": ["integer", "null"]},
        size={"type": ["string", "null"]},
        stream={"type": ["boolean", "null"]},
    )


def page_of(name: str, item: Json) -> Json:
    """Describe a page of a list."""
    return object_of(name, **{name: {"type": "array", "items": item}}, next=NEXT)


def json_reply(description: str, schema: Json) -> Json:
    """Describe the reply of success, JSON with status 200."""
    content = {"application/json": {"schema": schema}}
    return {"200": {"description": description, "content": content}}


def error_reply(description: str) -> Json:
    return {"description": description, "content": {"application/json": {"schema": ERROR}}}


def body(schema: Json, kind: str = "application/json") -> Json:
    return {"required": True, "content": {kind: {"schema": schema}}}


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
    "503": "The call, or its end, cannot be recorded; or too many are open.",
    "504": "The model's server was too slow.",
}


def operation(
    summary: str,
    replies: Json,
    *,
    tag: str,
    request: Json | None = None,
    parameters: tuple[Json, ...] = (),
) -> Json:
    """Describe a method of a path. `replies` are those of success, by status."""
    described: Json = {
        "summary": summary,
        "tags": [tag],
        "parameters": list(parameters),
        "responses": replies | {status: error_reply(text) for status, text in ERRORS.items()},
    }
    if request:
        described["requestBody"] = request
    return described


def parameter(name: str, schema: Json, description: str, where: str = "query") -> Json:
    return {
        "name": name,
        "in": where,
        "required": where == "path",
        "schema": schema,
        "description": description,
    }


STREAMED = {
    "description": "The reply; with `stream: true` as server-sent events, "
    "whose last is `[DONE]`, or an error",
    "headers": {
        "x-request-id": {"description": "the snapshot's id", "schema": ID},
        "x-conversation-id": {"description": "the root id", "schema": ID},
    },
}
CONVERSATION_HEADERS = (
    parameter(
        "x-conversation-id",
        {"type": "string"},
        "the root id of a conversation of yours, which the call continues",
        "header",
    ),
    parameter(
        "x-session-id",
        {"type": "string", "maxLength": 200, "pattern": "^[ -~]*$"},
        "a name of your own for a conversation; agents' own headers (x-claude-code-session-id,"
        " session-id) are read likewise",
        "header",
    ),
)
LIMIT = parameter(
    "limit",
    {"type": "integer", "minimum": 1, "maximum": 999_999},
    "rows a page; at most 1,000 come",
)
BEFORE = parameter("before", ID, "go on behind this id")
DAY = {"type": "string", "pattern": r"^20\d\d-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])$"}


def stream_replies(schema: Json, event: str = "string") -> Json:
    """Describe both replies; an `event` is a string where it is data alone, else an object."""
    content = {
        "application/json": {"schema": schema},
        "text/event-stream": {"schema": {"type": event}},
    }
    return {"200": STREAMED | {"content": content}}


def export_replies(kind: str) -> Json:
    cursor = {"description": "the `after` of the next export", "schema": {"type": "string"}}
    return {
        "200": {
            "description": "The rows, streamed, in the order of their seals",
            "headers": {"x-next-cursor": cursor},
            "content": {kind: {"schema": {"type": "string"}}},
        }
    }
