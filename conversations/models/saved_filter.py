"""A filter of the review desk that a reviewer keeps under a name, alone.

Only the filter is kept: what it finds is looked up each time.
"""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import ProhibitNullCharactersValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class SavedFilter(models.Model):
    MOST = 50  # of one reader and one list

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False
    )
    page = models.TextField(help_text="the list, by the name of its model")
    name = models.CharField(max_length=100, validators=[ProhibitNullCharactersValidator()])
    query = models.CharField(
        blank=True, max_length=4000, help_text="the form's fields, as a query string"
    )
    made = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint("owner", "page", "name", name="saved_filter_name")]

    def __str__(self) -> str:
        return f"saved filter {self.pk}"

    def keep(self) -> None:
        """Save it in place of one of the same name.

        Raises ValidationError, whose texts are fit to show.
        """
        self.clean_fields(exclude=["owner"])
        kept = SavedFilter.objects.filter(owner=self.owner_id, page=self.page)
        if not kept.filter(name=self.name).delete()[0] and kept.count() >= self.MOST:
            raise ValidationError(
                _("You can keep at most %(most)s filters. Delete one first."),
                params={"most": self.MOST},
            )
        self.save()
