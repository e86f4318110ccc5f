"""Azure OpenAI: OpenAI's bodies at Azure's addresses.

`base_url` is the resource (https://<name>.openai.azure.com), whose deployment is the model; or the resource's newer surface,
which ends in /openai/v1 and needs no version; or the target address that Azure's portal shows. The credential is a key, or
`Bearer …`, a token of Entra ID.
"""

from urllib.parse import parse_qs, quote

from conversations.shape import Json

from .base import (
    Endpoint,
    Form,
    Sent,
    Target,
    encoded,
    model_of,
    our_headers,
    renamed,
    secret,
    step,
)
from .openai import SERVES, STREAMS, error, reply

__all__ = ["LABEL", "SERVES", "STREAMS", "error", "reply", "request"]

LABEL = "Azure OpenAI"

VERSION = "2024-10-21"
COUNTS = "2024-08"  # from this version on a stream counts its tokens if asked; an older one refuses to be asked


def request(target: Target, endpoint: Endpoint, body: Json | Form) -> Sent:
    root, query = target.base_url.partition("?")[::2]
    version = target.api_version or parse_qs(query).get("api-version", [""])[0]
    root, _, theirs = root.rstrip("/").partition("/openai/deployments/")
    body = renamed(body, target.model)
    if root.endswith("/openai/v1"):
        address = f"{root}/{endpoint}" + (
            f"?api-version={quote(version, safe='')}" if version else ""
        )
    else:
        version, deployment = (
            version or VERSION,
            target.model or theirs.partition("/")[0] or model_of(body),
        )
        address = f"{root.removesuffix('/openai')}/openai/deployments/{step(deployment)}/{endpoint}?api-version={quote(version, safe='')}"
    if isinstance(body, dict) and ("data_sources" in body or "" < version < COUNTS):
        body = {name: value for name, value in body.items() if name != "stream_options"}
    data, content_type = encoded(body, target.content_type)
    return Sent(address, our_headers(content_type, **proof(secret(target))), data)


def proof(credential: str) -> dict[str, str]:
    if not credential:
        return {}
    return (
        {"Authorization": credential}
        if credential.startswith("Bearer ")
        else {"api-key": credential}
    )
