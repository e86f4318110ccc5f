"""Calls as a client makes them, straight into the record."""

from typing import Any

from conversations import exact_json, record
from conversations.models import Snapshot, User
from conversations.record import Call, CallRequest, Outcome


def person(name: str = "alice") -> User:
    return User.objects.get_or_create(username=name, defaults={"password": "!"})[0]


def ask(owner: User, messages: list[dict[str, Any]], **how: Any) -> Call:
    params, model = how.pop("params", {}), how.pop("model", "m")
    body = {"model": model, "messages": messages} | params
    return record.open(
        CallRequest(
            owner=owner.pk,
            kind="chat",
            model=model,
            body=body,
            messages=messages,
            sent=exact_json.dumps(body),
            **how,
        )
    )


def answer(call: Call, text: str | None, *, status: str = "ok", **fields: Any) -> dict[str, Any]:
    """Closes the call; the message as an OpenAI upstream sends it."""
    message = {"role": "assistant", "content": text, "refusal": None, "annotations": []} | fields
    response = {
        "id": f"chatcmpl-{call.id.hex}",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }
    assert record.close(
        call,
        Outcome(
            status=status,
            replies=[message],
            response=response,
            prompt_tokens=3,
            completion_tokens=2,
        ),
    )
    return message


def turn(owner: User, messages: list[dict[str, Any]], text: str, **how: Any) -> Snapshot:
    call = ask(owner, messages, **how)
    answer(call, text)
    return Snapshot.objects.get(id=call.id)


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: Any, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text} | fields
