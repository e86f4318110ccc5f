"""API keys. Only the sha256 of a key's secret is kept."""

import secrets
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from ipaddress import ip_network
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Case, Exists, F, OuterRef, When
from django.db.models.functions import Cast
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from conversations.models import Approval, User, approval

MOST = 20  # keys that a person may hold, neither revoked nor expired


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
    def owned_by(self, owner: User) -> "ApiKeyQuerySet":
        return self.filter(owner=owner)

    def newest_first(self) -> "ApiKeyQuerySet":
        return self.order_by("-id")

    def usable(self) -> "ApiKeyQuerySet":
        """Return those that work: accepted by their owners, and agreed to where that is needed."""
        now = timezone.now()
        agreed = Approval.objects.in_force(now).filter(
            kind=ApiKey.APPROVAL,
            target=Cast(OuterRef("pk"), models.TextField()),
            digest=OuterRef("terms"),
        )
        return self.filter(
            models.Q(terms=None) | Exists(agreed),
            models.Q(accepted__lte=now) | models.Q(owner__is_service=True),
            revoked=None,
            expires__gt=now,
            owner__is_active=True,
        )

    def open(self) -> "ApiKeyQuerySet":
        """Return those that are neither revoked, refused nor expired, whether they work yet."""
        refused = Approval.objects.filter(
            kind=ApiKey.APPROVAL, target=Cast(OuterRef("pk"), models.TextField()), agreed=False
        )
        return self.filter(~Exists(refused), revoked=None, expires__gt=timezone.now())

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

    # What reads what was said: a second person gives it to a service account.
    CONTENT_SCOPES = (Scope.HISTORY, Scope.EXPORT)
    APPROVAL = "API key"  # the kind

    class State(StrEnum):
        """What can be said of a key by itself; its owner may be deactivated besides."""

        IN_USE = "in use"
        FOR_OWNER = "waits for its owner"
        FOR_SECOND = "waits for a second person"
        REFUSED = "refused"
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
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
        help_text=_("Empty: it is not known who made the key."),
    )
    accepted = models.DateTimeField(
        null=True,
        editable=False,
        help_text=_("When its owner made or accepted it. Empty: it waits, unless for a program's."),
    )
    unconfirmed = models.BooleanField(
        default=False,
        db_default=False,
        editable=False,
        help_text=_("Its owner is asked whether to keep it: another person made it, before 0.2."),
    )
    terms = models.BinaryField(
        max_length=32,
        null=True,
        editable=False,
        help_text=_("The digest of what a second person agrees to. Empty: nobody has to."),
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
        cls, owner: User, name: str, *, secret: str | None = None, **fields: Any
    ) -> tuple["ApiKey", str]:
        """Save a key that its owner makes. Return it with its secret, which is read only here.

        Raises ValidationError where a person has MOST keys.
        """
        return cls._save(owner, owner, name, secret, timezone.now(), **fields)

    @classmethod
    def make_for(cls, owner: User, name: str, maker: User, **fields: Any) -> tuple["ApiKey", str]:
        """Save a key that another person makes: it works once its owner has accepted it.

        A service account accepts nothing: its key works at once, as far as it reads nothing, and
        for as long as the account is a program's. Raises ValidationError as `make` does.
        """
        if maker.pk == owner.pk:
            return cls.make(owner, name, **fields)
        return cls._save(owner, maker, name, None, None, **fields)

    @classmethod
    def _save(
        cls,
        owner: User,
        maker: User,
        name: str,
        secret: str | None,
        accepted: datetime | None,
        **fields: Any,
    ) -> tuple["ApiKey", str]:
        secret = secret or "gw-" + secrets.token_urlsafe(32)
        key = cls(owner=owner, name=name, prefix=secret[:11], digest=digest_of(secret), **fields)
        key.made_by, key.accepted = maker, accepted
        if key.approval_right:
            key.terms = approval.digest_of(key.describe())
        with transaction.atomic():
            if key.expires > timezone.now():
                cls.make_room(owner)
            key.save(force_insert=True)
        return key, secret

    @classmethod
    def make_room(cls, owner: User) -> None:
        """Keep a place for one more key of this person, until the transaction ends.

        Raises ValidationError where a person holds as many keys as one may.
        """
        locked = User.objects.select_for_update(no_key=True).get(pk=owner.pk)
        if not locked.is_service and cls.objects.owned_by(locked).open().count() >= MOST:
            text = _("A person holds %(most)d keys at most. Revoke one that is not used.")
            raise ValidationError(text, params={"most": MOST})

    def describe(self) -> dict[str, Any]:
        """What the key may do and where: the terms that people accept, and the trail keeps."""
        return {
            "key": self.prefix,
            "name": self.name,
            "owner": self.owner.get_username(),
            "owner_id": self.owner_id,
            "scopes": sorted(self.scopes),
            "shared": self.shared,
            "addresses": sorted(self.addresses),
            "rows_a_day": self.rows_a_day,
            "expires": self.expires.astimezone(UTC),
        }

    @property
    def approval_right(self) -> str:
        """The right of the second person who has to agree to the key; empty: nobody has to."""
        if self.Scope.EXPORT in self.scopes:
            return "export_content"
        is_own = self.made_by_id == self.owner_id
        if not is_own and self.Scope.HISTORY in self.scopes and self.owner.is_service:
            return "view_content"
        return ""

    @property
    def approval(self) -> Approval | None:
        return Approval.objects.about(self.APPROVAL, str(self.pk)).newest_first().first()

    @property
    def permissions(self) -> list[str]:
        """The scopes in the words that people read."""
        labels = dict(self.Scope.choices)
        return [str(labels.get(scope, scope)) for scope in self.scopes]

    def accept(self) -> None:
        """Let the key work, or keep it, in the name of its owner."""
        self.accepted, self.unconfirmed = self.accepted or timezone.now(), False
        self.save(update_fields=["accepted", "unconfirmed"])

    @property
    def waits_for_owner(self) -> bool:
        return self.accepted is None and not self.owner.is_service

    @property
    def made_elsewhere(self) -> bool:
        """Whether another person made the key, or it is not known who did."""
        return self.made_by_id != self.owner_id

    @property
    def state(self) -> State:
        if self.revoked:
            return self.State.REVOKED
        if self.expires <= timezone.now():
            return self.State.EXPIRED
        if self.waits_for_owner:
            return self.State.FOR_OWNER
        if self.terms is None:
            return self.State.IN_USE
        asked = self.approval
        if asked is None or bytes(asked.digest) != bytes(self.terms):
            return self.State.FOR_SECOND
        return APPROVAL_STATES[asked.state]

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
        """Note the use of the key, at most once a minute, and not while its row is locked."""
        if self.last_used is None or now - self.last_used > timedelta(minutes=1):
            self.last_used = now
            with transaction.atomic():
                row = ApiKey.objects.filter(pk=self.pk).values_list("pk")
                if row.select_for_update(skip_locked=True, no_key=True).first():
                    self.save(update_fields=["last_used"])

    def revoke(self) -> None:
        if self.revoked is None:
            self.revoked = timezone.now()
            self.save(update_fields=["revoked"])


APPROVAL_STATES = {
    Approval.State.WAITING: ApiKey.State.FOR_SECOND,
    Approval.State.AGREED: ApiKey.State.IN_USE,
    Approval.State.ALONE: ApiKey.State.IN_USE,
    Approval.State.REFUSED: ApiKey.State.REFUSED,
    Approval.State.OVER: ApiKey.State.EXPIRED,
}
