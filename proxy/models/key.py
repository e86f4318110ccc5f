"""Who may speak to a model: API keys. Only a key's sha256 is kept."""

import secrets
from datetime import date, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_network

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Case, F, When
from django.utils import timezone


def is_network(text: str) -> None:
    try:
        ip_network(text)
    except ValueError:
        raise ValidationError(
            "%(text)s is no address and no network, such as 192.0.2.7 or 192.0.2.0/24.",
            params={"text": text},
        ) from None


def digest_of(secret: str) -> bytes:
    """What is kept of a key."""
    return sha256(secret.encode(errors="replace")).digest()


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def of(self, owner) -> "ApiKeyQuerySet":
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
    """Speaks for its owner. Made once, shown once, revoked once; never changed back."""

    class Scope(models.TextChoices):
        CHAT = "chat", "chat completions"
        IMAGES = "images", "images"
        EMBEDDINGS = "embeddings", "embeddings"
        USAGE = "usage", "usage figures"
        EXPORT = "export", "export of the log"

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(
        max_length=20,
        unique=True,
        editable=False,
        help_text="the part of the key that may be shown",
    )
    digest = models.BinaryField(max_length=32, unique=True)
    scopes = ArrayField(models.CharField(max_length=20, choices=Scope), default=default_scopes)
    shared = models.BooleanField(
        default=False,
        help_text="used on behalf of several people: the request's `user` says for whom",
    )
    addresses = ArrayField(
        models.CharField(max_length=50, validators=[is_network]),
        default=list,
        db_default=[],
        blank=True,
        help_text="one a line, such as 192.0.2.0/24: from anywhere else the key opens nothing; empty: anywhere",
    )
    rows_a_day = models.PositiveIntegerField(
        default=1_000_000, db_default=1_000_000, help_text="that it may export; a day is one of UTC"
    )
    exported_on = models.DateField(null=True, editable=False)
    exported_rows = models.PositiveIntegerField(
        default=0, db_default=0, editable=False, help_text="on that day"
    )
    created = models.DateTimeField(default=timezone.now, editable=False)
    expires = models.DateTimeField(default=latest_expiry)
    last_used = models.DateTimeField(null=True, editable=False, help_text="to within a minute")
    revoked = models.DateTimeField(null=True, editable=False)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        verbose_name_plural = "API keys"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @classmethod
    def make(cls, owner, name: str, *, secret: str | None = None, **fields) -> tuple["ApiKey", str]:
        """A saved key and its secret, which nobody can read again."""
        secret = secret or "gw-" + secrets.token_urlsafe(32)
        return cls.objects.create(
            owner=owner, name=name, prefix=secret[:11], digest=digest_of(secret), **fields
        ), secret

    @property
    def state(self) -> str:
        """Of the key by itself: its owner may be deactivated."""
        return (
            "revoked" if self.revoked else "expired" if self.expires <= timezone.now() else "in use"
        )

    def rows_left(self, day: date) -> int:
        return max(0, self.rows_a_day - (self.exported_rows if self.exported_on == day else 0))

    def spend(self, rows: int, day: date) -> bool:
        """Of what it may export that day. False, and nothing is spent, if another export took it meanwhile."""
        already = Case(When(exported_on=day, then=F("exported_rows")), default=0)
        keys = ApiKey.objects.annotate(already=already).filter(
            pk=self.pk, already__lte=F("rows_a_day") - rows
        )
        return bool(keys.update(exported_rows=already + rows, exported_on=day))

    def used(self, now: datetime) -> None:
        """Written at most once a minute, however often the key is used."""
        if self.last_used is None or now - self.last_used > timedelta(minutes=1):
            self.last_used = now
            self.save(update_fields=["last_used"])

    def revoke(self) -> None:
        if self.revoked is None:
            self.revoked = timezone.now()
            self.save(update_fields=["revoked"])
