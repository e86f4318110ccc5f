"""Questions to the demo upstream, and what it says."""

import json

import requests

QUESTION = "What is a vector database?"


def ask(upstream, text=QUESTION, *, stream=False, model="gpt-4o-mini", **more):
    body = {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "stream": stream,
    } | more
    return requests.post(f"{upstream.url}/v1/chat/completions", json=body, timeout=60)


def said(reply):
    return reply.json()["choices"][0]["message"]["content"]


def events(reply):
    """A stream's JSON events; its last line must be [DONE]."""
    assert reply.headers["content-type"].startswith("text/event-stream")
    *chunks, end = [block.removeprefix("data: ") for block in reply.text.split("\n\n")[:-1]]
    assert end == "[DONE]"
    return [json.loads(chunk) for chunk in chunks]


def joined(chunks, index=0):
    return "".join(
        choice["delta"].get("content") or ""
        for chunk in chunks
        for choice in chunk["choices"]
        if choice["index"] == index
    )


def draw(upstream, **more):
    return requests.post(
        f"{upstream.url}/v1/images/generations",
        json={"model": "dall-e-2", "prompt": "a fox", "size": "256x256"} | more,
        timeout=60,
    )


def embed(upstream, **more):
    return requests.post(
        f"{upstream.url}/v1/embeddings",
        json={"model": "text-embedding-3-small", "input": "red apples"} | more,
        timeout=60,
    )
