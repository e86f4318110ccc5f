"""Anthropic's Messages: a request in the form of its record, and the shapes of its blocks.

Marks of the cache wander: the newest message has one, and is sent without it in the next call. They
are taken out of the messages, so that a message is one row wherever its marks are. A mark is
`[message, place, value]`; its place `[block]`, `[block, inner block]`, or null of a text that the
row has as a string.
"""

from typing import Any

from .recorded import SYSTEM, TOOLS, Recorded, put_back, take_fields, take_messages
from .segments import Json, SegmentKind, Shape

MARKS = "$marks"  # in params
MARK = "cache_control"

TOOL_USE = Shape(SegmentKind.CALL, text=("input",), value=("input",), name=("name",), call=("id",))
SERVER_TOOL_USE = Shape(
    SegmentKind.SERVER_CALL, text=("input",), value=("input",), name=("name",), call=("id",)
)
SERVER_RESULT = Shape(
    SegmentKind.SERVER_RESULT,
    text=("text", "stdout", "stderr", "content", "error_code", "error_message"),
    inner=("content", "lines", "tool_references"),
    call=("tool_use_id",),
)
SERVER_RESULTS = """
    web_search_tool_result web_search_tool_result_error
    web_fetch_tool_result web_fetch_tool_result_error
    code_execution_tool_result code_execution_tool_result_error
    code_execution_result encrypted_code_execution_result
    bash_code_execution_tool_result bash_code_execution_tool_result_error
    bash_code_execution_result
    text_editor_code_execution_tool_result text_editor_code_execution_tool_result_error
    text_editor_code_execution_view_result text_editor_code_execution_str_replace_result
    tool_search_tool_result tool_search_tool_result_error tool_search_tool_search_result
    advisor_tool_result advisor_tool_result_error advisor_result
    mcp_tool_result
""".split()
FILE = Shape(SegmentKind.DOCUMENT, name=("file_id",))
CITATION = Shape(
    SegmentKind.CITATION,
    text=("cited_text",),
    name=("title", "document_title"),
    address=("url", "source"),
)
CITATIONS = """
    char_location page_location content_block_location search_result_location
    web_search_result_location web_search_result
""".split()

SHAPES = {
    **dict.fromkeys(SERVER_RESULTS, SERVER_RESULT),
    **dict.fromkeys(CITATIONS, CITATION),
    "image": Shape(
        SegmentKind.PICTURE,
        name=("file_id",),
        address=("url",),
        file=("data",),
        opened=("source",),
    ),
    "document": Shape(
        SegmentKind.DOCUMENT,
        text=("context", "text"),
        name=("title", "file_id"),
        address=("url",),
        file=("data",),
        inner=("content",),
        opened=("source",),
    ),
    "search_result": Shape(
        SegmentKind.DOCUMENT, name=("title",), address=("source",), inner=("content",)
    ),
    "web_fetch_result": Shape(SegmentKind.DOCUMENT, address=("url",), inner=("content",)),
    "container_upload": FILE,
    "code_execution_output": FILE,
    "bash_code_execution_output": FILE,
    "redacted_thinking": Shape(SegmentKind.THINKING),
    "tool_use": TOOL_USE,
    "tool_result": Shape(
        SegmentKind.RESULT, text=("content",), inner=("content",), call=("tool_use_id",)
    ),
    "server_tool_use": SERVER_TOOL_USE,
    "mcp_tool_use": SERVER_TOOL_USE,
    "tool_reference": Shape(SegmentKind.TOOL, name=("tool_name",)),
    "mid_conv_system": Shape(SegmentKind.TEXT, text=("content",), inner=("content",)),
    # Of a compacted history; in Responses it is encrypted.
    "compaction": Shape(SegmentKind.SUMMARY, text=("content",)),
}


def split_request(body: Json) -> Recorded:
    params = dict(body)
    messages = take_messages(params, "messages")
    if messages is None:
        return Recorded(params, [], [])
    preamble = take_fields(params, TOOLS, SYSTEM)
    marks: list[Any] = []
    turns = [_take_marks(message, index, marks) for index, message in enumerate(messages)]
    if marks:
        params[MARKS] = marks
    return Recorded(params, preamble, turns)


def join_request(recorded: Recorded) -> Json:
    params = dict(recorded.params)
    put_back(params, recorded.preamble)
    if not recorded.turns:
        return params
    turns = list(recorded.turns)
    for index, place, value in params.pop(MARKS, []):
        turns[index] = turns[index] | {"content": _put_mark(turns[index]["content"], place, value)}
    return params | {"messages": turns}


def _take_marks(message: Json, index: int, marks: list[Any]) -> Json:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    found: list[Any] = []
    blocks = [_take_mark(block, [number], found) for number, block in enumerate(content)]
    if not found:
        return message
    [only, *others] = blocks
    if not others and only.keys() == {"type", "text"} and _is_text(only):
        marks.append([index, None, found[0][1]])
        return message | {"content": only["text"]}
    marks += [[index, place, value] for place, value in found]
    return message | {"content": blocks}


def _is_text(block: Json) -> bool:
    return block["type"] == "text" and isinstance(block["text"], str)


def _take_mark(block: Any, place: list[int], found: list[Any]) -> Any:
    """Return a block without its marks, which are added to `found` with their places."""
    if not isinstance(block, dict):
        return block
    if MARK in block:
        found.append([place, block[MARK]])
        block = {name: value for name, value in block.items() if name != MARK}
    if len(place) == 1 and isinstance(block.get("content"), list):
        known = len(found)
        inner = [
            _take_mark(each, [*place, number], found)
            for number, each in enumerate(block["content"])
        ]
        block = block | {"content": inner} if len(found) > known else block
    return block


def _put_mark(content: Any, place: list[int] | None, value: Any) -> Any:
    if place is None:
        return [{"type": "text", "text": content, MARK: value}]
    number, *deeper = place
    block = content[number]
    if deeper:
        marked = block | {"content": _put_mark(block["content"], deeper, value)}
    else:
        marked = block | {MARK: value}
    return [*content[:number], marked, *content[number + 1 :]]
