"""Answers as upstreams give them, and as clients send them back: the words are the same."""

from typing import Any

from conversations.models import Message, Snapshot
from conversations.reading import tree
from conversations.record import rebuild
from conversations.tests.calls import answer, ask, assistant, user

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
THOUGHTS = "Two and two, four."
SIGNED = {"type": "thinking", "thinking": THOUGHTS, "signature": "EqQB"}


def call(name: str, arguments: Any, called: str = "call_1", **fields: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": called, "type": "function", "function": function} | fields


def result(text: str, called: str = "call_1", **fields: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": called, "content": text} | fields


def text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


PLACE = '{"place": "K\\u00f6ln",  "days": 2}'
GEMINI = {"google": {"thought_signature": "CpQB"}}
# By client: the answer as the upstream sent it, and as it came back.
RESPELLED = {
    "openai-python, dumped whole": (
        assistant("Four."),
        assistant(
            "Four.", refusal=None, annotations=[], audio=None, function_call=None, tool_calls=None
        ),
    ),
    "openai-python, a refusal as content": (assistant(None, refusal="No."), assistant("No.")),
    "openai-python, a refusal as a part": (
        assistant(None, refusal="No."),
        assistant([{"type": "refusal", "refusal": "No."}]),
    ),
    "openai-python, a spoken answer by its id": (
        assistant(None, audio={"id": "audio_1", "data": "QUJD", "transcript": "Good morning."}),
        assistant(None, audio={"id": "audio_1"}),
    ),
    "openai-python, the older function": (
        assistant(None, function_call={"name": "f", "arguments": '{"a": 1}'}),
        assistant("", function_call={"arguments": '{"a":1}', "name": "f"}, name="m"),
    ),
    "LangChain, a name and an id": (
        assistant("Four."),
        assistant("Four.", name="model", id="run-1", response_metadata={"model": "m"}),
    ),
    "LangChain, calls written anew": (
        assistant(None, tool_calls=[call("weather", PLACE)]),
        assistant("", tool_calls=[call("weather", '{"days": 2, "place": "K\u00f6ln"}', "toolu_9")]),
    ),
    "LangChain, no arguments": (
        assistant(None, tool_calls=[call("now", "")]),
        assistant("", tool_calls=[call("now", "{}")]),
    ),
    "Vercel AI SDK, parts": (
        assistant("One. Two.", reasoning_content=THOUGHTS),
        assistant([text_part("One. "), text_part("Two.")]),
    ),
    "Vercel AI SDK, calls by JavaScript": (
        assistant("I look.", tool_calls=[call("f", '{"a": 1.0, "b": "\\u00fc", "c": 1e2}')]),
        assistant("I look.", tool_calls=[call("f", '{"a":1,"b":"\u00fc","c":100}', "aitxt-1")]),
    ),
    "LiteLLM, thinking as parts": (
        assistant("Four.", reasoning_content=THOUGHTS, thinking_blocks=[SIGNED]),
        assistant([SIGNED, text_part("Four.")]),
    ),
    "LiteLLM, fields of its own": (
        assistant("Four."),
        assistant("Four.", provider_specific_fields={"a": 1}, extra={"b": 1}),
    ),
    "Open WebUI, thoughts taken out": (
        assistant(f"<think>{THOUGHTS}</think>\n\nFour."),
        assistant("Four."),
    ),
    "Open WebUI, thoughts whose tag the template has opened": (
        assistant(f"{THOUGHTS}\n</think>\n\nFour."),
        assistant("Four."),
    ),
    "LibreChat, nothing thought": (assistant("<think>\n\n</think>\n\nFour."), assistant("Four.")),
    "LibreChat, pictures left out": (assistant("Look.", images=[PICTURE]), assistant("Look.")),
    "Claude, another signature": (
        assistant([SIGNED, text_part("Four.")]),
        assistant([SIGNED | {"signature": ""}, text_part("Four.")]),
    ),
    "Claude, thinking taken out": (
        assistant([SIGNED, text_part("Four.")]),
        assistant("Four."),
    ),
    "Claude, calls as parts": (
        assistant("I look.", tool_calls=[call("f", '{"a": 1}')]),
        assistant(
            [
                text_part("I look."),
                {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
            ]
        ),
    ),
    "Gemini, its signature taken out": (
        assistant(None, tool_calls=[call("f", "{}", extra_content=GEMINI)]),
        assistant(None, tool_calls=[call("f", "{}")]),
    ),
    "Gemini, other ids": (
        assistant(None, tool_calls=[call("f", "{}", "call_0"), call("g", "{}", "call_1")]),
        assistant(None, tool_calls=[call("f", "{}", "gen-7"), call("g", "{}", "gen-8")]),
    ),
    "Ollama, arguments as an object": (
        assistant("", tool_calls=[call("f", {"a": [1, None]})]),
        assistant("", tool_calls=[call("f", '{"a":[1,null]}')]),
    ),
    "lines that end in CR and LF": (assistant("One.\nTwo."), assistant("One.\r\nTwo.\r\n")),
    "a list of one string": (assistant("Four."), assistant(["Four."], name="m")),
}


def follow_up(reply: dict[str, Any]) -> list[dict[str, Any]]:
    """What a client says next: the results of the calls, or more."""
    parts = reply["content"] if isinstance(reply["content"], list) else []
    calls = [call["id"] for call in reply.get("tool_calls") or []]
    calls += [part["id"] for part in parts if "id" in part]
    return [result("sunny", each) for each in calls] or [user("And then?")]


def reply_with(owner: Any, messages: list[Any], reply: dict[str, Any], **how: Any) -> Snapshot:
    """Record a call that a model answers so."""
    opened = ask(owner, messages, **how)
    answer(opened, reply["content"], **{k: v for k, v in reply.items() if k != "content"})
    return Snapshot.objects.get(id=opened.id)


def read_origins(snapshot: Snapshot) -> list[str]:
    """The origins of the answers in its request, in order."""
    rows = {row.id: row for row in snapshot.conversation.messages.all()}
    found, row = [], rows.get(snapshot.head_id)
    while row:
        if row.role == "assistant":
            found.insert(0, row.origin)
        row = rows.get(row.parent_id)
    return found


def check_one_line(snapshot: Snapshot, length: int) -> None:
    """Readers see one line of so many messages: no branch, no claim, the gateway's own words."""
    calls = list(snapshot.conversation.snapshots.all())
    grown = tree.build_tree(snapshot.conversation.messages.all(), calls)
    assert len(set(grown.nodes.values())) == length
    line = grown.line()
    assert len(line) == length
    assert not any(node.claimed for node in line)
    replies = {each.reply_id for each in calls}
    answers = [node.message for node in line if node.message.role == "assistant"]
    assert {message.id for message in answers} == replies


def check_kept(snapshot: Snapshot, sent: list[dict[str, Any]]) -> None:
    """The request is on record as it was sent, whatever it repeats."""
    messages = rebuild.rebuild_request(snapshot)["messages"]
    assert messages == sent
    assert not Message.objects.filter(origin="claimed").exists()
