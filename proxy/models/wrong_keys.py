"""How many wrong API keys came from each address, until the audit trail is told."""

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class WrongKeys(models.Model):
    """Those of one address since the first of them; proxy.wrong_keys alone writes it.

    A row lives for an hour, and the rows are few, whatever number of addresses there is.
    """

    address = models.TextField(primary_key=True, help_text=_("Of IPv6 the network."))
    since = models.DateTimeField(db_default=Now())
    count = models.BigIntegerField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.count} from {self.address}"
