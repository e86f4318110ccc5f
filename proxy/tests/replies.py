"""Replies of an upstream, good ones."""

import pytest


def completion(text="Fine.", **more):
    message = {"role": "assistant", "content": text}
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    } | more


def cases(named):
    return [
        pytest.param(*(values if isinstance(values, tuple) else (values,)), id=name)
        for name, values in named.items()
    ]
