"""What is seen in a message of each dialect: a table of what each kind of part says."""

import typing

import pytest
from openai.types.responses import response_input_item, response_output_item

from conversations.speech import chat, messages, reading, responses
from conversations.speech.segments import SegmentKind, is_opaque, join_texts, walk

from .responses_table import HOLOGRAM, OUTPUT, REFERENCE, RESPONSES, call_of

CALL = {"type": "function", "id": "c1", "function": {"name": "ls", "arguments": "{}"}}


def assistant(*parts):
    return {"role": "assistant", "content": [*parts]}


# A message, and its segments in order with those inside: kind, then what each holds.
CHAT = [
    ({"role": "user", "content": "Hi"}, "text Hi"),
    ({"role": "user", "content": [{"type": "text", "text": "Hi"}, "you"]}, "text Hi | text you"),
    ({"role": "user", "content": None}, ""),
    (
        assistant({"type": "text", "text": "See"}) | {"refusal": "No", "tool_calls": [CALL]},
        "text See | refusal No | call ls c1 {}",
    ),
    (assistant({"type": "refusal", "refusal": "No"}), "refusal No"),
    (
        {"role": "assistant", "function_call": {"name": "old", "arguments": '{"a": 1}'}},
        'call old {"a": 1}',
    ),
    (
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
        "call f {'a': 1}",
    ),
    (
        {
            "role": "assistant",
            "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "f", "input": "x"}}],
        },
        "call f c x",
    ),
    ({"role": "tool", "tool_call_id": "c1", "content": "42"}, "result c1 42"),
    (
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "42"}]},
        "result c1 | text 42",
    ),
    (
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://e/x"}}]},
        "picture https://e/x",
    ),
    (
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": REFERENCE}}]},
        f"picture {REFERENCE}",
    ),
    (
        {
            "role": "user",
            "content": [{"type": "file", "file": {"filename": "a.pdf", "file_data": REFERENCE}}],
        },
        f"document a.pdf {REFERENCE}",
    ),
    (
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "UklGRg"}}]},
        "audio UklGRg",
    ),
    (
        {"role": "assistant", "audio": {"id": "a1", "transcript": "Hello"}},
        "audio Hello | unseen id a1",
    ),
    (
        assistant({"type": "text", "text": "See"})
        | {"annotations": [{"type": "url_citation", "url_citation": {"url": "u", "title": "t"}}]},
        "text See | citation t u",
    ),
    (
        {"role": "assistant", "reasoning": "Hm", "reasoning_content": "Hm", "content": "Yes"},
        "thinking Hm | text Yes",
    ),
    (
        {
            "role": "assistant",
            "content": "Yes",
            "reasoning": "Hm. Ah.",
            "reasoning_details": [
                {"type": "reasoning.text", "text": "Hm.", "signature": "S"},
                {"type": "reasoning.text", "text": "Ah."},
                {"type": "reasoning.text", "text": "Oh."},
            ],
        },
        "thinking Hm. Ah. | thinking | unseen signature S | thinking | thinking Oh. | text Yes",
    ),
    ({"role": "user", "content": "Hi", "name": "al"}, "text Hi | unseen name al"),
    ({"role": "user", "content": {"odd": 1}}, "unseen content {'odd': 1}"),
    (
        {"role": "user", "content": [{"type": "hologram", "x": 1}]},
        HOLOGRAM,
    ),
    ({"role": ["odd"], "content": "Hi"}, "text Hi | unseen role ['odd']"),
    (
        {"role": "$tools", "tools": [{"type": "function", "function": {"name": "f"}}]},
        "tool f | unseen type function",
    ),
]
MESSAGES = [
    ({"role": "$system", "content": [{"type": "text", "text": "Be"}]}, "text Be"),
    (
        assistant({"type": "thinking", "thinking": "Hm", "signature": "S"}),
        "thinking Hm | unseen signature S",
    ),
    (assistant({"type": "redacted_thinking", "data": "E"}), "thinking | unseen data E"),
    (
        assistant({"type": "tool_use", "id": "t1", "name": "ls", "input": {"path": "/"}}),
        "call ls t1 {'path': '/'}",
    ),
    (
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "ok", "is_error": True},
                {"type": "text", "text": "And?", "cache_control": {"type": "ephemeral"}},
            ],
        },
        "result t1 ok | unseen is_error True"
        " | text And? | unseen cache_control {'type': 'ephemeral'}",
    ),
    (
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t1",
                    "content": [
                        {"type": "text", "text": "ok"},
                        {
                            "type": "image",
                            "source": {"type": "base64", "media_type": "image/png", "data": "iVB"},
                        },
                    ],
                }
            ],
        },
        "result t1 | text ok | picture iVB | unseen source.media_type image/png",
    ),
    (
        {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "u"}}]},
        "picture u",
    ),
    (
        {
            "role": "user",
            "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}],
        },
        "picture f",
    ),
    (
        {
            "role": "user",
            "content": [
                {
                    "type": "document",
                    "title": "D",
                    "context": "From Al",
                    "source": {"type": "text", "media_type": "text/plain", "data": "Words"},
                    "citations": {"enabled": True},
                }
            ],
        },
        "document From Al\nWords D | unseen citations {'enabled': True}"
        " | unseen source.media_type text/plain",
    ),
    (
        {
            "role": "user",
            "content": [
                {"type": "document", "source": {"type": "content", "content": [OUTPUT, "more"]}}
            ],
        },
        "document | text Hi | text more",
    ),
    (
        {
            "role": "user",
            "content": [
                {
                    "type": "search_result",
                    "title": "T",
                    "source": "https://e",
                    "content": [{"type": "text", "text": "Found"}],
                }
            ],
        },
        "document T https://e | text Found",
    ),
    (
        assistant(
            {
                "type": "text",
                "text": "So",
                "citations": [
                    {"type": "page_location", "cited_text": "q", "document_title": "D"},
                    {"type": "web_search_result_location", "url": "u", "title": "t"},
                ],
            }
        ),
        "text So | citation q D | citation t u",
    ),
    (
        assistant(
            {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}},
            {
                "type": "web_search_tool_result",
                "tool_use_id": "s1",
                "content": [
                    {
                        "type": "web_search_result",
                        "title": "T",
                        "url": "u",
                        "encrypted_content": "E",
                    }
                ],
            },
        ),
        "server_call web_search s1 {'query': 'q'} | server_result s1"
        " | citation T u | unseen encrypted_content E",
    ),
    (
        assistant(
            {
                "type": "web_fetch_tool_result",
                "tool_use_id": "s1",
                "content": {
                    "type": "web_fetch_result",
                    "url": "u",
                    "content": {"type": "document", "source": {"type": "text", "data": "Page"}},
                },
            }
        ),
        "server_result s1 | document u | document Page",
    ),
    (
        assistant(
            {
                "type": "bash_code_execution_tool_result",
                "tool_use_id": "s1",
                "content": {
                    "type": "bash_code_execution_result",
                    "stdout": "o",
                    "stderr": "e",
                    "return_code": 1,
                    "content": [{"type": "bash_code_execution_output", "file_id": "f"}],
                },
            }
        ),
        "server_result s1 | server_result o\ne | document f | unseen return_code 1",
    ),
    (
        assistant(
            {"type": "mcp_tool_use", "id": "m", "name": "n", "server_name": "s", "input": {}},
            {"type": "mcp_tool_result", "tool_use_id": "m", "content": [OUTPUT]},
        ),
        "server_call n m | unseen server_name s | server_result m | text Hi",
    ),
    (assistant({"type": "container_upload", "file_id": "f"}), "document f"),
    (assistant({"type": "compaction", "content": "In short"}), "summary In short"),
    (assistant({"type": "hologram", "x": 1}), HOLOGRAM),
]


def tell(message):
    """Write the segments of a message, and those inside them, in one line."""
    told = []
    for segment in walk(reading.read_message(message)):
        is_call = segment.kind in (SegmentKind.CALL, SegmentKind.RESULT)
        words = [segment.name, segment.call, segment.text] if is_call else []
        words = words or [segment.text, segment.name, segment.call]
        values = [each for each in (segment.file, segment.value) if each is not None]
        told.append(" ".join(map(str, filter(None, [segment.kind, *words, segment.address]))))
        told[-1] = " ".join([told[-1], *map(str, values)])
    return " | ".join(told)


@pytest.mark.parametrize(("message", "segments"), CHAT + MESSAGES + RESPONSES)
def test_a_message_is_seen_as_its_segments(message, segments):
    before = repr(message)
    assert tell(message) == segments
    assert repr(message) == before


def find_types(annotation) -> set[str]:
    """Find the values of `type` of all models in an annotation."""
    field = getattr(annotation, "model_fields", {}).get("type")
    if field is not None:
        literals = [field.annotation, *typing.get_args(field.annotation)]
        return {word for each in literals for word in typing.get_args(each) if type(word) is str}
    return {word for each in typing.get_args(annotation) for word in find_types(each)}


# Which a model or a person cannot read: their whole is shown.
WITHOUT_WORDS = {"message", "item_reference", "compaction_trigger", "configuration_update"}


@pytest.mark.parametrize(
    "union", [response_input_item.ResponseInputItem, response_output_item.ResponseOutputItem]
)
def test_each_item_that_the_vendor_knows_has_a_shape(union):
    assert find_types(union) - WITHOUT_WORDS <= reading.SHAPES.keys()


def test_no_type_means_two_things():
    """So that a message is read without knowing its dialect."""
    tables = [chat.SHAPES, messages.SHAPES, responses.SHAPES]
    assert sum(map(len, tables)) == len(reading.SHAPES)


def test_words_are_joined_by_their_kinds():
    segments = reading.read_message(CHAT[3][0])
    assert join_texts(segments, SegmentKind.TEXT, SegmentKind.REFUSAL) == "See\nNo"
    unseen = reading.read_message(call_of("function_call", call_id="c", name="f", x="y"))
    assert [is_opaque(each) for each in unseen[0].inner] == [True, True, False]
