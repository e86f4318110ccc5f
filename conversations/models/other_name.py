"""Other names of people: one person may have several accounts, and be the end user of shared keys.

An end user's name is what the key's owner claims: the worker writes it down when it first comes,
and the account is one that an admin named for it, if any. A second account is joined by an admin.
"""

import unicodedata

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower, Trim
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


def folded(name: str) -> str:
    """Fold a name as end users are compared with people: case, blanks around it, spelling."""
    return unicodedata.normalize("NFKC", name).strip(" ").lower()


class Normalized(models.Func):
    template = "normalize(%(expressions)s, NFKC)"


def folded_column(column: str) -> Lower:
    """`folded` of a column, in the database."""
    return Lower(Trim(Normalized(column)))


class OtherNameQuerySet(models.QuerySet["OtherName"]):
    def end_users(self) -> "OtherNameQuerySet":
        return self.filter(kind=OtherName.Kind.END_USER)

    def beginning(self, text: str) -> "OtherNameQuerySet":
        """Return the end users whose names begin so."""
        named = self.end_users().alias(folded=folded_column("name"))
        return named.filter(folded__startswith=folded(text))


class OtherName(models.Model):
    class Kind(models.TextChoices):
        END_USER = "end_user", _("end user of a shared key")
        ACCOUNT = "account", _("second account")

    kind = models.TextField(choices=Kind)
    account = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="+",
        db_index=False,
        help_text=_("the account whose shared key gives the name; or the second account"),
    )
    name = models.TextField(
        blank=True,
        db_default="",
        help_text=_("the end user as the shared key names them; empty for a second account"),
    )
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text=_("the account of the person; empty: the account whose name this is, if any"),
    )
    made = models.DateTimeField(default=timezone.now, editable=False)

    objects = OtherNameQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(folded_column("name"), name="other_name_folded"),
        ]
        constraints = [
            models.UniqueConstraint(
                "account",
                "name",
                name="other_name_of_end_user",
                condition=models.Q(kind="end_user"),
                violation_error_message=_("This end user is listed already."),
            ),
            models.UniqueConstraint(
                "account",
                "person",
                name="other_name_of_account",
                condition=models.Q(kind="account"),
                violation_error_message=_("These accounts are joined already."),
            ),
            models.CheckConstraint(
                name="other_name_is_of_its_kind",
                condition=models.Q(kind="end_user") & ~models.Q(name="")
                | models.Q(kind="account", name="", person__isnull=False)
                & ~models.Q(account=models.F("person")),
            ),
        ]

    def __str__(self) -> str:
        if self.kind == self.Kind.ACCOUNT:
            return f"{self.account}, {self.get_kind_display()} of {self.person}"
        named = f": {self.person}" if self.person else ""
        return f"{self.name}, {self.get_kind_display()} of {self.account}{named}"
