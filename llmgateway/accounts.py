"""What happens to accounts outside the admin's forms, on the audit trail: sign-ins, one's own password, accounts made by commands."""

from django.contrib import admin
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from conversations.models import AuditEvent, User
from conversations.people import audit

Action = AuditEvent.Action


# Signals: the one place that every way of signing in passes. They run within it, and their errors end it.


@receiver(user_logged_in)
def signed_in(sender, request: HttpRequest, user: User, **rest) -> None:
    """Of staff only: what employees do is on record as calls."""
    if user.is_staff:
        request.user = user
        audit.record(request, Action.SIGN_IN, user)


@receiver(user_login_failed)
def failed_to_sign_in(
    sender, credentials: dict, request: HttpRequest | None = None, **rest
) -> None:
    """Known and unknown names cost the same. An unknown one is not kept: people type passwords there. Nor is what a pause turned away."""
    if request is not None and not getattr(request, "axes_locked_out", False):
        account = User.objects.filter(
            username=str(credentials.get("username"))[:150].replace("\0", "")
        ).first()
        audit.record(
            request, Action.SIGN_IN_FAILED, account, name=account.username if account else ""
        )


def password_change(request) -> HttpResponseBase:
    """Django's own page, in one transaction with its event."""
    before = getattr(request.user, "password", None)
    with transaction.atomic():
        response = admin.site.admin_view(admin.site.password_change, cacheable=True)(request)
        if getattr(request.user, "password", None) != before:
            audit.record(request, Action.PASSWORD, request.user, name=request.user.get_username())
    return response
