"""The usage policy, and who accepted which version of it.

A published version never changes; what is new is the next version.
"""

from typing import cast

from django.conf import settings
from django.db import models, transaction
from django.utils import timezone

from .user import AnyUser, User


class UsagePolicyQuerySet(models.QuerySet["UsagePolicy"]):
    def published(self) -> "UsagePolicyQuerySet":
        return self.filter(version__isnull=False)

    def current(self) -> "UsagePolicy | None":
        return self.published().order_by("-version").first()

    def awaiting(self, user: AnyUser) -> "UsagePolicy | None":
        """Return the current version, without its text, if this person has not accepted it."""
        accepted = models.Exists(
            PolicyAcceptance.objects.filter(policy=models.OuterRef("pk"), user=cast(User, user))
        )
        current = self.annotate(accepted=accepted).defer("text").current()
        return current if current and not current.accepted else None  # type: ignore[attr-defined]


class UsagePolicy(models.Model):
    """A draft until it is published; then it has a version, and all are asked to accept it."""

    version = models.PositiveIntegerField(unique=True, null=True, editable=False)
    text = models.TextField(help_text="Markdown")
    published = models.DateTimeField(null=True, editable=False)

    objects = UsagePolicyQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "usage policies"

    def __str__(self) -> str:
        return f"version {self.version}" if self.version else "draft"

    def publish(self) -> None:
        """Publish it as the next version. Nothing happens to one that is published already."""
        with transaction.atomic():
            newest = (
                UsagePolicy.objects.published().select_for_update().order_by("-version").first()
            )
            if not self.version:
                self.version = (newest.version or 0) + 1 if newest else 1
                self.published = timezone.now()
                self.save()

    def accept(self, user: User) -> None:
        """Accept it once, however often this is called."""
        PolicyAcceptance.objects.get_or_create(user=user, policy=self)

    def accepted_by(self, user: AnyUser) -> "PolicyAcceptance | None":
        return self.acceptances.filter(user=cast(User, user)).first()


class PolicyAcceptance(models.Model):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    policy = models.ForeignKey(UsagePolicy, models.PROTECT, related_name="acceptances")
    accepted = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint("user", "policy", name="policy_acceptance_once")]

    def __str__(self) -> str:
        return f"{self.user} accepted {self.policy}"
