"""Rows as a classic gateway leaves them, with every quirk that such logs have. Made up."""

import base64
import json
from datetime import datetime, timedelta
from uuid import UUID, uuid5

SPACE = UUID("5a4e9a0c-7a55-4b1e-9d0f-0d9c4f0f3b11")
BEGAN = datetime.fromisoformat("2023-04-27T16:25:48.872857")  # naive, as classic rows are
AWKWARD = (
    "tab\there, line\nbreak, back\\slash \\N \\. 'quotes' \"double\" $$ $x$ ; -- no comment"
    " /* nor this */ é 漢字 😀 \r\x01"
)
PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 12).decode()


def id_of(n):
    return uuid5(SPACE, str(n))


def said(*texts):
    return [
        {"role": role, "content": text}
        for role, text in zip(["user", "assistant"] * len(texts), texts, strict=False)
    ]


def reply(text, id="chatcmpl-0", **fields):
    choices = [
        {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    ]
    return {
        "id": id,
        "model": "gpt-3.5-turbo-0613",
        "usage": {"total_tokens": 1},
        "object": "chat.completion",
        "choices": choices,
        "created": 1,
    } | fields


def usage(prompt, completion):
    return {
        "total_tokens": prompt + completion,
        "prompt_tokens": prompt,
        "completion_tokens": completion,
    }


def chat(n, messages, answer, **columns):
    """The row number n: also its minute."""
    row = {
        "id": id_of(n),
        "request": {"model": "gpt-3.5-turbo", "messages": messages},
        "response": reply(answer, f"chatcmpl-{n}") if isinstance(answer, str) else answer,
        "usage_info": usage(10 + n, 3),
        "user_name": "ann@example.com",
        "title": "Analyst",
        "response_time": BEGAN + timedelta(minutes=n, microseconds=n),
        "convo_title": "A talk",
        "convo_show": True,
        "root_gpt_id": "chatcmpl-A",
    }
    return row | columns


def chats():
    horror = "As I reached for the light switch in the darkness, a cold hand grabbed mine."
    story = said(
        "write me a 1 sentence horror story",
        horror,
        "add another sentence",
        "I turned around.",
        "and another",
    )
    headers = {"headers": {"accept": "application/json, text/plain, */*"}}
    rows = [
        # One conversation as it should be, filed in the wrong order. Its request carries headers,
        # and no job title is known.
        chat(2, story[:3], story[3]["content"], title=None),
        chat(1, story[:1], horror, title=None),
        chat(
            3,
            story,
            "The end.",
            request={"model": "gpt-3.5-turbo", "temperature": 0.6} | headers | {"messages": story},
            title=None,
        ),
        # The same request three times, answered and counted otherwise than its reply says.
        *[
            chat(n, story, f"ending {n}", root_gpt_id="chatcmpl-A", usage_info=usage(n, n))
            for n in (4, 5)
        ],
        chat(6, story, "ending 5"),
        # The root is the first row's id.
        chat(
            10,
            said("hi"),
            "Hello!",
            root_gpt_id=str(id_of(10)),
            user_name="bob@example.com",
            title="Engineer",
        ),
        chat(
            11,
            said("hi", "Hello!", "more"),
            "More.",
            root_gpt_id=str(id_of(10)),
            user_name="bob@example.com",
            title="Senior Engineer",
        ),
        # The old page's way: "string" first, then the last reply's id.
        chat(20, said("one"), "two", root_gpt_id="string"),
        chat(
            21,
            said("one", "two", "three"),
            "four",
            root_gpt_id="chatcmpl-20",
            convo_title="Counting",
        ),
        chat(
            22,
            said("one", "two", "three", "four", "five"),
            "six",
            root_gpt_id="chatcmpl-21",
            convo_title="Counting",
        ),
        chat(23, said("one"), "zwei", root_gpt_id="string"),
        # Somebody else under the same root.
        chat(30, said("hi"), "Hello!", user_name="bob@example.com"),
        # Calls that made a title; calls that belong nowhere.
        chat(
            40,
            said("conversation: ['hi']"),
            "Greetings",
            convo_title="summarizer",
            convo_show=False,
            root_gpt_id=None,
        ),
        chat(41, said("nowhere"), "here", root_gpt_id=None),
        chat(42, said("nowhere"), "here", root_gpt_id=""),
        # Renamed half-way, removed, and spoken to again; removed for good.
        chat(50, said("a"), "b", root_gpt_id="chatcmpl-50", convo_title="Old", convo_show=False),
        chat(51, said("a", "b", "c"), "d", root_gpt_id="chatcmpl-50", convo_title="New"),
        chat(
            52,
            said("a", "b", "c", "d", "e"),
            "f",
            root_gpt_id="chatcmpl-50",
            convo_title="New",
            convo_show=None,
        ),
        chat(55, said("secret"), "gone", root_gpt_id="chatcmpl-55", convo_show=False),
        # Titles that are none, too long, or more than a line.
        chat(60, said("untitled question"), "x", root_gpt_id="chatcmpl-60", convo_title=None),
        chat(
            61, said("untitled question", "x", "y"), "z", root_gpt_id="chatcmpl-60", convo_title=""
        ),
        chat(62, said("long"), "x", root_gpt_id="chatcmpl-62", convo_title="long " * 200),
        chat(63, said("lines"), "x", root_gpt_id="chatcmpl-63", convo_title=AWKWARD, title=AWKWARD),
        # What stands in the columns.
        chat(70, said(AWKWARD, AWKWARD, AWKWARD), AWKWARD, root_gpt_id=AWKWARD),
        chat(71, said("no usage"), "x", root_gpt_id="chatcmpl-71", usage_info=None),
        chat(
            72,
            said("odd usage"),
            "x",
            root_gpt_id="chatcmpl-72",
            usage_info={"prompt_tokens": "7", "completion_tokens": -1, "more": {"cached": 5}},
        ),
        chat(
            73,
            said("no usage anywhere"),
            reply("x", usage=None),
            root_gpt_id="chatcmpl-73",
            usage_info=None,
        ),
        chat(
            74,
            said("a lambda's"),
            [{"generation": {"role": "assistant", "content": "from SageMaker"}}],
            root_gpt_id="chatcmpl-74",
            usage_info=None,
        ),
        chat(75, said("no answer"), None, root_gpt_id="chatcmpl-75"),
        chat(
            76, said("an error"), {"error": {"message": "Overloaded."}}, root_gpt_id="chatcmpl-76"
        ),
        chat(
            77,
            said("half"),
            {
                "choices": [
                    {"text": "no message"},
                    {"message": {"role": "assistant", "content": "one"}},
                ]
            },
            root_gpt_id="chatcmpl-77",
        ),
        chat(
            78,
            said("two answers"),
            reply("first") | {"choices": reply("first")["choices"] + reply("second")["choices"]},
            root_gpt_id="chatcmpl-78",
        ),
        chat(
            80,
            [],
            "x",
            request={"prompt": "no messages", "max_gen_len": 5},
            root_gpt_id="chatcmpl-80",
        ),
        chat(
            81,
            [],
            "x",
            request={"model": 7, "messages": ["not", "objects"]},
            root_gpt_id="chatcmpl-81",
        ),
        chat(82, [], "x", request=["a", "list"], root_gpt_id="chatcmpl-82"),
        chat(83, [], "x", request=None, root_gpt_id="chatcmpl-83"),
        chat(
            84,
            [{"role": "user", "content": [{"type": "text", "text": "parts"}], "name": "x"}],
            reply("x", extra=[1.5, True]),
            root_gpt_id="chatcmpl-84",
        ),
        chat(
            85,
            said("a number"),
            5,
            root_gpt_id="chatcmpl-85",
            response_time=BEGAN.replace(microsecond=0) + timedelta(minutes=85),
        ),
    ]
    return rows


def images():
    common = {"user_name": "ann@example.com", "title": None}
    ask = {"prompt": "a fox", "n": 2, "size": "512x512"}
    made = {
        "created": 1,
        "data": [{"url": "https://images.example/1.png"}, {"url": "https://images.example/2.png"}],
    }
    return [
        common
        | {
            "id": id_of("i1"),
            "request": ask,
            "response": made,
            "usage_cost": 0.036,
            "response_time": BEGAN,
        },
        common
        | {
            "id": id_of("i2"),
            "request": ask,
            "response": {"data": [{"b64_json": PICTURE}]},
            "usage_cost": None,
            "response_time": BEGAN + timedelta(1),
        },
        common
        | {
            "id": id_of("i3"),
            "request": {},
            "response": None,
            "usage_cost": 1.5e-9,
            "response_time": BEGAN + timedelta(2),
        },
    ]


def summaries():
    row = {
        key: value
        for key, value in chat(90, said("Describe this."), '{"chat_summary": "Horror"}').items()
        if not key.startswith(("convo", "root"))
    }
    return [
        row | {"orig_summarized_id": "chatcmpl-A"},
        row | {"id": id_of("m2"), "orig_summarized_id": None, "usage_info": None},
    ]


def tables():
    return {"chatgpt_logs": chats(), "image_logs": images(), "meta_summarizer_log": summaries()}


TYPES = {"id": "uuid", "response_time": "timestamp", "convo_show": "boolean", "usage_cost": "real"}
JSON_COLUMNS = ("request", "response", "usage_info")


def ddl(table, rows, json_type):
    columns = ", ".join(
        f"{name} {TYPES.get(name, json_type if name in JSON_COLUMNS else 'text')}"
        for name in rows[0]
    )
    return f"CREATE TABLE llm_logs.{table} ({columns}, PRIMARY KEY (id), UNIQUE (id, user_name))"


def stored(name, value):
    """As the column holds it."""
    return (
        value
        if value is None or name not in ("request", "response", "usage_info")
        else json.dumps(value)
    )
