"""A form that was refused: its page again, read anew, with all that was typed, and why beside it.

A page so shown is the answer at the form's address; a link of it, or a reload, that comes there
leads to the page's own.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse

View = Callable[..., HttpResponseBase]


class Refused(NamedTuple):
    form: str  # its id on the page
    typed: QueryDict


def show_again(
    request: HttpRequest, form: str, problem: object, show: Callable[[], HttpResponseBase]
) -> HttpResponseBase:
    """Show the page of a form; `find_refused` gives its templates what was typed."""
    messages.error(request, str(problem))
    request.refused = Refused(form, request.POST)  # type: ignore[attr-defined]
    response = show()
    if isinstance(response, TemplateResponse):
        response.render()
        said: Any = messages.get_messages(request)
        if not said.used:  # the form is there no more: above the page
            del request.refused  # type: ignore[attr-defined]
            response.content = response.rendered_content
    return response


def find_refused(request: HttpRequest, form: str, **fields: Any) -> QueryDict | None:
    """Return what was typed into this form; of several alike, the one with these fields."""
    refused: Refused | None = getattr(request, "refused", None)
    if refused is None or refused.form != form:
        return None
    typed = refused.typed
    is_meant = all(typed.get(name) == str(value) for name, value in fields.items())
    return typed if is_meant else None


def find_ticked(request: HttpRequest, form: str, name: str) -> set[str]:
    """Return the rows that were ticked in this form."""
    typed = find_refused(request, form)
    return set(typed.getlist(name)) if typed else set()


def takes_form(find_page: Callable[..., str]) -> Callable[[View], View]:
    """Make a view of a form's POST; `find_page` returns its page's address, by what it takes."""

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.method == "POST":
                return view(request, *args, **kwargs)
            address = find_page(*args, **kwargs)
            return HttpResponseRedirect(f"{address}?{request.GET.urlencode()}")

        return checked

    return decorate
