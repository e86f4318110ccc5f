"""A person's own API keys: listed, created, accepted, revoked.

A secret is shown on the page that answers the form, and nowhere again. Every key is reached through
ApiKey.objects.owned_by(request.user), so a stranger's is not there at all.
"""

import json
import shlex
from typing import NamedTuple

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from conversations.models import AuditEvent, Conversation
from conversations.people import audit
from conversations.reading.pages import PageRequest, render_page
from conversations.shape import Json

from .. import key_terms
from ..faults import Fault
from ..models import ApiKey
from . import asking
from .forms import KeyForm


@render_page
def keys(request: PageRequest) -> HttpResponse:
    """List the keys; by POST, create one and show its secret."""
    form = KeyForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            key, secret = make_key(request, form)
        except ValidationError as problem:
            form.add_error("name", problem)
        else:
            example = make_example(request, key, secret)
            context = {"key": key, "secret": secret, "example": example}
            return render(request, "key_made.html", context)
    own = ApiKey.objects.owned_by(request.user).newest_first().select_related("made_by", "owner")
    return render(
        request,
        "keys.html",
        {"keys": [OwnKey(key, key.state) for key in own], "form": form},
        status=400 if form.errors else 200,
    )


@transaction.atomic
def make_key(request: PageRequest, form: KeyForm) -> tuple[ApiKey, str]:
    """Make the key with its audit event. Raises ValidationError."""
    key, secret = ApiKey.make(request.user, **form.key_fields)
    terms = key_terms.describe(key) | {"name": str(key)}
    audit.record(request, AuditEvent.Action.ADDED, key, **terms)
    return key, secret


@render_page
@require_POST
def accept(request: PageRequest, number: int) -> HttpResponse:
    """Let a key work that another person made, or keep it; ask for a second person if needed."""
    key = get_object_or_404(ApiKey.objects.owned_by(request.user), pk=number)
    if not OwnKey(key, key.state).is_asked:
        return redirect("keys")
    with transaction.atomic():
        key.accept()
        audit.record(
            request,
            AuditEvent.Action.CHANGED,
            key,
            **key_terms.describe(key) | {"name": str(key), "what": "Accepted by its owner."},
        )
        asked = key_terms.ask_second_person(request, key)
    if asked:
        text = _("Accepted “%(name)s”. It works once a second person has agreed.")
    else:
        text = _("Accepted “%(name)s”. It works.")
    messages.success(request, text % {"name": key.name})
    return redirect("keys")


@render_page
def revoke(request: PageRequest, number: int) -> HttpResponse:
    key = get_object_or_404(ApiKey.objects.owned_by(request.user), pk=number)
    if request.method != "POST":
        return render(request, "revoke_key.html", {"key": key})
    with transaction.atomic():
        key.revoke()
        audit.record(request, AuditEvent.Action.CHANGED, key, name=str(key), what="Revoked.")
    revoked = _("Revoked “%(name)s”. It stops working within seconds.")
    messages.success(request, revoked % {"name": key.name})
    return redirect("keys")


class OwnKey(NamedTuple):
    """A key as its owner's page lists it."""

    key: ApiKey
    state: ApiKey.State

    @property
    def is_open(self) -> bool:
        return self.state not in (
            ApiKey.State.EXPIRED,
            ApiKey.State.REVOKED,
            ApiKey.State.REFUSED,
        )

    @property
    def is_asked(self) -> bool:
        """Whether its owner is asked to accept it, or whether to keep it."""
        return self.state == ApiKey.State.FOR_OWNER or (self.is_open and self.key.unconfirmed)


class KeyExample(NamedTuple):
    """A call that the new key may make, as code to copy."""

    curl: str
    python: str
    with_openai: bool = True  # by openai-python


class ExampleCall(NamedTuple):
    path: str
    method: str  # of openai-python's client
    result: str  # the expression that prints the answer
    body: Json


def make_example(request: PageRequest, key: ApiKey, secret: str) -> KeyExample:
    """Write the first call that the key permits, with a model that this gateway offers if known."""
    scheme = "https" if settings.BEHIND_TLS else request.scheme
    server = f"{scheme}://{request.get_host()}"
    if not set(key.scopes).intersection(ApiKey.ASKING_SCOPES):
        return _example_without_model(key, server, secret)
    base = f"{server}/v1"
    call = _example_call(key, _list_models(request.user.id), request.session.get("model"))
    header = shlex.quote(f"Authorization: Bearer {secret}")
    curl = (
        f"curl {shlex.quote(f'{base}/{call.path}')} \\\n"
        f"  -H {header} \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(json.dumps(call.body))}"
    )
    arguments = "".join(f"    {name}={json.dumps(value)},\n" for name, value in call.body.items())
    python = (
        "from openai import OpenAI\n\n"
        f"client = OpenAI(base_url={json.dumps(base)}, api_key={json.dumps(secret)})\n"
        f"answer = client.{call.method}(\n{arguments})\n"
        f"print({call.result})"
    )
    return KeyExample(curl, python)


def _example_without_model(key: ApiKey, server: str, secret: str) -> KeyExample:
    """Read conversations. A key that only writes gives the newest one the title that it has."""
    address, body = f"{server}/api/conversations", None
    if ApiKey.Scope.HISTORY not in key.scopes:
        shown = Conversation.objects.owned_by(key.owner).shown()
        if newest := shown.order_by("-id").first():
            address, body = f"{address}/{newest.id}", {"title": newest.title or "Hello"}
        else:
            address = f"{server}/v1/models"  # for every key
    curl = [f"curl {shlex.quote(address)}", f"-H {shlex.quote(f'Authorization: Bearer {secret}')}"]
    headers = json.dumps({"Authorization": f"Bearer {secret}"})
    arguments = [json.dumps(address), f"headers={headers}"]
    if body is not None:
        curl += ["-X PATCH", f"-d {shlex.quote(json.dumps(body))}"]
        arguments += ['method="PATCH"', f"data=json.dumps({json.dumps(body)}).encode()"]
    python = (
        "import json, urllib.request\n\n"
        "request = urllib.request.Request(\n"
        + "".join(f"    {each},\n" for each in arguments)
        + ")\n"
        "with urllib.request.urlopen(request) as answer:\n"
        "    print(json.load(answer))"
    )
    return KeyExample(" \\\n  ".join(curl), python, with_openai=False)


def _example_call(key: ApiKey, offered: list[str], last_model: str | None) -> ExampleCall:
    if ApiKey.Scope.CHAT in key.scopes:
        model = last_model if last_model in offered else _choose(offered, "gpt-4o-mini")
        return ExampleCall(
            "chat/completions",
            "chat.completions.create",
            "answer.choices[0].message.content",
            {"model": model, "messages": [{"role": "user", "content": "Say hello."}]},
        )
    if ApiKey.Scope.IMAGES in key.scopes:
        makers = [name for name in offered if "image" in name or "dall-e" in name]
        return ExampleCall(
            "images/generations",
            "images.generate",
            "answer.data[0].url or answer.data[0].b64_json[:60]",
            {"model": _choose(makers, "gpt-image-1"), "prompt": "A lighthouse"},
        )
    embedders = [name for name in offered if "embed" in name]
    return ExampleCall(
        "embeddings",
        "embeddings.create",
        "answer.data[0].embedding[:3]",
        {"model": _choose(embedders, "text-embedding-3-small"), "input": "A lighthouse"},
    )


def _choose(offered: list[str], usual: str) -> str:
    return usual if usual in offered or not offered else offered[0]


def _list_models(owner: int) -> list[str]:
    try:
        return asking.list_models(owner)
    except Fault:
        return []
