"""The admin site: pages of models, and the desk's own pages for accounts that may open them."""

from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse

from .people.access import may
from .people.identity import hides_people


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
            verifications,
        )

        view = self.admin_view
        return [
            path("usage/", view(report.page), name="usage-report"),
            path("usage/<slug:panel>.csv", view(report.download_csv), name="usage-csv"),
            path("checks/", view(verifications.page), name="verifications"),
            path("access/", view(access_review.page), name="access-review"),
            path("access/all.csv", view(access_review.download_csv), name="access-review-csv"),
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
            path("queue/no-issue/", view(queue.decide_many), name="review-bulk"),
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
        """Add the pages that belong to no model, where the account may open them."""
        apps = super().get_app_list(request, app_label)
        pages = [
            ("Review queue", "admin:review-queue", "decide"),
            ("Cases", "admin:cases", "decide"),
            ("Exports", "admin:exports", "export_content"),
            ("Usage report", "admin:usage-report", "view_usage"),
            ("Access review", "admin:access-review", "view_audit"),
            ("Checks of the record", "admin:verifications", "view_audit"),
        ]
        entries = [
            {
                "name": name,
                "object_name": name,
                "admin_url": reverse(url),
                "view_only": True,
                "perms": {},
            }
            for name, url, right in pages
            if may(request.user, right)
            and not (url == "admin:access-review" and hides_people(request.user))
        ]
        if entries and app_label is None:
            apps.insert(
                0,
                {
                    "name": "Review desk",
                    "app_label": "desk",
                    "app_url": entries[0]["admin_url"],
                    "has_module_perms": True,
                    "models": entries,
                },
            )
        return apps
