"""The runs of the check of the record: what each covered and found. An Auditor can begin one."""

from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from procrastinate.exceptions import AlreadyEnqueued

from .. import tasks
from ..models import AuditEvent, Verification
from ..people import audit
from ..proof import checkpoints, runs
from ..proof.answer import NOT_COVERED
from ..refusals import show_again
from .rights import require_rights

SHOWN = 100  # runs in the list


@require_rights("view_audit")
def page(request: HttpRequest) -> HttpResponseBase:
    """List the newest runs; a POST begins one."""
    if request.method != "POST":
        return _show(request)
    try:
        begin(request)
    except AlreadyEnqueued:
        problem = _("A check waits to begin already.")
        return show_again(request, "verification", problem, partial(_show, request))
    messages.success(request, _("The worker checks the record. This page shows the result."))
    return HttpResponseRedirect(reverse("admin:verifications"))


def _show(request: HttpRequest) -> HttpResponse:
    audit.record(request, AuditEvent.Action.LIST, Verification)
    rows = list(Verification.objects.newest_first()[:SHOWN])
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": _("Checks of the record"),
        "rows": rows,
        "shown": SHOWN,
        "standing": runs.read_standing(),
        "is_running": tasks.is_verifying(),
        "not_covered": NOT_COVERED,
        "key": checkpoints.derive_public_key(),
        "verifier_key": checkpoints.derive_verifier_key(),
    }
    return TemplateResponse(request, "admin/verifications.html", context)


def begin(request: HttpRequest) -> None:
    """Have the worker check the record, on the audit trail. Raises AlreadyEnqueued."""
    with_files = "files" in request.POST
    with transaction.atomic():
        audit.record(request, AuditEvent.Action.VERIFICATION, Verification, with_files=with_files)
        tasks.begin_verification(request.user.get_username(), with_files=with_files)
