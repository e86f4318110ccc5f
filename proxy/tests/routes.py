"""The table of the API: who may do what. A route that is missing here fails test_scopes.py."""

from dataclasses import dataclass, field
from typing import Any

from conversations.models import Conversation

QUESTION = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
PICTURE = {"model": "dall-e-3", "prompt": "a lighthouse", "size": "1024x1024"}
CONTENT = ("view_content", "export_content")


@dataclass(frozen=True)
class Route:
    method: str
    path: str  # "{root}" stands for a conversation of the owner
    scopes: tuple[str, ...]  # all that a key needs
    rights: tuple[str, ...] = ()  # all that its owner needs besides
    by_session: bool = True
    body: dict[str, Any] | None = None
    query: str = ""
    pattern: str = field(default="", kw_only=True)  # where the path is another

    def __str__(self) -> str:
        return f"{self.method} {self.path}{self.query}"

    def address(self, conversation: Conversation) -> str:
        return self.path.format(root=conversation.id) + self.query

    def content(self, conversation: Conversation) -> dict[str, Any] | None:
        root = {"root_id": str(conversation.id)}
        return self.body and {name: root.get(name, value) for name, value in self.body.items()}


def v1(method: str, path: str, *scopes: str, **more: Any) -> Route:
    return Route(method, f"/v1/{path}", scopes, by_session=False, **more)


def api(method: str, path: str, *scopes: str, **more: Any) -> Route:
    return Route(method, f"/api/{path}", scopes, **more)


ROOT = {"root_id": ""}
NAMED = "/api/conversations/<path:name>"
WHY = "?purpose=audit"
ROUTES = [
    v1("POST", "chat/completions", "chat", body=QUESTION),
    v1("POST", "images/generations", "images", body=PICTURE),
    v1("POST", "images/edits", "images", body=PICTURE),
    v1("POST", "embeddings", "embeddings", body={"model": "text-embedding-3-small", "input": "x"}),
    v1("GET", "models"),
    v1("GET", "models/gpt-4o", pattern="/v1/models/<path:name>"),
    api("POST", "chat", "chat", body=QUESTION),
    api("POST", "image_gen", "images", body=PICTURE),
    api("POST", "checkchat", "history", body=QUESTION),
    api("POST", "update_title", "history:write", body=ROOT | {"convo_title": "A title"}),
    api("POST", "update_title_openai", "chat", "history", "history:write", body=ROOT),
    api("POST", "metadata_check", "chat", "history", body=ROOT),
    api("POST", "remove_convo", "history:write", body=ROOT),
    api("GET", "history", "history"),
    api("GET", "history_v2", "history"),
    api("GET", "conversations", "history"),
    api("GET", "conversations/{root}", "history", pattern=NAMED),
    api("PATCH", "conversations/{root}", "history:write", body={"title": "A"}, pattern=NAMED),
    api("DELETE", "conversations/{root}", "history:write", pattern=NAMED),
    api("GET", "export.csv", "export", rights=CONTENT, query=WHY),
    api("GET", "export.jsonl", "export", rights=CONTENT, query=WHY),
    api("GET", "usage", "usage"),
    api("GET", "usage", "usage", rights=("view_usage",), query="?of=everyone"),
]
# Pages of the API's own description, which show nothing of the record.
OPEN = {"/api/docs/", "/api/schema/"}
