"""The page of the usage policy, and the form that accepts it.

It holds the text, the readers of questions and answers, how long they are kept, and a contact.
"""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import Group
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import UsagePolicy
from . import markdown
from .address import next_page
from .pages import PageRequest, render_page

CHANGED = gettext_lazy("There is a newer version of the policy now. Read and accept that one.")


@render_page
def policy(request: PageRequest) -> HttpResponseBase:
    """Show the policy; by POST, accept the version of the form, if it is the current one."""
    if settings.USAGE_POLICY_URL:
        return redirect(settings.USAGE_POLICY_URL)
    current = UsagePolicy.objects.current()
    if request.method == "POST" and current:
        if request.POST.get("version") == str(current.version):
            current.accept(request.user)
            accepted = _("You accepted version %(version)s of the usage policy.")
            messages.success(request, accepted % {"version": current.version})
            return redirect(next_page(request, "policy"))
        messages.warning(request, CHANGED)
        return redirect("policy")
    readers = Group.objects.filter(
        permissions__content_type__app_label="conversations", permissions__codename="view_content"
    ).order_by("name")
    context = {
        "policy": current,
        "text": markdown.html(current.text) if current else "",
        "acceptance": current.accepted_by(request.user) if current else None,
        "readers": _list_names([group.name for group in readers]),
        "contact": settings.USAGE_POLICY_CONTACT,
    }
    return render(request, "policy.html", context)


def _list_names(names: list[str]) -> SafeString:
    """Write names in bold, such as A, B and C; nothing for no names."""
    last = format_html_join("", "<b>{}</b>", ((name,) for name in names[-1:]))
    if len(names) < 2:
        return last
    others = format_html_join(", ", "<b>{}</b>", ((name,) for name in names[:-1]))
    return format_html(_("{others} and {last}"), others=others, last=last)
