"""The review desk shows all that a message holds, whatever its dialect."""

import json

import pytest
from hypothesis import given, settings

from conversations.reading.pieces import pieces
from conversations.record import attachments

from .parts import list_strings, said


def is_shown(text, shown):
    """Tell whether a text is shown as it is, or as JSON spells it."""
    return text in shown or json.dumps(text, ensure_ascii=False)[1:-1] in shown


@settings(max_examples=150, deadline=None)
@given(said)
def test_a_reviewer_sees_each_string_of_a_message(message):
    found = pieces(attachments.lighten(message, []))
    shown = "\0\0".join(f"{each.text}\0\0{each.label}\0\0{each.file}" for each in found)
    rest = {name: value for name, value in message.items() if name != "role"}
    for text in list_strings(rest, with_types=False):
        assert is_shown(text, shown), text


@pytest.mark.parametrize(
    ("message", "kinds"),
    [
        (
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm", "signature": "S"},
                    {"type": "text", "text": "See"},
                    {"type": "tool_use", "id": "t", "name": "ls", "input": {"path": "/"}},
                ],
            },
            ["reasoning", "field", "text", "code"],
        ),
        (
            {
                "role": "tool",
                "items": [{"type": "function_call_output", "call_id": "c", "output": "4"}],
            },
            ["field", "text"],
        ),
        (
            {
                "role": "user",
                "content": [
                    {
                        "type": "image",
                        "source": {"type": "base64", "data": {"$attachment": ["ab" * 32, ""]}},
                    }
                ],
            },
            ["file"],
        ),
    ],
)
def test_messages_of_all_dialects_are_laid_out(message, kinds):
    assert [piece.kind for piece in pieces(message)] == kinds
