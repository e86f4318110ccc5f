"""Exports as pages: one's own, a new one from a list's filter, how far one has come, its files. Every file that leaves is on the audit trail."""

from datetime import datetime, time
from typing import Any
from uuid import UUID

import orjson
from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
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
from django.views.decorators.http import require_POST

from .. import tasks
from ..exports import archive, selection
from ..exports.formats import FORMATS
from ..models import AuditEvent, Export
from ..people import audit
from ..people.access import may
from ..search.filters import CallFilter, ConversationFilter

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
        help_text="Why: it stands on the audit trail and in the manifest.",
        error_messages={"required": "Say what the export is for."},
    )


def exporters_only(view):
    def checked(request: HttpRequest, *args, **kwargs) -> HttpResponse:
        if not (may(request.user, "view_content") and may(request.user, "export_content")):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return checked


@exporters_only
def listed(request: HttpRequest) -> HttpResponse:
    rows = list(Export.objects.of(request.user).newest_first()[:SHOWN])
    return _page(
        request,
        "admin/exports.html",
        title="Exports",
        rows=[_shown(row) for row in rows],
        shown=SHOWN,
    )


@exporters_only
def new(request: HttpRequest) -> HttpResponse:
    """From the filter of a list, which is in the query string."""
    of = request.GET.get("of", "")
    if of not in FORMS:
        raise Http404
    chosen = FORMS[of](request.GET, request.user)
    if not chosen.is_valid() or chosen.cut_short:
        return HttpResponseRedirect(f"{_list_of(of)}?{_fields(request.GET)}")
    form = ExportForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        made = _freeze(request, of, chosen, form.cleaned_data)
        return HttpResponseRedirect(reverse("admin:export", args=[made.id]))
    calls = (
        chosen.calls_of_conversations()
        if isinstance(chosen, ConversationFilter)
        else chosen.calls()
    ).order_by()
    count = calls[: CAP + 1].count()
    audit.record(
        request,
        AuditEvent.Action.LIST,
        Export,
        terms=chosen.terms,
        filter=chosen.chosen,
        of=of,
        calls=count,
    )
    formats = [(choice, FORMATS[str(choice.data["value"])].says) for choice in form["format"]]
    context: dict[str, Any] = {
        "form": form,
        "formats": formats,
        "count": count,
        "cap": CAP,
        "chosen": chosen,
        "back": f"{_list_of(of)}?{_fields(request.GET)}",
    }
    return _page(
        request,
        "admin/export_new.html",
        title="Export",
        status=400 if form.errors else 200,
        **context,
    )


def _freeze(request: Any, of: str, chosen: CallFilter, given: dict[str, Any]) -> Export:
    """The filter and the newest seal, as they are now."""
    first = chosen.cleaned_data["since"] if chosen.id_prefix is None else None
    zone = timezone.get_current_timezone_name()
    query = {name: str(value) for name, value in chosen.data.items()}
    after = selection.before(timezone.make_aware(datetime.combine(first, time.min))) if first else 0
    with transaction.atomic():
        made = Export.objects.create(
            owner=request.user,
            departments=request.user.reviews_departments,
            format=given["format"],
            purpose=given["purpose"],
            of=of,
            query=orjson.dumps(query).decode(),
            words=chosen.words(),
            zone=zone,
            after=after,
            last=selection.newest(),
        )
        detail = {
            "format": made.format,
            "purpose": made.purpose,
            "of": of,
            "filter": chosen.chosen,
            "after": made.after,
            "last": made.last,
        }
        audit.record(request, AuditEvent.Action.EXPORT, made, terms=chosen.terms, **detail)
        tasks.begin_export(made)
    return made


@exporters_only
def page(request: HttpRequest, id: UUID) -> HttpResponse:
    made = _own(request, id)
    return _page(
        request,
        "admin/export.html",
        title="Export",
        made=_shown(made),
        query=orjson.loads(made.query),
    )


@exporters_only
def progress(request: HttpRequest, id: UUID) -> HttpResponse:
    made = _own(request, id)
    return JsonResponse(
        {
            "state": made.state,
            "percent": made.percent,
            "taken": made.taken,
            "total": made.total,
            "bytes": made.bytes,
        }
    )


@exporters_only
@require_POST
def cancel(request: HttpRequest, id: UUID) -> HttpResponse:
    made = _own(request, id)
    with transaction.atomic():
        cancelled = made.cancel()
        if cancelled:
            audit.record(request, AuditEvent.Action.CHANGED, made, what="Cancelled.")
    if not cancelled:
        messages.info(request, "It had ended already.")
    return HttpResponseRedirect(reverse("admin:export", args=[id]))


@exporters_only
def one(request: HttpRequest, id: UUID, name: str) -> HttpResponse:
    made = _ready(request, id)
    if name not in {file["name"] for file in made.files if "sha256" in file}:
        raise Http404
    audit.record(request, AuditEvent.Action.EXPORT, made, file=name)
    try:
        response = FileResponse(
            open(made.folder / name, "rb"),  # noqa: SIM115
            as_attachment=True,
            filename=name,
            content_type="application/octet-stream",
        )
    except FileNotFoundError:
        raise Http404 from None
    return _guarded(response)


@exporters_only
def whole(request: HttpRequest, id: UUID) -> HttpResponse:
    made = _ready(request, id)
    name = f"{slugify(made.format)}-{made.asked:%Y-%m-%d-%H%M%S}"
    audit.record(request, AuditEvent.Action.EXPORT, made, file="all of them")
    response = StreamingHttpResponse(
        archive.stream_archive(made.folder, name), content_type="application/zip"
    )
    response["Content-Disposition"] = f'attachment; filename="{name}.zip"'
    return _guarded(response)


def _guarded(response):
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "no-store"
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return response


def _own(request: HttpRequest, id: UUID) -> Export:
    return get_object_or_404(Export.objects.of(request.user), pk=id)


def _ready(request: HttpRequest, id: UUID) -> Export:
    """One whose files may leave: rights that were narrowed since hold for them too."""
    made = _own(request, id)
    if not made.downloadable:
        raise Http404
    if made.departments != request.user.reviews_departments:  # type: ignore[union-attr]
        raise PermissionDenied
    return made


def _shown(made: Export) -> Export:
    made.label = FORMATS[made.format].label  # type: ignore[attr-defined]
    made.what = f"{WHAT[made.of]} {made.words}"  # type: ignore[attr-defined]
    return made


def _fields(query: QueryDict) -> str:
    fields = query.copy()
    fields.pop("of", None)
    return fields.urlencode()


def _list_of(of: str) -> str:
    return reverse(
        f"admin:conversations_{'conversation' if of == 'conversations' else 'snapshot'}_changelist"
    )


def _page(
    request: HttpRequest, template: str, *, status: int = 200, **context: Any
) -> HttpResponse:
    return TemplateResponse(
        request, template, {**admin.site.each_context(request), **context}, status=status
    )
