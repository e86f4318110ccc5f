"""Chat completions: a request in the form of its record, and the shapes of its parts."""

from .recorded import TOOLS, Recorded, put_back, take_fields, take_messages
from .segments import Json, SegmentKind, Shape

# Of a message: a model's thoughts as servers and proxies name them. They repeat each other.
THOUGHTS = ("reasoning_content", "reasoning", "reasoning_text", "thinking")
THOUGHT_PARTS = ("reasoning_details", "thinking_blocks")
OF_THOUGHTS = ("thinking", "text", "summary", "reasoning", "content")  # of a part
LEADING = ("system", "developer")
# Parts of a message beside its content, and their type where they name none.
BESIDE = {
    "images": "text",
    "annotations": "text",
    "tool_calls": "function",
    "function_call": "function",
}

THOUGHT = Shape(
    SegmentKind.THINKING, text=OF_THOUGHTS, inner=OF_THOUGHTS, inner_kind=SegmentKind.THINKING
)
TEXT = Shape(
    SegmentKind.TEXT,
    text=("text",),
    inner=("annotations", "citations"),
    inner_kind=SegmentKind.UNSEEN,
)
CALL = Shape(
    SegmentKind.CALL,
    text=("arguments", "input"),
    value=("arguments", "input"),
    name=("name",),
    call=("id",),
    opened=("function", "custom"),
)
AUDIO = Shape(
    SegmentKind.AUDIO,
    text=("transcript",),
    address=("url",),
    file=("data",),
    opened=("input_audio", "audio_url"),
)
CITATION = Shape(
    SegmentKind.CITATION,
    text=("cited_text",),
    name=("title", "document_title", "filename", "file_id"),
    address=("url", "source"),
    opened=("url_citation", "file_citation"),
)
TOOL = Shape(
    SegmentKind.TOOL,
    text=("description",),
    name=("name", "server_label", "type"),
    value=("parameters", "input_schema"),
    opened=("function", "custom"),
)
# A result of a client's tool, where a message is one.
RESULT = Shape(
    SegmentKind.RESULT,
    text=("content",),
    inner=("content",),
    name=("name",),
    call=("tool_call_id",),
)

SHAPES = {
    "text": TEXT,
    "thinking": THOUGHT,
    "reasoning": THOUGHT,
    "reasoning.text": THOUGHT,
    "reasoning.summary": THOUGHT,
    "reasoning.encrypted": THOUGHT,
    "refusal": Shape(SegmentKind.REFUSAL, text=("refusal",)),
    "image_url": Shape(SegmentKind.PICTURE, address=("url", "image_url"), opened=("image_url",)),
    "video_url": Shape(SegmentKind.VIDEO, address=("url", "video_url"), opened=("video_url",)),
    "input_audio": AUDIO,
    "audio_url": AUDIO,
    "file": Shape(
        SegmentKind.DOCUMENT,
        name=("filename", "file_id"),
        file=("file_data",),
        opened=("file",),
    ),
    "function": CALL,
    "custom": CALL,
    "url_citation": CITATION,
    "file_citation": CITATION,
}


def split_request(body: Json) -> Recorded:
    params = dict(body)
    messages = take_messages(params, "messages")
    if messages is None:
        return Recorded(params, [], [])
    tools = take_fields(params, TOOLS)
    first = next(
        (n for n, each in enumerate(messages) if each.get("role") not in LEADING), len(messages)
    )
    return Recorded(params, tools + messages[:first], messages[first:])


def join_request(recorded: Recorded) -> Json:
    params = dict(recorded.params)
    leading = put_back(params, recorded.preamble)
    if leading or recorded.turns:
        params["messages"] = leading + recorded.turns
    return params
