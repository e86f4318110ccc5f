"""What each kind of upstream has: pure translation between OpenAI's API and the upstream's own.

Callers speak OpenAI's. A kind is a module of plain functions: routing has its request made by it,
proxy.upstreams.client sends that, and the relay has the reply read by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Any, Protocol
from urllib.parse import quote

from urllib3.filepost import encode_multipart_formdata

from conversations import exact_json
from conversations.shape import Json

from .. import credentials, faults

# A multipart body: names with a text, or with (file name, bytes, content type).
Form = list[tuple[str, Any]]


class Endpoint(StrEnum):
    """A service of an upstream, named by OpenAI's path."""

    CHAT = "chat/completions"
    IMAGES = "images/generations"
    EDITS = "images/edits"
    EMBEDDINGS = "embeddings"


@dataclass(frozen=True)
class Target:
    """An upstream, and one of its models."""

    kind: str
    base_url: str
    label: str = ""  # the provider's name in records
    # As its kind wants it; empty or "none": there is none.
    credential: str = field(default="", repr=False)
    # That may get the credential; None: it is bound to none, or its addresses came along with it.
    hosts: tuple[str, ...] | None = None
    model: str = ""  # the upstream's name for it; empty: the caller's
    # Full addresses, where they do not derive from base_url.
    urls: Mapping[Endpoint, str] = field(default_factory=dict, hash=False)
    content_type: str = "application/json"
    api_version: str = ""  # azure
    region: str = ""  # sagemaker, where the host does not name it

    def secret_for(self, url: str) -> str:
        """Return the credential for a request to this URL; empty where there is none.

        Nothing else gives it to what is sent. Raises Fault where it may not go there.
        """
        if not self.credential or self.credential.lower() == "none":
            return ""
        if self.hosts is not None and not credentials.may_go(url, self.hosts):
            raise faults.credential_misplaced()
        return self.credential


@dataclass(frozen=True)
class Sent:
    """A POST as it leaves."""

    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Kind(Protocol):
    """A module of this folder."""

    LABEL: str  # in the admin
    STREAMS: bool  # whether it can answer in server-sent events, which are OpenAI's then
    SERVES: frozenset[Endpoint]

    def request(self, target: Target, endpoint: Endpoint, body: Json | Form) -> Sent:
        """Make a POST, of no stream where the upstream cannot stream.

        Raises Fault, naming the parameter, where the upstream has no word for it: nothing is
        dropped silently.
        """

    def reply(self, endpoint: Endpoint, body: Json | Form, answer: Any) -> Json:
        """Return the JSON that OpenAI would answer, with `choices` or `data` in it.

        It is `answer` itself where that is OpenAI's already. Raises Fault where it is no answer.
        """

    def error(self, status: int, headers: Mapping[str, str], data: bytes) -> tuple[int, Json]:
        """Return the status that a reply other than 200 amounts to, and OpenAI's error object."""


def make_headers(content_type: str, **more: str) -> dict[str, str]:
    """Make our own headers: nothing of the caller's travels."""
    return {
        "Accept-Encoding": "identity",
        "User-Agent": "llm-gateway",
        "Content-Type": content_type,
    } | more


def rename_model(body: Json | Form, model: str) -> Json | Form:
    """Return the body with the upstream's name for the model; the same where that is empty."""
    if not model:
        return body
    if isinstance(body, dict):
        return body | {"model": model}
    return [part for part in body if part[0] != "model"] + [("model", model)]


def read_model(body: Json | Form) -> str:
    if isinstance(body, dict):
        return str(body["model"])
    return str(next((value for name, value in body if name == "model"), ""))


def quote_step(name: str) -> str:
    """Escape one step of a path. Raises Fault for a name that would be no step of its own."""
    if name in ("", ".", ".."):
        raise faults.model_not_found("There is no such model.")
    return quote(name, safe="")


def encode_body(body: Json | Form, content_type: str) -> tuple[bytes, str]:
    """Return the bytes, and their content type: the one given if they are JSON."""
    if isinstance(body, dict):
        return exact_json.dumps(body), content_type
    return encode_multipart_formdata(body, make_boundary(body))


def make_boundary(parts: Form) -> str:
    """Hash all parts: none of them can hold it, and a retry of the same is the same bytes."""
    digest = sha256()
    for name, value in parts:
        for piece in (name, *(value if isinstance(value, tuple) else (value,))):
            data = piece if isinstance(piece, bytes) else str(piece).encode()
            digest.update(b"%d " % len(data) + data)
    return f"llm-gateway-{digest.hexdigest()}"
