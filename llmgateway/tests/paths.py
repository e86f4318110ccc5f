"""Every URL that shows a call, for tests that open each of them."""

import base64
from collections.abc import Iterator
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group
from django.urls import URLResolver, get_resolver, reverse
from django.urls.exceptions import NoReverseMatch

from conversations.models import Attachment, Snapshot
from conversations.search.queue import TABS
from proxy.models import UseCase

CANARY = "canary7q4"
# Parameters of paths to rows that hold no content, or that the models' pages below go through.
OF_OTHER_ROWS = {"name", "object_id", "content_type_id"}
ALIKE = (Group, UseCase)  # rows of migrations, which hold no content: one tells what each would
PNG = (
    "data:image/png;base64,"
    + base64.b64encode(b"\x89PNG\r\n\x1a\n" + CANARY.encode() * 200).decode()
)


def names(resolver=None, space: str = "") -> Iterator[tuple[str, list[str]]]:
    """Each named URL, with the parameters of its path."""
    for entry in (resolver or get_resolver()).url_patterns:
        if isinstance(entry, URLResolver):
            yield from names(entry, f"{space}{entry.namespace}:" if entry.namespace else space)
        elif entry.name:
            yield space + entry.name, list(entry.pattern.converters)


def paths(call: Snapshot) -> list[str]:
    """Every URL that the rows there are make, and every page of every registered model."""
    known = {
        "id": [call.id, call.conversation_id],
        "pk": [call.id, call.conversation_id],
        "root": [call.conversation_id],
        "file": [Attachment.objects.get().pk],
        "number": [Attachment.objects.get().pk],
        "call": [call.id],
        "message": [call.head_id],
        "panel": ["conversations"],
        "app_label": ["conversations", "proxy"],
    }
    found = {"/admin/", "/"}
    for name, parameters in names():
        for i in range(2):
            if {*parameters} & OF_OTHER_ROWS:
                continue
            values = {each: known[each][i % len(known[each])] for each in parameters}
            try:
                found.add(reverse(name, kwargs=values))
            except NoReverseMatch:
                continue
    for model in admin.site._registry:
        label = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        for row in model._default_manager.all()[: 1 if model in ALIKE else 5]:
            found |= {
                reverse(f"{label}_{page}", args=[row.pk])
                for page in ("change", "delete", "history")
            }
    lists = {
        reverse(f"admin:conversations_{name}_changelist")
        for name in ("conversation", "snapshot", "auditevent")
    }
    found |= {
        f"{path}{query}"
        for path in lists
        for query in (f"?q={CANARY}", f"?q=id:{str(call.id)[:13]}", "?since=")
    }
    transcript = reverse("admin:conversations_conversation_change", args=[call.conversation_id])
    found |= {
        f"{transcript}?_changelist_filters=q%3D{CANARY}{more}" for more in ("", "&laid_out=1")
    }
    return sorted(path for path in found if "sign-out" not in path and "logout" not in path)


def filtered(call: Snapshot) -> list[str]:
    """Each tab of the queue, and each list by each value of each field of its filter."""
    known = {
        "q": CANARY,
        "user": call.owner.username,
        "department": call.owner.department,
        "model": call.model,
        "upstream": call.upstream,
        "since": "2000-01-01",
        "until": "2100-01-01",
    }
    found = [f"/admin/queue/?of={tab}" for tab in TABS]
    for model, model_admin in admin.site._registry.items():
        url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        form = getattr(model_admin, "filter_form", forms.Form)
        for name, field in form.base_fields.items():
            values = [*flat_values(field)] or [known.get(name, call.owner.username)]
            queries = ({"since": ""} | {name: value} for value in values)
            found += [f"{url}?{urlencode(query)}" for query in queries]
    return found


def flat_values(field: forms.Field) -> Iterator[str]:
    """The values that a field offers, those of its groups among them."""
    for value, label in getattr(field, "choices", ()):
        if isinstance(label, (list, tuple)):
            yield from (inner for inner, _ in label)
        elif value:
            yield value
