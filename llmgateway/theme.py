"""Light, dark, or as the device has it: chosen by a form, kept in a cookie.

So it holds before sign-in too.
"""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from conversations.reading.address import next_page

THEMES = ("light", "dark")
YEAR = 365 * 24 * 60 * 60  # seconds


def chosen_theme(request: HttpRequest) -> str:
    """Light, dark, or empty: as the device has it."""
    chosen = request.COOKIES.get("theme", "")
    return chosen if chosen in THEMES else ""


def shown(request: HttpRequest) -> dict[str, Any]:
    return {"theme": chosen_theme(request)}


@require_POST
def choose(request: HttpRequest) -> HttpResponse:
    """Keep the choice, or take it back; then on to the page that asked, if it is one of ours."""
    answer = redirect(next_page(request, "chat"))
    chosen = request.POST.get("theme")
    if chosen in THEMES:
        answer.set_cookie(
            "theme", chosen, max_age=YEAR, secure=settings.BEHIND_TLS, httponly=True, samesite="Lax"
        )
    else:
        answer.delete_cookie("theme", samesite="Lax")
    return answer
