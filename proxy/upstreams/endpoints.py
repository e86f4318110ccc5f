"""Where each kind of call goes: LLM_ENDPOINT, and what derives from it."""

from django.conf import settings

from .. import faults

CHAT = "/chat/completions"


def base(chat: str) -> str:
    """Return an upstream's API root: its address of chat completions less the last two steps."""
    if not chat:
        raise faults.upstream_missing()
    return chat.removesuffix("/").removesuffix(CHAT)


def chat_url() -> str:
    base(settings.LLM_ENDPOINT)
    return settings.LLM_ENDPOINT


def pages_chat_url() -> str:
    """Return LLM_GATEWAY_URL where it ends like OpenAI's; any other is a classic gateway's base."""
    url = settings.LLM_GATEWAY_URL
    if not url:
        return chat_url()
    return url if url.removesuffix("/").endswith(CHAT) else url.removesuffix("/") + "/chat"


def images_url() -> str:
    return settings.LLM_IMG_ENDPOINT or base(settings.LLM_ENDPOINT) + "/images/generations"


def pages_images_url() -> str:
    """Return that gateway's where LLM_GATEWAY_URL is set, by OpenAI's path or a classic one."""
    url = settings.LLM_GATEWAY_URL
    if not url:
        return images_url()
    if pages_chat_url() == url:
        return f"{base(url)}/images/generations"
    return url.removesuffix("/") + "/image_gen"


def edits_url() -> str:
    return images_url().removesuffix("/generations") + "/edits"


def embeddings_url() -> str:
    return settings.LLM_EMBEDDINGS_ENDPOINT or base(settings.LLM_ENDPOINT) + "/embeddings"


def models_url() -> str:
    """Return the address of the list of models; a classic gateway has none."""
    gateway = settings.LLM_GATEWAY_URL if pages_chat_url() == settings.LLM_GATEWAY_URL else ""
    return settings.LLM_MODELS_ENDPOINT or base(settings.LLM_ENDPOINT or gateway) + "/models"
