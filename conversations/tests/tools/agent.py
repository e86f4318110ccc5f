"""An agent's conversation: each call has the same tools, and the whole history."""

from typing import Any

from conversations.models import Snapshot, User
from conversations.record import CallRequest
from conversations.speech.recorded import Recorded
from conversations.tests.calls import answer, ask, assistant, user

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"{name} a file of the zwieback project",
            "parameters": {"type": "object", "properties": {"path": {"type": "string"}}},
        },
    }
    for name in ("Read", "Write")
]
SYSTEM = {"role": "system", "content": "You are an agent."}


def work(owner: User, count: int, tools: Any = TOOLS, **how: Any) -> list[Snapshot]:
    """Make so many calls of one conversation, each with these tools, or with those of its place."""
    said: list[dict[str, Any]] = [SYSTEM, user("Fix the tests.")]
    made = []
    for number in range(count):
        of_call = tools(number) if callable(tools) else tools
        params = {} if of_call is None else {"tools": of_call}
        made.append(call := ask(owner, said, params=params, **how))
        answer(call, f"Step {number}.")
        said = [*said, assistant(f"Step {number}."), user(f"Go on {number}.")]
    return list(Snapshot.objects.filter(id__in=[call.id for call in made]).order_by("id"))


def split_as_before(request: CallRequest) -> Recorded:
    """Split a request as an older version did: its tools are in the fields of each call."""
    params = {name: value for name, value in request.body.items() if name != "messages"}
    return Recorded(params, request.messages[:1], request.messages[1:])
