"""OpenAI's Responses: a request in the form of its record, and the shapes of its items.

A message of a user, a developer or the system is a row as it is. Items of a model that follow each
other are one row, and so are those that a client makes: what its tools gave back.
"""

from itertools import groupby

from .chat import CITATION, TEXT
from .recorded import INSTRUCTIONS, TOOLS, Recorded, put_back, take_fields, take_messages
from .segments import Json, SegmentKind, Shape

INPUT = "$input"  # in params: what the input was where it was no list of items
OWN_ROW = ("user", "system", "developer")
LEADING = ("system", "developer")
# What a client makes; all other items without a row of their own are a model's.
CLIENT_ITEMS = frozenset(
    """
    function_call_output custom_tool_call_output computer_call_output local_shell_call_output
    shell_call_output apply_patch_call_output mcp_approval_response compaction_trigger
""".split()
)

OUTPUT = Shape(
    SegmentKind.RESULT,
    text=("output",),
    name=("name",),
    call=("call_id", "id"),
    inner=("output",),
    untyped="shell_output",
)


def _call(name: str = "", *value: str, kind: SegmentKind = SegmentKind.CALL) -> Shape:
    """Make the shape of a call whose arguments are in these fields, or in the usual ones."""
    fields = value or ("arguments", "input")
    return Shape(
        kind, text=fields, value=fields, name=("name",), call=("call_id", "id"), default_name=name
    )


SHAPES = {
    "input_text": Shape(SegmentKind.TEXT, text=("text",)),
    "output_text": TEXT,
    "summary_text": Shape(SegmentKind.THINKING, text=("text",)),
    "reasoning_text": Shape(SegmentKind.THINKING, text=("text",)),
    "input_image": Shape(SegmentKind.PICTURE, address=("image_url",), name=("file_id",)),
    "computer_screenshot": Shape(SegmentKind.PICTURE, address=("image_url",), name=("file_id",)),
    "input_file": Shape(
        SegmentKind.DOCUMENT,
        name=("filename", "file_id"),
        address=("file_url",),
        file=("file_data",),
    ),
    **dict.fromkeys(CLIENT_ITEMS - {"mcp_approval_response", "compaction_trigger"}, OUTPUT),
    "mcp_approval_response": Shape(
        SegmentKind.RESULT, text=("reason",), value=("approve",), call=("approval_request_id",)
    ),
    "tool_search_output": Shape(SegmentKind.RESULT, call=("call_id", "id"), tools=("tools",)),
    "shell_output": Shape(SegmentKind.RESULT, text=("stdout", "stderr"), value=("outcome",)),
    "function_call": _call(),
    "custom_tool_call": _call(),
    "mcp_approval_request": _call(),
    "tool_search_call": _call("tool_search"),
    "computer_call": _call("computer", "action", "actions"),
    "local_shell_call": _call("local_shell", "action"),
    "shell_call": _call("shell", "action"),
    "apply_patch_call": _call("apply_patch", "operation"),
    "program": _call("program", "code", kind=SegmentKind.SERVER_CALL),
    "program_output": Shape(SegmentKind.SERVER_RESULT, text=("result",), call=("call_id", "id")),
    "web_search_call": _call("web_search", "action", kind=SegmentKind.SERVER_CALL),
    "file_search_call": Shape(
        SegmentKind.SERVER_CALL,
        value=("queries",),
        inner=("results",),
        untyped="file_search_result",
        call=("id",),
        default_name="file_search",
    ),
    "file_search_result": Shape(
        SegmentKind.DOCUMENT, text=("text",), name=("filename", "file_id"), value=("attributes",)
    ),
    "code_interpreter_call": Shape(
        SegmentKind.SERVER_CALL,
        text=("code",),
        inner=("outputs",),
        call=("id",),
        default_name="code_interpreter",
    ),
    "logs": Shape(SegmentKind.SERVER_RESULT, text=("logs",)),
    "image_generation_call": Shape(SegmentKind.PICTURE, text=("revised_prompt",), file=("result",)),
    "mcp_call": Shape(
        SegmentKind.SERVER_CALL,
        text=("arguments",),
        name=("name",),
        call=("id",),
        inner=("output", "error"),
        inner_kind=SegmentKind.SERVER_RESULT,
    ),
    "mcp_list_tools": Shape(SegmentKind.SERVER_RESULT, name=("server_label",), tools=("tools",)),
    "additional_tools": Shape(SegmentKind.TOOL, tools=("tools",)),
    "container_file_citation": CITATION,
    "file_path": CITATION,
}


def split_request(body: Json) -> Recorded:
    params = dict(body)
    items = take_messages(params, "input")
    if items is not None:
        turns = _group(items)
    elif isinstance(body.get("input"), str):
        turns = [{"role": "user", "content": params.pop("input")}]
        params[INPUT] = "text"
    else:
        turns = []
    if not turns:
        return Recorded(params, [], [])
    preamble = take_fields(params, TOOLS, INSTRUCTIONS)
    first = next((n for n, row in enumerate(turns) if row.get("role") not in LEADING), len(turns))
    return Recorded(params, preamble + turns[:first], turns[first:])


def join_request(recorded: Recorded) -> Json:
    params = dict(recorded.params)
    rows = put_back(params, recorded.preamble) + recorded.turns
    if params.pop(INPUT, "") == "text":
        return params | {"input": rows[0]["content"]}
    items = [item for row in rows for item in list_items(row)]
    return params | {"input": items} if items else params


def list_items(row: Json) -> list[Json]:
    """List the items of a row: many of a model or of a client's tools, else itself."""
    items: list[Json] = row["items"] if row.get("role") in ("assistant", "tool") else [row]
    return items


def group_reply(output: list[Json]) -> Json:
    """Make the one row of a reply."""
    return {"role": "assistant", "items": output}


def _group(items: list[Json]) -> list[Json]:
    rows: list[Json] = []
    for role, group in groupby(items, _find_role):
        members = list(group)
        rows += [{"role": role, "items": members}] if role else members
    return rows


def _find_role(item: Json) -> str:
    """Find the role of the row that an item is grouped in; none of one that is a row."""
    if item.get("role") in OWN_ROW:
        return ""
    kind = item.get("type")
    is_clients = isinstance(kind, str) and kind in CLIENT_ITEMS
    if is_clients or (kind == "tool_search_output" and item.get("execution") == "client"):
        return "tool"
    return "assistant"
