"""What one person spent on one model in one day (UTC). A roll-up, kept by the close of each call."""

from django.conf import settings
from django.db import models


class Usage(models.Model):
    pk = models.CompositePrimaryKey("day", "owner", "model")
    day = models.DateField()
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False)
    model = models.TextField()
    calls = models.IntegerField(db_default=0)
    failures = models.IntegerField(db_default=0)
    prompt_tokens = models.BigIntegerField(db_default=0)
    completion_tokens = models.BigIntegerField(db_default=0)
    cost = models.DecimalField(max_digits=16, decimal_places=8, db_default=0, help_text="US dollars")
