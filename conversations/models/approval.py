"""What one person asks for and a second one has to agree to, word for word.

A row is asked for and then decided, once each. Where it stands follows from its times: nothing has
to run for a delay to end. What is done is compared with what was agreed by the digest.
"""

import hashlib
import json
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7


def canonical(content: dict[str, Any]) -> str:
    """Write JSON that is the same text for the same content."""
    separators = (",", ":")
    return json.dumps(content, sort_keys=True, separators=separators, cls=DjangoJSONEncoder)


def digest_of(content: dict[str, Any]) -> bytes:
    return hashlib.sha256(canonical(content).encode()).digest()


class ApprovalQuerySet(models.QuerySet["Approval"]):
    def about(self, kind: str, target: str) -> "ApprovalQuerySet":
        return self.filter(kind=kind, target=target)

    def in_force(self, now: datetime) -> "ApprovalQuerySet":
        """Return those that were agreed to, or that act alone by now, and are not over."""
        acts = models.Q(agreed=True) | models.Q(decided=None, acts_alone__lte=now)
        return self.filter(acts, models.Q(until=None) | models.Q(until__gt=now))

    def waiting(self, now: datetime) -> "ApprovalQuerySet":
        alone = models.Q(acts_alone__lte=now)
        open_ones = self.filter(decided=None).exclude(alone)
        return open_ones.filter(models.Q(until=None) | models.Q(until__gt=now))

    def newest_first(self) -> "ApprovalQuerySet":
        return self.order_by("-id")


class Approval(models.Model):
    class State(StrEnum):
        WAITING = "waiting"
        AGREED = "agreed"
        ALONE = "acts without a second person"  # where there is none that could agree
        REFUSED = "refused"
        OVER = "over"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.TextField(help_text=_("what it is for, such as an API key"))
    target = models.TextField(help_text=_("the id of what it is for"))
    name = models.TextField(help_text=_("what it is for, in words"))
    content = models.TextField(help_text=_("JSON of exactly what is asked for; no messages"))
    digest = models.BinaryField(max_length=32)
    right = models.TextField(help_text=_("the right that the second person holds"))
    asked = models.DateTimeField(default=timezone.now)
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    acts_alone = models.DateTimeField(
        null=True, help_text=_("when it acts though nobody else could agree; empty: never")
    )
    until = models.DateTimeField(null=True, help_text=_("when it is over; empty: never"))
    decided = models.DateTimeField(null=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )
    agreed = models.BooleanField(null=True)

    objects = ApprovalQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        indexes = [models.Index("kind", "target", "id", name="approval_target")]
        constraints = [
            models.CheckConstraint(
                name="approval_is_decided_whole",
                condition=models.Q(decided=None, decided_by=None, agreed=None)
                | models.Q(decided__isnull=False, decided_by__isnull=False, agreed__isnull=False),
            ),
            models.CheckConstraint(
                name="approval_has_two_people",
                condition=~models.Q(agreed=True, decided_by=models.F("asked_by")),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def state_at(self, now: datetime) -> State:
        if self.decided and not self.agreed:
            return self.State.REFUSED
        if self.until and self.until <= now:
            return self.State.OVER
        if self.agreed:
            return self.State.AGREED
        if self.acts_alone and self.acts_alone <= now:
            return self.State.ALONE
        return self.State.WAITING

    @property
    def state(self) -> State:
        return self.state_at(timezone.now())

    def decide(self, decider: Any, *, agreed: bool) -> bool:
        """Save the decision. False, saving nothing, where it was decided meanwhile."""
        self.decided, self.decided_by = timezone.now(), decider
        self.agreed = agreed
        undecided = Approval.objects.filter(pk=self.pk, decided=None)
        return bool(
            undecided.update(decided=self.decided, decided_by=self.decided_by, agreed=agreed)
        )
