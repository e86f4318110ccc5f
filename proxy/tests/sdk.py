"""What people do with openai-python, a function each, that returns what came of it as JSON.

Runs in the tests' process with the installed openai, and as a program with the one that PYTHONPATH
names: a line of JSON on stdin, [function, url, key, arguments], gives one on stdout.
"""

import base64
import io
import json
import sys
import traceback
from typing import Any

import openai

TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Current weather of a place",
            "parameters": {
                "type": "object",
                "properties": {"place": {"type": "string"}},
                "required": ["place"],
            },
        },
    }
]


def chat(client: openai.OpenAI, question: str, **params: Any) -> Any:
    reply = client.chat.completions.with_raw_response.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": question}], **params
    )
    completion = reply.parse()
    return {
        "id": reply.headers["x-request-id"],
        "root": reply.headers["x-conversation-id"],
        "text": completion.choices[0].message.content,
        "finish_reason": completion.choices[0].finish_reason,
        "total_tokens": completion.usage and completion.usage.total_tokens,
        "model": completion.model,
        "request_id": completion._request_id,
    }


def stream(client: openai.OpenAI, question: str, **params: Any) -> Any:
    with client.chat.completions.with_streaming_response.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": question}], stream=True, **params
    ) as reply:
        chunks = list(reply.parse())
        return {
            "id": reply.headers["x-request-id"],
            "root": reply.headers["x-conversation-id"],
            "text": "".join(
                choice.delta.content or "" for chunk in chunks for choice in chunk.choices
            ),
            "finish_reason": [choice.finish_reason for chunk in chunks for choice in chunk.choices][
                -1
            ],
            "usage": [chunk.usage.total_tokens for chunk in chunks if chunk.usage],
            "without_choices": sum(not chunk.choices for chunk in chunks),
        }


def tools(client: openai.OpenAI, question: str) -> Any:
    """Two calls: the model asks for a function, and answers with its result."""
    messages: list[Any] = [{"role": "user", "content": question}]
    first = client.chat.completions.with_raw_response.create(
        model="gpt-4o", messages=messages, tools=TOOLS
    )
    message = first.parse().choices[0].message
    assert message.tool_calls
    [call] = message.tool_calls
    messages += [message, {"role": "tool", "tool_call_id": call.id, "content": '{"celsius": 21}'}]
    second = client.chat.completions.with_raw_response.create(
        model="gpt-4o", messages=messages, tools=TOOLS
    )
    return {
        "roots": [first.headers["x-conversation-id"], second.headers["x-conversation-id"]],
        "ids": [first.headers["x-request-id"], second.headers["x-request-id"]],
        "function": [call.function.name, json.loads(call.function.arguments)],
        "text": second.parse().choices[0].message.content,
    }


def streamed_tools(client: openai.OpenAI, question: str) -> Any:
    with client.chat.completions.with_streaming_response.create(
        model="gpt-4o", messages=[{"role": "user", "content": question}], tools=TOOLS, stream=True
    ) as reply:
        parts = [
            call
            for chunk in reply.parse()
            for choice in chunk.choices
            for call in choice.delta.tool_calls or ()
        ]
        return {
            "id": reply.headers["x-request-id"],
            "name": parts[0].function.name,
            "arguments": json.loads("".join(part.function.arguments or "" for part in parts)),
            "call": parts[0].id,
        }


def vision(client: openai.OpenAI, question: str, picture: str) -> Any:
    content: Any = [
        {"type": "text", "text": question},
        {"type": "image_url", "image_url": {"url": picture, "detail": "low"}},
    ]
    reply = client.chat.completions.with_raw_response.create(
        model="gpt-4o", messages=[{"role": "user", "content": content}]
    )
    return {
        "id": reply.headers["x-request-id"],
        "root": reply.headers["x-conversation-id"],
        "text": reply.parse().choices[0].message.content,
    }


def image(client: openai.OpenAI, prompt: str, shape: str) -> Any:
    reply = client.images.with_raw_response.generate(
        model="dall-e-2", prompt=prompt, size="256x256", response_format=shape
    )
    [picture] = reply.parse().data
    return {"id": reply.headers["x-request-id"], "b64": picture.b64_json, "url": picture.url}


def image_edit(client: openai.OpenAI, prompt: str, pictures: list[str]) -> Any:
    files = [
        (f"picture-{n}.png", io.BytesIO(base64.b64decode(picture)), "image/png")
        for n, picture in enumerate(pictures)
    ]
    reply = client.images.with_raw_response.edit(
        model="gpt-image-1",
        prompt=prompt,
        image=files[0] if len(files) == 1 else files,
        size="1024x1024",
    )
    [picture] = reply.parse().data
    return {"id": reply.headers["x-request-id"], "b64": picture.b64_json}


def image_edit_error(client: openai.OpenAI, prompt: str, picture: str) -> Any:
    try:
        client.images.edit(
            model="dall-e-2",
            prompt=prompt,
            image=("picture.png", base64.b64decode(picture), "image/png"),
        )
    except openai.APIError as problem:
        return type(problem).__name__


def embeddings(client: openai.OpenAI, texts: list[str]) -> Any:
    reply = client.embeddings.with_raw_response.create(
        model="text-embedding-3-small", input=texts, dimensions=64
    )
    vectors = reply.parse()
    return {
        "id": reply.headers["x-request-id"],
        "vectors": [item.embedding for item in vectors.data],
        "tokens": vectors.usage.prompt_tokens,
    }


def models(client: openai.OpenAI) -> Any:
    return [model.id for model in client.models.list()]


def model(client: openai.OpenAI, model_name: str) -> Any:
    return client.models.retrieve(model_name).id


def error(client: openai.OpenAI, question: str, streams: bool = False, **params: Any) -> Any:
    """The exception of a chat that does not succeed."""
    try:
        reply = client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": question}],
            stream=streams,
            **params,
        )
        text = (
            "".join(choice.delta.content or "" for chunk in reply for choice in chunk.choices)
            if streams
            else ""
        )
    except openai.APIError as problem:
        return {
            "class": type(problem).__name__,
            "status": getattr(problem, "status_code", None),
            "text": str(problem),
            "code": problem.code,
            "type": problem.type,
            "param": problem.param,
            "request_id": getattr(problem, "request_id", None),
        }
    return {"class": None, "text": text}


def use(name: str, url: str, key: str, arguments: dict[str, Any], retries: int = 0) -> Any:
    with openai.OpenAI(
        base_url=f"{url}/v1", api_key=key, max_retries=retries, timeout=60
    ) as client:
        return globals()[name](client, **arguments)


if __name__ == "__main__":
    for line in sys.stdin:
        try:
            result = {"version": openai.__version__, "result": use(*json.loads(line))}
        except Exception:
            result = {"failed": traceback.format_exc()}
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()
