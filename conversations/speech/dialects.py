"""The dialects in which a request can be recorded, and what is ours in all of them."""

from types import ModuleType

from . import chat, messages, responses
from .recorded import DIALECT, Recorded
from .segments import Json

DIALECTS: dict[str, ModuleType] = {"chat": chat, "messages": messages, "responses": responses}
HISTORIES = ("messages", "input")  # fields with messages


def read_dialect(params: Json) -> str:
    """Return the name of the dialect in which a call is recorded. Raises ValueError."""
    name = params.get(DIALECT, "chat")
    if not isinstance(name, str) or name not in DIALECTS:
        raise ValueError(f"a call is recorded in an unknown dialect: {name!r}")
    return name


def split_request(body: Json, dialect: str) -> Recorded:
    """Bring a request in the form of its record. What `find_reserved` finds is not for it."""
    recorded: Recorded = DIALECTS[dialect].split_request(body)
    if dialect == "chat":
        return recorded
    return recorded._replace(params={DIALECT: dialect} | recorded.params)


def join_request(recorded: Recorded) -> Json:
    """Make a request again, equal. Raises ValueError where its dialect is not known."""
    dialect = read_dialect(recorded.params)
    params = {name: value for name, value in recorded.params.items() if name != DIALECT}
    body: Json = DIALECTS[dialect].join_request(recorded._replace(params=params))
    return body


def find_reserved(body: Json) -> str:
    """Return the path of a field or role of a request that begins as ours do; empty: none."""
    for name in body:
        if name.startswith("$"):
            return name
    for name in HISTORIES:
        messages_in = body.get(name)
        for index, message in enumerate(messages_in if isinstance(messages_in, list) else []):
            role = message.get("role") if isinstance(message, dict) else None
            if isinstance(role, str) and role.startswith("$"):
                return f"{name}[{index}].role"
    return ""
