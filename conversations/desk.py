"""The admin site: pages of models, and the desk's own pages for accounts that may open them."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .people.access import may
from .people.identity import hides_people

# Pages that belong to no model: their name below, their label, and the rights that open them.
PAGES = (
    ("Queue", gettext_lazy("Queue"), "admin:review-queue", ("view_content", "decide")),
    ("Cases", gettext_lazy("Cases"), "admin:cases", ("view_content", "decide")),
    ("Exports", gettext_lazy("Exports"), "admin:exports", ("view_content", "export_content")),
    ("Report", gettext_lazy("Usage report"), "admin:usage-report", ("view_usage",)),
    ("Reviewers", gettext_lazy("Reviewers’ report"), "admin:reviewers", ("view_audit",)),
    ("Access", gettext_lazy("Access review"), "admin:access-review", ("view_audit",)),
    ("Checks", gettext_lazy("Checks of the record"), "admin:verifications", ("view_audit",)),
)
# The review desk in the order of work: those pages, and models.
ORDER = (
    "Queue",
    "Conversation",
    "Snapshot",
    "Decision",
    "Cases",
    "Exports",
    "Report",
    "Reviewers",
    "AuditEvent",
    "Access",
    "Checks",
)


class Desk(admin.AdminSite):
    index_title = "Review and administration"

    def get_urls(self) -> list[URLResolver | URLPattern]:
        # They need the site.
        from .admin import (
            access_review,
            case,
            export,
            queue,
            queue_page,
            report,
            reveal,
            reviewers,
            verifications,
        )

        view = self.admin_view
        return [
            path("usage/", view(report.page), name="usage-report"),
            path("usage/<slug:panel>.csv", view(report.download_csv), name="usage-csv"),
            path("checks/", view(verifications.page), name="verifications"),
            path("access/", view(access_review.page), name="access-review"),
            path("access/all.csv", view(access_review.download_csv), name="access-review-csv"),
            path("reviewers/", view(reviewers.page), name="reviewers"),
            path("reviewers/reviewers.csv", view(reviewers.download_csv), name="reviewers-csv"),
            path("exports/", view(export.list_page), name="exports"),
            path("exports/new/", view(export.new_page), name="export-new"),
            path("exports/<uuid:pk>/", view(export.page), name="export"),
            path("exports/<uuid:pk>/progress/", view(export.progress), name="export-progress"),
            path("exports/<uuid:pk>/cancel/", view(export.cancel), name="export-cancel"),
            path("exports/<uuid:pk>/all.zip", view(export.download_zip), name="export-zip"),
            path(
                "exports/<uuid:pk>/files/<str:name>",
                view(export.download_file),
                name="export-file",
            ),
            path("reveal/", view(reveal.page), name="search-by-name"),
            path("reveal/<uuid:pk>/", view(reveal.page), name="reveal"),
            path("queue/", view(queue_page.page), name="review-queue"),
            path("queue/next/", view(queue.claim_next), name="review-next"),
            path("queue/no-issue/", view(queue_page.decide_many), name="review-bulk"),
            path("queue/<uuid:pk>/claim/", view(queue.claim), name="review-claim"),
            path("queue/<uuid:pk>/release/", view(queue.release), name="review-release"),
            path("queue/<uuid:pk>/assign/", view(queue.assign), name="review-assign"),
            path("queue/<uuid:pk>/decide/", view(queue.decide), name="review-decide"),
            path("cases/", view(case.list_page), name="cases"),
            path("cases/new/", view(case.new_page), name="case-new"),
            path("cases/of/<uuid:pk>/", view(case.choose_page), name="case-choose"),
            path("cases/<uuid:pk>/", view(case.page), name="case"),
            path("cases/<uuid:pk>/note/", view(case.note), name="case-note"),
            path("cases/<uuid:pk>/link/", view(case.link), name="case-link"),
            path("cases/<uuid:pk>/unlink/", view(case.unlink), name="case-unlink"),
            path("cases/<uuid:pk>/join/", view(case.add_member), name="case-join"),
            path("cases/<uuid:pk>/leave/", view(case.remove_member), name="case-leave"),
            # No row has an address outside the admin; Django's page would say which rows there are.
            *(url for url in super().get_urls() if getattr(url, "name", "") != "view_on_site"),
        ]

    def index(self, request: HttpRequest, extra_context: dict | None = None) -> TemplateResponse:
        from .admin import home

        return super().index(request, {"tiles": home.tiles(request)} | (extra_context or {}))

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list:
        """List the review desk first, in the order of work; what is left of its models after it."""
        apps = super().get_app_list(request, app_label)
        if app_label is not None:
            return apps
        entries = {
            name: _entry(label, name, reverse(url))
            for name, label, url, rights in PAGES
            if all(may(request.user, right) for right in rights)
            and not (name == "Access" and hides_people(request.user))
        }
        for app in apps:
            if app["app_label"] == "conversations":
                app["name"] = _("People and policies")
                taken = {each["object_name"]: each for each in app["models"]}
                if trail := taken.get("AuditEvent"):
                    trail["name"] = _("Audit trail")
                entries |= {name: taken[name] for name in ORDER if name in taken}
                app["models"] = [each for each in app["models"] if each["object_name"] not in ORDER]
        desk = [entries[name] for name in ORDER if name in entries]
        rest = [app for app in apps if app["models"]]
        return [_desk_of(desk), *rest] if desk else rest


def _entry(label: Any, name: str, url: str) -> dict[str, Any]:
    return {"name": label, "object_name": name, "admin_url": url, "view_only": True, "perms": {}}


def _desk_of(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": _("Review desk"),
        "app_label": "desk",
        "app_url": entries[0]["admin_url"],
        "has_module_perms": True,
        "models": entries,
    }
