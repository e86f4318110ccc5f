"""Messages of Responses, and what is seen in each: a table for test_reading."""

REFERENCE = {"$attachment": ["ab" * 32, "data:image/png;base64,"]}
OUTPUT = {"type": "output_text", "text": "Hi", "logprobs": []}
HOLOGRAM = "unseen hologram {'type': 'hologram', 'x': 1}"


def items(*each, role="assistant"):
    return {"role": role, "items": [*each]}


def call_of(kind, **fields):
    return items({"type": kind, "id": "i1", "status": "completed", **fields})


# As the tables of test_reading.
RESPONSES = [
    ({"role": "$instructions", "content": "Be brief"}, "text Be brief"),
    (
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        "text Hi",
    ),
    (
        items(
            {
                "type": "message",
                "id": "m1",
                "role": "assistant",
                "status": "completed",
                "content": [
                    OUTPUT | {"annotations": [{"type": "url_citation", "url": "u", "title": "t"}]},
                    {"type": "refusal", "refusal": "No"},
                ],
            }
        ),
        "text Hi | citation t u | refusal No | unseen id m1 | unseen status completed",
    ),
    (items({"role": "assistant", "content": "Hi"}), "text Hi"),
    (
        call_of(
            "reasoning",
            summary=[{"type": "summary_text", "text": "Hm"}],
            content=[{"type": "reasoning_text", "text": "Ah"}],
            encrypted_content="E",
        ),
        "thinking | thinking Hm | thinking Ah | unseen id i1 | unseen status completed"
        " | unseen encrypted_content E",
    ),
    (
        items({"type": "function_call", "call_id": "c1", "name": "ls", "arguments": "{}"}),
        "call ls c1 {}",
    ),
    (
        items(
            {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": "*** B"}
        ),
        "call apply_patch c *** B",
    ),
    (
        items({"type": "function_call_output", "call_id": "c1", "output": "42"}, role="tool"),
        "result c1 42",
    ),
    (
        items(
            {
                "type": "custom_tool_call_output",
                "call_id": "c",
                "output": [
                    {"type": "input_text", "text": "ok"},
                    {"type": "input_image", "image_url": REFERENCE, "detail": "auto"},
                ],
            },
            role="tool",
        ),
        f"result c | text ok | picture {REFERENCE} | unseen detail auto",
    ),
    (
        items({"type": "local_shell_call", "call_id": "c", "action": {"command": ["ls"]}}),
        "call local_shell c {'command': ['ls']}",
    ),
    (
        items(
            {
                "type": "shell_call_output",
                "call_id": "c",
                "output": [{"stdout": "o", "outcome": 0}],
            },
            role="tool",
        ),
        "result c | result o 0",
    ),
    (
        items(
            {
                "type": "computer_call_output",
                "call_id": "c",
                "output": {"type": "computer_screenshot", "image_url": "u"},
            },
            role="tool",
        ),
        "result c | picture u",
    ),
    (
        items({"type": "apply_patch_call", "call_id": "c", "operation": {"path": "a"}}),
        "call apply_patch c {'path': 'a'}",
    ),
    (
        items({"type": "web_search_call", "id": "w", "action": {"query": "q"}}),
        "server_call web_search w {'query': 'q'}",
    ),
    (
        items(
            {
                "type": "file_search_call",
                "id": "w",
                "queries": ["q"],
                "results": [{"filename": "a.pdf", "text": "Found"}],
            }
        ),
        "server_call file_search w ['q'] | document Found a.pdf",
    ),
    (
        items(
            {
                "type": "code_interpreter_call",
                "id": "w",
                "code": "1+1",
                "outputs": [{"type": "logs", "logs": "2"}, {"type": "image", "url": "u"}],
            }
        ),
        "server_call 1+1 code_interpreter w | server_result 2 | picture u",
    ),
    (
        items({"type": "image_generation_call", "revised_prompt": "A cat", "result": REFERENCE}),
        f"picture A cat {REFERENCE}",
    ),
    (
        items(
            {"type": "mcp_call", "id": "m", "name": "n", "arguments": "{}", "output": "res"},
            {"type": "mcp_approval_request", "id": "q", "name": "n", "arguments": "{}"},
        ),
        "server_call {} n m | server_result res | call n q {}",
    ),
    (
        items(
            {"type": "mcp_approval_response", "approval_request_id": "q", "approve": False},
            role="tool",
        ),
        "result q False",
    ),
    (
        items({"type": "mcp_list_tools", "server_label": "s", "tools": [{"name": "n"}]}),
        "server_result s | tool n",
    ),
    (
        {"type": "additional_tools", "role": "developer", "tools": [{"name": "n"}]},
        "tool | tool n | unseen role developer",
    ),
    (
        {
            "role": "user",
            "content": [{"type": "input_file", "filename": "a.pdf", "file_data": REFERENCE}],
        },
        f"document a.pdf {REFERENCE}",
    ),
    (
        call_of("compaction", encrypted_content="E"),
        ("summary | unseen id i1 | unseen status completed | unseen encrypted_content E"),
    ),
    (
        items({"type": "item_reference", "id": "m1"}),
        "unseen item_reference {'type': 'item_reference', 'id': 'm1'}",
    ),
    (items({"type": "hologram", "x": 1}), HOLOGRAM),
]
