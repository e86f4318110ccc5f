"""API keys. Only the sha256 of a key's secret is kept."""

import secrets
from datetime import date, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Case, F, When
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from conversations.models import User


def validate_network(text: str) -> None:
    try:
        ip_network(text)
    except ValueError:
        raise ValidationError(
            _("“%(text)s” is not an address or a network. Write 192.0.2.7 or 192.0.2.0/24."),
            params={"text": text},
        ) from None


def digest_of(secret: str) -> bytes:
    """Return what is kept of a secret."""
    return sha256(secret.encode(errors="replace")).digest()


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def owned_by(self, owner: "User") -> "ApiKeyQuerySet":
        return self.filter(owner=owner)

    def newest_first(self) -> "ApiKeyQuerySet":
        return self.order_by("-id")

    def usable(self) -> "ApiKeyQuerySet":
        return self.filter(revoked=None, expires__gt=timezone.now(), owner__is_active=True)

    def presented(self, secret: str) -> "ApiKeyQuerySet":
        return self.with_digest(digest_of(secret))

    def with_digest(self, digest: bytes) -> "ApiKeyQuerySet":
        return self.filter(digest=digest)


def default_scopes() -> list[str]:
    return [ApiKey.Scope.CHAT, ApiKey.Scope.IMAGES, ApiKey.Scope.EMBEDDINGS]


def latest_expiry() -> datetime:
    return timezone.now() + timedelta(days=settings.API_KEY_MAX_DAYS)


class ApiKey(models.Model):
    """A key that speaks for its owner: made once, shown once, revoked once, never changed back."""

    class Scope(models.TextChoices):
        CHAT = "chat", _("Chat completions")
        IMAGES = "images", _("Images")
        EMBEDDINGS = "embeddings", _("Embeddings")
        HISTORY = "history", _("Read conversations")
        HISTORY_WRITE = "history:write", _("Rename and hide conversations")
        USAGE = "usage", _("Usage figures")
        EXPORT = "export", _("Export of the log")

    # Of a model.
    ASKING_SCOPES = (Scope.CHAT, Scope.IMAGES, Scope.EMBEDDINGS)
    # What a person may give a key of the own; usage and export are given in the admin.
    OWN_SCOPES = (*ASKING_SCOPES, Scope.HISTORY, Scope.HISTORY_WRITE)

    class State(StrEnum):
        """What can be said of a key by itself; its owner may be deactivated besides."""

        IN_USE = "in use"
        EXPIRED = "expired"
        REVOKED = "revoked"

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(
        max_length=20,
        unique=True,
        editable=False,
        help_text=_("The first characters of the key. They are not secret."),
    )
    digest = models.BinaryField(max_length=32, unique=True)
    scopes = ArrayField(
        models.CharField(max_length=20, choices=Scope),
        verbose_name=_("permissions"),
        default=default_scopes,
    )
    shared = models.BooleanField(
        default=False,
        help_text=_(
            "Several people use this key. Each request names the person in its `user` field."
        ),
    )
    addresses = ArrayField(
        models.CharField(max_length=50, validators=[validate_network]),
        default=list,
        db_default=[],
        blank=True,
        help_text=_(
            "Addresses or networks that the key works from, one per line, such as 192.0.2.0/24. "
            "Leave empty to allow any address."
        ),
    )
    rows_a_day = models.PositiveIntegerField(
        _("rows per day"),
        default=1_000_000,
        db_default=1_000_000,
        help_text=_("The most rows that the key may export in a day (UTC)."),
    )
    exported_on = models.DateField(null=True, editable=False)
    exported_rows = models.PositiveIntegerField(
        default=0, db_default=0, editable=False, help_text=_("Rows exported on that day.")
    )
    created = models.DateTimeField(default=timezone.now, editable=False)
    expires = models.DateTimeField(default=latest_expiry)
    last_used = models.DateTimeField(null=True, editable=False, help_text=_("Exact to a minute."))
    revoked = models.DateTimeField(null=True, editable=False)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        verbose_name_plural = "API keys"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @classmethod
    def make(
        cls, owner: "User", name: str, *, secret: str | None = None, **fields: Any
    ) -> tuple["ApiKey", str]:
        """Save a key. Return it with its secret, which cannot be read again."""
        secret = secret or "gw-" + secrets.token_urlsafe(32)
        key = cls.objects.create(
            owner=owner, name=name, prefix=secret[:11], digest=digest_of(secret), **fields
        )
        return key, secret

    @property
    def state(self) -> State:
        if self.revoked:
            return self.State.REVOKED
        if self.expires <= timezone.now():
            return self.State.EXPIRED
        return self.State.IN_USE

    def rows_left(self, day: date) -> int:
        return max(0, self.rows_a_day - (self.exported_rows if self.exported_on == day else 0))

    def spend(self, rows: int, day: date) -> bool:
        """Take rows from what the key may export that day.

        Return False, and take none, if another export took them meanwhile.
        """
        already = Case(When(exported_on=day, then=F("exported_rows")), default=0)
        keys = ApiKey.objects.annotate(already=already).filter(
            pk=self.pk, already__lte=F("rows_a_day") - rows
        )
        return bool(keys.update(exported_rows=already + rows, exported_on=day))

    def mark_used(self, now: datetime) -> None:
        """Note the use of the key, at most once a minute."""
        if self.last_used is None or now - self.last_used > timedelta(minutes=1):
            self.last_used = now
            self.save(update_fields=["last_used"])

    def revoke(self) -> None:
        if self.revoked is None:
            self.revoked = timezone.now()
            self.save(update_fields=["revoked"])
