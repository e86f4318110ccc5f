"""Where each path leads."""

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from llmgateway import accounts, theme
from llmgateway.ops import health, metrics
from proxy.admin import assessment


def sign_out(request: HttpRequest) -> HttpResponseBase:
    return LogoutView.as_view()(request) if request.method == "POST" else redirect("chat")


DOCS = RedirectView.as_view(pattern_name="api-docs")
PAGES: list[URLPattern | URLResolver] = (
    [path("", include("proxy.urls")), path("", include("conversations.urls"))]
    if settings.CHAT_PAGES
    else [
        path("", DOCS, name="chat"),
        path("history/", DOCS, name="history"),
        path("", include("proxy.urls_keys")),
    ]
)
urlpatterns = [
    path("v1/", include("proxy.api.urls_v1")),
    path("api/", include("proxy.api.urls_api")),
    path("docs", DOCS),
    path("ping", lambda request: HttpResponse("pong\n", content_type="text/plain")),
    path("healthz", health.alive),
    path("readyz", health.ready),
    path("metrics", metrics.page),
    path(
        "sign-in/",
        LoginView.as_view(template_name="sign_in.html", redirect_authenticated_user=True),
        name="sign-in",
    ),
    path("sign-out/", sign_out, name="sign-out"),
    path("password/", accounts.OwnPassword.as_view(), name="password"),
    path("theme/", theme.choose, name="theme"),
    path("admin/password_change/", RedirectView.as_view(pattern_name="password")),
    path("admin/assess/<uuid:pk>/", admin.site.admin_view(assessment.start), name="assess"),
    path("admin/", admin.site.urls),
    *PAGES,
]

handler400 = "llmgateway.errors.bad_request"
handler403 = "llmgateway.errors.forbidden"
handler404 = "llmgateway.errors.not_found"
handler500 = "llmgateway.errors.failed"
