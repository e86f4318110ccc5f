"""The models of the demo upstream, by the names that OpenAI gives them."""

from urllib.parse import unquote

from .questions import Triggers
from .wire import Problem, Reply, Request

CHAT = {  # the name that a request gives: the one that its reply gives
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "o4-mini": "o4-mini-2025-04-16",
    "gpt-4": "gpt-4-0613",
    "gpt-3.5-turbo": "gpt-3.5-turbo-0125",
}
LISTED = {  # when each was made, in seconds since 1970
    "gpt-4o": 1715367049,
    "gpt-4o-mini": 1721172741,
    "gpt-4.1-mini": 1744318173,
    "o4-mini": 1744225351,
}
EMBEDDING = {  # the length of its vectors
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}
IMAGE = ("dall-e-2", "dall-e-3", "gpt-image-1")


def list_models(request: Request, triggers: Triggers) -> Reply:
    name = unquote(request.bare_path.removeprefix("/v1/models").removeprefix("/"))
    if not name:
        models = [_describe(*listed) for listed in LISTED.items()]
        return Reply.json({"object": "list", "data": models})
    if name in LISTED or name in CHAT or name in EMBEDDING or name in IMAGE:
        return Reply.json(_describe(name, LISTED.get(name, 1700000000)))
    raise Problem(404, f"The model '{name}' does not exist", param="model", code="model_not_found")


def _describe(name: str, created: int) -> dict:
    return {"id": name, "object": "model", "created": created, "owned_by": "system"}


def find_model(body: dict, names: dict[str, str]) -> str:
    """Return the model that answers to the request's name; an answering name is its own."""
    name = body.get("model")
    if not isinstance(name, str) or not name:
        raise Problem(400, "you must provide a model parameter")
    if name not in names and name not in names.values():
        raise Problem(
            404,
            f"The model `{name}` does not exist or you do not have access to it.",
            code="model_not_found",
        )
    return names.get(name, name)
