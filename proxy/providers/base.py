"""What each kind of upstream has: pure translation between OpenAI's API, which callers speak, and an upstream's own.

A kind is a module of plain functions. The relay and what routes calls ask it; proxy.upstreams.client sends what it made.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Any, Protocol
from urllib.parse import quote

import orjson
from urllib3.filepost import encode_multipart_formdata

from conversations.shape import Json

from .. import faults

Form = list[
    tuple[str, Any]
]  # a multipart body: names with a text, or with (file name, bytes, content type)


class Endpoint(StrEnum):
    """What may be asked of an upstream, named by OpenAI's paths."""

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
    credential: str = field(
        default="", repr=False
    )  # as its kind wants it; empty or "none": there is none
    model: str = ""  # the upstream's name for it; empty: whatever the caller calls it
    urls: Mapping[Endpoint, str] = field(
        default_factory=dict, hash=False
    )  # whole addresses, where they do not derive from base_url
    content_type: str = "application/json"
    api_version: str = ""  # azure
    region: str = ""  # sagemaker, where the host does not name it


@dataclass(frozen=True)
class Sent:
    """A POST as it leaves."""

    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Kind(Protocol):
    """A module of this folder."""

    LABEL: str  # in the admin
    STREAMS: bool  # whether it can answer in server-sent events; they are OpenAI's then
    SERVES: frozenset[Endpoint]

    def request(self, target: Target, endpoint: Endpoint, body: Json | Form) -> Sent:
        """A POST. Asks for no stream where it cannot stream. Raises Fault, naming the parameter, where something cannot be said in the
        upstream's words: nothing is dropped silently."""

    def reply(self, endpoint: Endpoint, body: Json | Form, answer: Any) -> Json:
        """The JSON that OpenAI would answer, `choices` or `data` in it; `answer` itself where it is that already. Raises Fault where it
        is no answer."""

    def error(self, status: int, headers: Mapping[str, str], data: bytes) -> tuple[int, Json]:
        """The status that a reply other than 200 amounts to, and OpenAI's error object."""


def our_headers(content_type: str, **more: str) -> dict[str, str]:
    """Headers: nothing of the caller's travels."""
    return {
        "Accept-Encoding": "identity",
        "User-Agent": "llm-gateway",
        "Content-Type": content_type,
    } | more


def secret(target: Target) -> str:
    return "" if target.credential.lower() == "none" else target.credential


def renamed(body: Json | Form, model: str) -> Json | Form:
    """The same, asked of the model by the upstream's name for it."""
    if not model:
        return body
    if isinstance(body, dict):
        return body | {"model": model}
    return [part for part in body if part[0] != "model"] + [("model", model)]


def model_of(body: Json | Form) -> str:
    return str(
        body["model"]
        if isinstance(body, dict)
        else next((value for name, value in body if name == "model"), "")
    )


def step(name: str) -> str:
    """One step of a path. Raises Fault for a name that would be no step of its own."""
    if name in ("", ".", ".."):
        raise faults.model_not_found("There is no such model.")
    return quote(name, safe="")


def encoded(body: Json | Form, content_type: str) -> tuple[bytes, str]:
    """The bytes, and their content type: the one given if they are JSON."""
    if isinstance(body, dict):
        return orjson.dumps(body), content_type
    return encode_multipart_formdata(body, boundary_of(body))


def boundary_of(parts: Form) -> str:
    """No part can hold it, for it is made of all of them; and a retry of the same is the same bytes."""
    digest = sha256()
    for name, value in parts:
        for piece in (name, *(value if isinstance(value, tuple) else (value,))):
            data = piece if isinstance(piece, bytes) else str(piece).encode()
            digest.update(b"%d " % len(data) + data)
    return f"llm-gateway-{digest.hexdigest()}"
