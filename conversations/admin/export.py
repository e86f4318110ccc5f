"""Exports as pages: a reader's own, a new one from a list's filter, progress, files.

Every file that leaves is on the audit trail.
"""

from collections.abc import Iterator
from datetime import datetime, time
from typing import Any
from uuid import UUID

import orjson
from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    JsonResponse,
    QueryDict,
    StreamingHttpResponse,
)
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from .. import tasks
from ..exports import archive, outgoing, selection
from ..exports.formats import FORMATS
from ..exports.listing import Altered, Missing
from ..models import AuditEvent, Export, Snapshot
from ..people import audit
from ..search.calls import CallFilter
from ..search.conversations import ConversationFilter
from .rights import require_rights

SHOWN = 100  # exports in the list
CAP = 10_000  # calls that are counted
WHAT = {"conversations": "Conversations with calls", "calls": "Calls"}
FORMS: dict[str, type[CallFilter]] = {"conversations": ConversationFilter, "calls": CallFilter}


class ExportForm(forms.Form):
    format = forms.ChoiceField(
        choices=[(each.name, each.label) for each in FORMATS.values()],
        initial="turns",
        widget=forms.RadioSelect,
    )
    purpose = forms.CharField(
        max_length=500,
        help_text=gettext_lazy(
            "Why you need this export. Recorded on the audit trail and in the manifest."
        ),
        error_messages={"required": gettext_lazy("Enter the purpose of this export.")},
    )


exporters_only = require_rights("view_content", "export_content")


@exporters_only
def list_page(request: HttpRequest) -> HttpResponse:
    rows = list(Export.objects.owned_by(request.user).newest_first()[:SHOWN])
    return _page(
        request,
        "admin/exports.html",
        title="Exports",
        rows=[_with_labels(row) for row in rows],
        shown=SHOWN,
    )


@exporters_only
def new_page(request: HttpRequest) -> HttpResponse:
    """Start an export of the list and the filter that the query string names."""
    kind = request.GET.get("of", "")
    if kind not in FORMS:
        raise Http404
    filters = FORMS[kind](request.GET, request.user)
    if not filters.is_valid() or filters.cut_short:
        return HttpResponseRedirect(_list_url(kind, request.GET))
    form = ExportForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        export = _freeze(request, kind, filters, form.cleaned_data)
        return HttpResponseRedirect(reverse("admin:export", args=[export.id]))
    count = _calls_of(filters).order_by()[: CAP + 1].count()
    audit.record(
        request,
        AuditEvent.Action.LIST,
        Export,
        terms=filters.terms,
        filter=filters.chosen,
        of=kind,
        calls=count,
    )
    context: dict[str, Any] = {
        "form": form,
        "formats": [
            (choice, FORMATS[str(choice.data["value"])].description) for choice in form["format"]
        ],
        "count": count,
        "cap": CAP,
        "chosen": filters,
        "back": _list_url(kind, request.GET),
    }
    status = 400 if form.errors else 200
    return _page(request, "admin/export_new.html", title="Export", status=status, **context)


def _calls_of(filters: CallFilter) -> QuerySet[Snapshot]:
    if isinstance(filters, ConversationFilter):
        return filters.calls_of_conversations()
    return filters.calls()


def _freeze(request: Any, kind: str, filters: CallFilter, values: dict[str, Any]) -> Export:
    """Keep the filter and the newest seal as they are now, and begin the job."""
    first = filters.cleaned_data["since"] if filters.id_prefix is None else None
    after = (
        selection.seal_before(timezone.make_aware(datetime.combine(first, time.min)))
        if first
        else 0
    )
    query = {name: str(value) for name, value in filters.data.items()}
    with transaction.atomic():
        export = Export.objects.create(
            owner=request.user,
            departments=request.user.reviews_departments,
            format=values["format"],
            purpose=values["purpose"],
            of=kind,
            query=orjson.dumps(query).decode(),
            words=filters.words(),
            zone=timezone.get_current_timezone_name(),
            after=after,
            last=selection.newest_seal(),
        )
        detail: dict[str, Any] = {
            "format": export.format,
            "purpose": export.purpose,
            "of": kind,
            "filter": filters.chosen,
            "after": export.after,
            "last": export.last,
        }
        audit.record(request, AuditEvent.Action.EXPORT, export, terms=filters.terms, **detail)
        tasks.begin_export(export)
    return export


@exporters_only
def page(request: HttpRequest, pk: UUID) -> HttpResponse:
    return _show(request, _get_own(request, pk))


def _show(request: HttpRequest, export: Export, status: int = 200) -> HttpResponse:
    return _page(
        request,
        "admin/export.html",
        title="Export",
        status=status,
        export=_with_labels(export),
        query=orjson.loads(export.query),
        **_find_problem(export),
    )


def _find_problem(export: Export) -> dict[str, Any]:
    """Say why the files of a finished export may not leave."""
    if not export.downloadable:
        return {}
    try:
        outgoing.list_files(export)
    except Missing:
        return {"missing": True}
    except Altered as problem:
        return {"altered": problem}
    return {}


@exporters_only
def progress(request: HttpRequest, pk: UUID) -> HttpResponse:
    export = _get_own(request, pk)
    return JsonResponse(
        {
            "state": export.state,
            "percent": export.percent,
            "taken": export.taken,
            "total": export.total,
            "bytes": export.bytes,
        }
    )


@exporters_only
@require_POST
def cancel(request: HttpRequest, pk: UUID) -> HttpResponse:
    export = _get_own(request, pk)
    with transaction.atomic():
        cancelled = export.cancel()
        if cancelled:
            audit.record(request, AuditEvent.Action.CHANGED, export, what="Cancelled.")
    if not cancelled:
        messages.info(request, _("This export had already ended."))
    return HttpResponseRedirect(reverse("admin:export", args=[pk]))


@exporters_only
def download_file(request: HttpRequest, pk: UUID, name: str) -> HttpResponseBase:
    export = _get_ready(request, pk)
    if name not in {file["name"] for file in export.files if "sha256" in file}:
        raise Http404
    try:
        listed = outgoing.list_files(export)[name]
    except Altered:
        return _show(request, export, status=410)
    audit.record(request, AuditEvent.Action.EXPORT, export, file=name)
    response = _stream(outgoing.stream_file(export, name, listed), name, "application/octet-stream")
    response["Content-Length"] = str(listed.size)
    return response


@exporters_only
def download_zip(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    export = _get_ready(request, pk)
    try:
        listed = outgoing.list_files(export)
    except Altered:
        return _show(request, export, status=410)
    folder = f"{slugify(export.format)}-{export.asked:%Y-%m-%d-%H%M%S}"
    files = (
        (f"{folder}/{name}", outgoing.stream_file(export, name, file))
        for name, file in sorted(listed.items())
    )
    audit.record(request, AuditEvent.Action.EXPORT, export, file="all of them")
    return _stream(archive.stream_archive(files), f"{folder}.zip", "application/zip")


def _stream(pieces: Iterator[bytes], name: str, media_type: str) -> StreamingHttpResponse:
    """Send a download that no browser runs, guesses or keeps."""
    response = StreamingHttpResponse(pieces, content_type=media_type)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "no-store"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return response


def _get_own(request: HttpRequest, pk: UUID) -> Export:
    return get_object_or_404(Export.objects.owned_by(request.user), pk=pk)


def _get_ready(request: HttpRequest, pk: UUID) -> Export:
    """Get an export whose files may leave: rights narrowed since then hold for them too."""
    export = _get_own(request, pk)
    if not export.downloadable:
        raise Http404
    if export.departments != request.user.reviews_departments:  # type: ignore[union-attr]
        raise PermissionDenied
    return export


def _with_labels(export: Export) -> Export:
    export.label = FORMATS[export.format].label  # type: ignore[attr-defined]
    export.what = f"{WHAT[export.of]} {export.words}"  # type: ignore[attr-defined]
    return export


def _list_url(kind: str, query: QueryDict) -> str:
    """Return the list of this kind, with the filter of the query string."""
    fields = query.copy()
    fields.pop("of", None)
    model = "conversation" if kind == "conversations" else "snapshot"
    return f"{reverse(f'admin:conversations_{model}_changelist')}?{fields.urlencode()}"


def _page(
    request: HttpRequest, template: str, *, status: int = 200, **context: Any
) -> HttpResponse:
    return TemplateResponse(
        request, template, {**admin.site.each_context(request), **context}, status=status
    )
