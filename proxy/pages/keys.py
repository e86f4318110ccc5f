"""A person's own API keys: listed, made, revoked. A secret is shown on the page that answers the form, and nowhere again.

Every key is reached through ApiKey.objects.owned_by(request.user), so a stranger's is not there at all.
"""

import json
import shlex
from typing import NamedTuple

from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from conversations.models import AuditEvent
from conversations.people import audit
from conversations.reading.pages import render_page
from conversations.shape import Json

from ..faults import Fault
from ..models import ApiKey
from . import asking
from .forms import KeyForm


class Example(NamedTuple):
    """A call that the new key may make, as two people would write it."""

    curl: str
    python: str


@render_page
def keys(request) -> HttpResponse:
    form = KeyForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        with transaction.atomic():
            key, secret = ApiKey.make(request.user, **form.fields_of_key)
            audit.record(request, AuditEvent.Action.ADDED, key, name=str(key))
        return render(
            request,
            "key_made.html",
            {"key": key, "secret": secret, "example": example(request, key, secret)},
        )
    mine = ApiKey.objects.owned_by(request.user).newest_first()
    return render(
        request, "keys.html", {"keys": mine, "form": form}, status=400 if form.errors else 200
    )


@render_page
def revoke(request, number: int) -> HttpResponse:
    key = get_object_or_404(ApiKey.objects.owned_by(request.user), pk=number)
    if request.method != "POST":
        return render(request, "revoke_key.html", {"key": key})
    with transaction.atomic():
        key.revoke()
        audit.record(request, AuditEvent.Action.CHANGED, key, name=str(key), what="Revoked.")
    messages.success(request, f"Revoked “{key.name}”. Within seconds it opens nothing any more.")
    return redirect("keys")


def example(request, key: ApiKey, secret: str) -> Example:
    """Of the first thing that the key may do, with a model that this gateway offers where it can say so."""
    base = f"{'https' if settings.BEHIND_TLS else request.scheme}://{request.get_host()}/v1"
    offered = _models(request.user.id)
    if ApiKey.Scope.CHAT in key.scopes:
        body: Json = {
            "model": _chosen(offered, request.session.get("model"), "gpt-4o-mini"),
            "messages": [{"role": "user", "content": "Say hello."}],
        }
        path, call, shown = (
            "chat/completions",
            "chat.completions.create",
            "answer.choices[0].message.content",
        )
    elif ApiKey.Scope.IMAGES in key.scopes:
        body = {
            "model": _chosen(
                [name for name in offered if "image" in name or "dall-e" in name],
                None,
                "gpt-image-1",
            ),
            "prompt": "A lighthouse",
        }
        path, call, shown = (
            "images/generations",
            "images.generate",
            "answer.data[0].url or answer.data[0].b64_json[:60]",
        )
    else:
        body = {
            "model": _chosen(
                [name for name in offered if "embed" in name], None, "text-embedding-3-small"
            ),
            "input": "A lighthouse",
        }
        path, call, shown = "embeddings", "embeddings.create", "answer.data[0].embedding[:3]"
    header = shlex.quote(f"Authorization: Bearer {secret}")
    curl = f"curl {shlex.quote(f'{base}/{path}')} \\\n  -H {header} \\\n  -H 'Content-Type: application/json' \\\n  -d {shlex.quote(json.dumps(body))}"
    arguments = "".join(f"    {name}={json.dumps(value)},\n" for name, value in body.items())
    client = f"client = OpenAI(base_url={json.dumps(base)}, api_key={json.dumps(secret)})"
    return Example(
        curl,
        f"from openai import OpenAI\n\n{client}\nanswer = client.{call}(\n{arguments})\nprint({shown})",
    )


def _models(owner: int) -> list[str]:
    try:
        return asking.models(owner)
    except Fault:
        return []


def _chosen(offered: list[str], used: str | None, usual: str) -> str:
    return used if used in offered else usual if usual in offered or not offered else offered[0]
