"""What waits for a second person: a list, and a page on which to agree or refuse."""

import json
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from ..models import Approval
from ..people import approvals
from ..people.approvals import Verdict
from ..templatetags.review import moment
from .audit import describe_detail
from .rights import Evidence


@admin.register(Approval)
class ApprovalAdmin(Evidence, admin.ModelAdmin):
    """Shown to those who could agree to one, to who asked, and to those who administer."""

    list_display = ("name", "asked_by", "time", "standing", "decided_by")
    list_select_related = ("asked_by", "decided_by")
    ordering = ("-id",)
    actions = None
    sortable_by = ()

    def has_module_permission(self, request: HttpRequest) -> bool:
        return approvals.may_look(request.user)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return approvals.may_look(request.user)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Approval]:
        return approvals.visible_to(request.user)

    def get_urls(self) -> list[URLPattern]:
        decide = self.admin_site.admin_view(require_POST(self.decide_view))
        name = "conversations_approval_decide"
        return [path("<uuid:pk>/decide/", decide, name=name), *super().get_urls()]

    @admin.display(description=gettext_lazy("asked"))
    def time(self, approval: Approval) -> SafeString | str:
        return moment(approval.asked)

    @admin.display(description=gettext_lazy("state"))
    def standing(self, approval: Approval) -> str:
        return approval.state

    def history_view(
        self,
        request: HttpRequest,
        object_id: str,
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return super().history_view(request, object_id, extra_context)

    def show_row(self, request: HttpRequest, approval: Approval) -> HttpResponse:
        verdicts = {
            agrees: approvals.verdict(request.user, approval, agrees=agrees)
            for agrees in (True, False)
        }
        content = json.loads(approval.content)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": str(approval),
            "approval": approval,
            "content": [(name, describe_detail(value)) for name, value in content.items()],
            "may_agree": verdicts[True] == Verdict.MAY,
            "may_refuse": verdicts[False] == Verdict.MAY,
            "why_not": approvals.WORDS.get(verdicts[True], ""),
        }
        return TemplateResponse(request, "admin/conversations/approval.html", context)

    def decide_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        approval = get_object_or_404(self.get_queryset(request), pk=pk)
        agrees = "agree" in request.POST
        try:
            approvals.decide(request, approval, agrees=agrees)
        except approvals.DecisionRefused as refused:
            messages.error(request, str(refused))
        else:
            messages.success(request, _("Agreed.") if agrees else _("Refused."))
        address = reverse("admin:conversations_approval_change", args=[pk])
        return HttpResponseRedirect(address)
