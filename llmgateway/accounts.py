"""What happens to accounts outside the admin's forms, on the audit trail: sign-ins, passwords."""

from typing import Any

from django.contrib import messages
from django.contrib.auth import authenticate
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.db import transaction
from django.dispatch import receiver
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from conversations.models import AuditEvent, User
from conversations.people import audit
from llmgateway import sessions

Action = AuditEvent.Action


# Signals: every way of signing in passes here. They run within it, and their errors end it.


@receiver(user_logged_in)
def signed_in(sender: Any, request: HttpRequest, user: User, **rest: Any) -> None:
    """Record those of staff only: what employees do is on record as calls."""
    sessions.begin(request.session)
    if user.is_staff:
        request.user = user
        audit.record(request, Action.SIGN_IN, user)


@receiver(user_login_failed)
def failed_to_sign_in(
    sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **rest: Any
) -> None:
    """Record it, at the same cost for known and unknown names.

    An unknown name is not kept: people type passwords there. Nor is what a pause turned away.
    """
    if request is None or getattr(request, "axes_locked_out", False):
        return
    username = str(credentials.get("username"))[:150].replace("\0", "")
    account = User.objects.filter(username=username).first()
    audit.record(request, Action.SIGN_IN_FAILED, account, name=account.username if account else "")


class OwnPasswordForm(PasswordChangeForm):
    """Wrong old passwords count as failed sign-ins, so that a session left open cannot guess."""

    def __init__(self, user: Any, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        self.request = request

    def clean_old_password(self) -> str:
        old = self.cleaned_data["old_password"]
        if authenticate(self.request, username=self.user.get_username(), password=old) is None:
            raise ValidationError(self.error_messages["password_incorrect"], "password_incorrect")
        return old


@method_decorator(never_cache, name="dispatch")
class OwnPassword(PasswordChangeView):
    """Let each account with a password change it; its other sessions end, as Django sees to."""

    template_name = "password.html"
    form_class = OwnPasswordForm
    success_url = "/"

    def get_form_kwargs(self) -> dict[str, Any]:
        user = self.request.user
        if not user.is_authenticated or not user.has_usable_password():  # it is kept elsewhere
            raise Http404
        return super().get_form_kwargs() | {"request": self.request}

    def form_valid(self, form: Any) -> HttpResponse:
        with transaction.atomic():
            response = super().form_valid(form)
            audit.record(self.request, Action.PASSWORD, form.user, name=form.user.get_username())
        messages.success(self.request, _("Your password is changed. Other sessions have ended."))
        return response
