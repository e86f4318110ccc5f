"""The page of the usage policy: the text, who reads what people write, how long it is kept, whom to ask, and the form that accepts it."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import Group
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme

from ..models import UsagePolicy
from . import markdown
from .pages import render_page

CHANGED = "Meanwhile there is a newer version. Read and accept that one."


@render_page
def policy(request) -> HttpResponseBase:
    """By POST, the version that the form names is accepted, if it is the current one."""
    if settings.USAGE_POLICY_URL:
        return redirect(settings.USAGE_POLICY_URL)
    current = UsagePolicy.objects.current()
    if request.method == "POST" and current:
        if request.POST.get("version") == str(current.version):
            current.accept(request.user)
            messages.success(
                request, f"You accepted version {current.version} of the usage policy."
            )
            return redirect(_way_back(request))
        messages.warning(request, CHANGED)
        return redirect("policy")
    readers = Group.objects.filter(
        permissions__content_type__app_label="conversations", permissions__codename="view_content"
    ).order_by("name")
    shown = {
        "policy": current,
        "text": markdown.html(current.text) if current else "",
        "acceptance": current.accepted_by(request.user) if current else None,
        "readers": [group.name for group in readers],
        "contact": settings.USAGE_POLICY_CONTACT,
    }
    return render(request, "policy.html", shown)


def _way_back(request) -> str:
    """To the page that asked, if it is one of ours."""
    way = request.POST.get("next", "")
    return way if url_has_allowed_host_and_scheme(way, {request.get_host()}) else "policy"
