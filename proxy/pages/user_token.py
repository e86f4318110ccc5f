"""Where a person pastes a token of their own, and forgets it. No page shows it again."""

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import Http404
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme

from conversations.reading.pages import render_page

from .. import user_token

ODD = "A token is one line of letters, digits and signs."


class TokenForm(forms.Form):
    token = forms.RegexField(
        label="Your token",
        regex=r"^[!-~]+( [!-~]+)?$",
        max_length=user_token.LONGEST,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        error_messages={"required": "Paste the token first.", "invalid": ODD},
        help_text="Kept in this browser alone, sealed, until you sign out.",
    )


@render_page
def token(request) -> HttpResponseBase:
    """By POST it is kept; with `forget`, it is no more."""
    if not settings.ALLOW_USER_TOKENS:
        raise Http404
    if request.method == "POST" and "forget" in request.POST:
        response = redirect("token")
        user_token.forget_token(response)
        messages.success(
            request, "Your token is forgotten here. Where you got it, it may still be valid."
        )
        return response
    form = TokenForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        way = request.POST.get("next", "")
        response = redirect(
            way if url_has_allowed_host_and_scheme(way, {request.get_host()}) else "token"
        )
        user_token.store_token(request, response, form.cleaned_data["token"])
        messages.success(
            request, "Your token goes along with what you ask from now on, until you sign out."
        )
        return response
    return render(request, "token.html", {"form": form}, status=400 if form.errors else 200)
