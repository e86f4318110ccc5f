"""Azure OpenAI: OpenAI's bodies at Azure's addresses.

`base_url` is the resource (https://<name>.openai.azure.com), whose deployment is the model; or the
resource's newer surface, which ends in /openai/v1 and needs no version; or the target address that
Azure's portal shows. The credential is a key, or `Bearer …`, a token of Entra ID.
"""

from urllib.parse import parse_qs, quote

from conversations.shape import Json

from .base import (
    Endpoint,
    Form,
    Sent,
    Target,
    encode_body,
    make_headers,
    quote_step,
    read_model,
    rename_model,
)
from .openai import SERVES, STREAMS, error, reply

__all__ = ["LABEL", "SERVES", "STREAMS", "error", "reply", "request"]

LABEL = "Azure OpenAI"

VERSION = "2024-10-21"
COUNTS = "2024-08"  # the first version that takes stream_options; an older one refuses them


def request(target: Target, endpoint: Endpoint, body: Json | Form) -> Sent:
    base, query = target.base_url.partition("?")[::2]
    version = target.api_version or parse_qs(query).get("api-version", [""])[0]
    root, deployed = base.rstrip("/").partition("/openai/deployments/")[::2]
    body = rename_model(body, target.model)
    if root.endswith("/openai/v1"):
        address = f"{root}/{endpoint}"
    else:
        version = version or VERSION
        deployment = target.model or deployed.partition("/")[0] or read_model(body)
        resource = root.removesuffix("/openai")
        address = f"{resource}/openai/deployments/{quote_step(deployment)}/{endpoint}"
    if version:
        address += f"?api-version={quote(version, safe='')}"
    if isinstance(body, dict) and ("data_sources" in body or "" < version < COUNTS):
        body = {name: value for name, value in body.items() if name != "stream_options"}
    data, content_type = encode_body(body, target.content_type)
    return Sent(address, make_headers(content_type, **authorize(target, address)), data)


def authorize(target: Target, url: str) -> dict[str, str]:
    credential = target.secret_for(url)
    if not credential:
        return {}
    name = "Authorization" if credential.startswith("Bearer ") else "api-key"
    return {name: credential}
