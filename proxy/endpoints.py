"""Where each kind of call goes: LLM_ENDPOINT, and what derives from it."""

from django.conf import settings

from .upstream import Fault


def base() -> str:
    """The upstream's API root: LLM_ENDPOINT without its last two steps."""
    if not settings.LLM_ENDPOINT:
        raise Fault(502, "upstream_missing", "This gateway has no upstream: LLM_ENDPOINT is not set.", "server_error")
    return settings.LLM_ENDPOINT.removesuffix("/").removesuffix("/chat/completions")


def chat() -> str:
    base()
    return settings.LLM_ENDPOINT


def images() -> str:
    return settings.LLM_IMG_ENDPOINT or base() + "/images/generations"


def image_edits() -> str:
    return images().removesuffix("/generations") + "/edits"


def embeddings() -> str:
    return settings.LLM_EMBEDDINGS_ENDPOINT or base() + "/embeddings"


def models() -> str:
    return settings.LLM_MODELS_ENDPOINT or base() + "/models"
