"""The page in place of a list that took too long: it tells the reader how to ask for less."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from .. import patience
from ..patience import TookTooLong, limit_statements
from ..search.days import DaysFilter

__all__ = ["TookTooLong", "limit_statements", "show_stopped"]


def show_stopped(
    request: HttpRequest, title: str, form: DaysFilter | None = None, list_url: str = ""
) -> HttpResponse:
    """Show the filter to be narrowed in place of the rows; the caller has recorded the attempt.

    503: a program must not take it for an empty list, nor is it the reader's mistake, since the
    same filter may do at another hour. No Retry-After, since asking again at once does not help.
    """
    context = {
        **admin.site.each_context(request),
        "title": title,
        "filter": form,
        "list_url": list_url,
        "seconds": f"{patience.SECONDS:g}",
    }
    return TemplateResponse(request, "admin/conversations/too_long.html", context, status=503)
