"""The admin site: the pages of its models, and the desk's own beside them, in the index for those who may open them."""

from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse

from .people.access import may


class Desk(admin.AdminSite):
    index_title = "Review and administration"

    def get_urls(self) -> list[URLResolver | URLPattern]:
        from .admin import (
            export,
            queue,
            report,
            reveal,  # they need the site
        )

        return [
            path("usage/", self.admin_view(report.page), name="usage-report"),
            path("usage/<slug:panel>.csv", self.admin_view(report.csv), name="usage-csv"),
            path("exports/", self.admin_view(export.listed), name="exports"),
            path("exports/new/", self.admin_view(export.new), name="export-new"),
            path("exports/<uuid:id>/", self.admin_view(export.page), name="export"),
            path(
                "exports/<uuid:id>/progress/",
                self.admin_view(export.progress),
                name="export-progress",
            ),
            path("exports/<uuid:id>/cancel/", self.admin_view(export.cancel), name="export-cancel"),
            path("exports/<uuid:id>/all.zip", self.admin_view(export.whole), name="export-zip"),
            path(
                "exports/<uuid:id>/files/<str:name>",
                self.admin_view(export.one),
                name="export-file",
            ),
            path("reveal/", self.admin_view(reveal.page), name="search-by-name"),
            path("reveal/<uuid:id>/", self.admin_view(reveal.page), name="reveal"),
            path("queue/", self.admin_view(queue.page), name="review-queue"),
            path("queue/next/", self.admin_view(queue.claim_next), name="review-next"),
            path("queue/no-issue/", self.admin_view(queue.in_bulk), name="review-bulk"),
            path("queue/<uuid:id>/<slug:what>/", self.admin_view(queue.act), name="review-act"),
            *super().get_urls(),
        ]

    def index(self, request: HttpRequest, extra_context: dict | None = None) -> TemplateResponse:
        from .admin import home

        return super().index(request, {"tiles": home.tiles(request)} | (extra_context or {}))

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list:
        """With the pages that belong to no model, where this person may open them."""
        apps = super().get_app_list(request, app_label)
        pages = [
            ("Review queue", "admin:review-queue", "decide"),
            ("Exports", "admin:exports", "export_content"),
            ("Usage report", "admin:usage-report", "view_usage"),
        ]
        found = [
            {
                "name": name,
                "object_name": name,
                "admin_url": reverse(url),
                "view_only": True,
                "perms": {},
            }
            for name, url, right in pages
            if may(request.user, right)
        ]
        if found and app_label is None:
            apps.insert(
                0,
                {
                    "name": "Review desk",
                    "app_label": "desk",
                    "app_url": found[0]["admin_url"],
                    "has_module_perms": True,
                    "models": found,
                },
            )
        return apps
