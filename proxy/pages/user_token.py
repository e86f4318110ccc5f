"""The page for a person's own upstream token: stored in a cookie, removed, and never shown."""

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import Http404
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from conversations.reading.address import next_page
from conversations.reading.pages import PageRequest, render_page

from .. import user_token

INVALID = gettext_lazy("A token is a single line of letters, digits and symbols.")


class TokenForm(forms.Form):
    token = forms.RegexField(
        label=gettext_lazy("Your token"),
        regex=r"^[!-~]+( [!-~]+)?$",
        max_length=user_token.LONGEST,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        error_messages={"required": gettext_lazy("Paste the token first."), "invalid": INVALID},
        help_text=gettext_lazy("Stored encrypted in this browser only, until you sign out."),
    )


@render_page
def token(request: PageRequest) -> HttpResponseBase:
    """Show the form; by POST, store the token, or remove it with `forget`."""
    if not settings.ALLOW_USER_TOKENS:
        raise Http404
    if request.method == "POST" and "forget" in request.POST:
        response = redirect("token")
        user_token.forget_token(response)
        messages.success(
            request,
            _("Your token was removed from this browser. Its issuer may still accept it."),
        )
        return response
    form = TokenForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        response = redirect(next_page(request, "token"))
        user_token.store_token(request.user, response, form.cleaned_data["token"])
        messages.success(
            request, _("From now on your questions are sent with your token, until you sign out.")
        )
        return response
    return render(request, "token.html", {"form": form}, status=400 if form.errors else 200)
