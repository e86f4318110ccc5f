"""What one person spent on one model in one day (UTC), added up by the close of each call."""

from datetime import UTC, datetime
from decimal import Decimal

from django.conf import settings
from django.db import models

from .user import User


class UsageQuerySet(models.QuerySet["Usage"]):
    def cost_this_month(self, owner: User) -> Decimal:
        """Return the US dollars since the first of the month, in UTC."""
        first = datetime.now(UTC).date().replace(day=1)
        days = self.filter(owner=owner, day__gte=first)
        return days.aggregate(cost=models.Sum("cost"))["cost"] or Decimal(0)


class Usage(models.Model):
    pk = models.CompositePrimaryKey("day", "owner", "model")
    day = models.DateField()
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False
    )
    model = models.TextField()
    calls = models.IntegerField(db_default=0)
    failures = models.IntegerField(db_default=0)
    prompt_tokens = models.BigIntegerField(db_default=0)
    completion_tokens = models.BigIntegerField(db_default=0)
    cost = models.DecimalField(
        max_digits=16, decimal_places=8, db_default=0, help_text="US dollars"
    )

    objects = UsageQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["owner", "day"], name="usage_of_owner")]


class EndUserUsage(models.Model):
    """What a shared key spent for one end user: a part of its account's Usage.

    Added up as calls are sealed, so it lags by seconds.
    """

    pk = models.CompositePrimaryKey("day", "owner", "end_user", "model")
    day = models.DateField()
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False
    )
    end_user = models.TextField()
    model = models.TextField()
    calls = models.IntegerField(db_default=0)
    failures = models.IntegerField(db_default=0)
    prompt_tokens = models.BigIntegerField(db_default=0)
    completion_tokens = models.BigIntegerField(db_default=0)
    cost = models.DecimalField(
        max_digits=16, decimal_places=8, db_default=0, help_text="US dollars"
    )
