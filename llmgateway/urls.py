"""Where each path leads."""

from django.contrib import admin
from django.http import HttpResponse
from django.urls import include, path

urlpatterns = [
    path("ping", lambda request: HttpResponse("pong\n", content_type="text/plain")),
    path("v1/", include("proxy.api.urls")),
    path("admin/", admin.site.urls),
    path("", include("proxy.urls")),
    path("", include("conversations.urls")),
]
