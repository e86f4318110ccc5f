"""The people whose calls are recorded, and the secret that ties a person's messages together."""

from django.contrib.auth.models import AbstractUser, AnonymousUser
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

MADE_UP = "generated:"  # begins the external id of each account of a made-up year


class User(AbstractUser):
    """An employee, a reviewer, or, where it was declared one, a service account."""

    job_title = models.CharField(max_length=150, blank=True, db_default="")
    department = models.CharField(max_length=150, blank=True, db_default="")
    external_id = models.CharField(
        max_length=200,
        blank=True,
        db_default="",
        help_text="the person's id in the company's directory",
    )
    is_service = models.BooleanField(
        _("service account"),
        default=False,
        db_default=False,
        help_text=_(
            "A program's account, with no person behind it: keys made for it work at once, and it "
            "agrees to nothing as a second person. Chosen when the account is made; it can be "
            "taken back, and not given later."
        ),
    )
    time_zone = models.CharField(
        max_length=64, blank=True, db_default="", help_text="such as Europe/Berlin; empty means UTC"
    )
    reviews_departments = ArrayField(
        models.CharField(max_length=150),
        blank=True,
        default=list,
        db_default=[],
        help_text=_(
            "One department per line. A reviewer reads only the conversations of "
            "people in these departments; leave empty for all."
        ),
    )

    class Meta(AbstractUser.Meta):  # type: ignore[name-defined]
        # People are found by their names wherever an end user is, however these are written.
        indexes = [
            models.Index(Lower("username"), name="user_username_folded"),
            models.Index(Lower("email"), name="user_email_folded"),
            models.Index(Lower("external_id"), name="user_external_id_folded"),
        ]


AnyUser = User | AnonymousUser  # as a request has it; pages and queries are for the first only


class ThreadSeed(models.Model):
    """The key of an owner's path hashes.

    Erasure destroys it: the hashes that are left then tell nothing.
    """

    owner = models.OneToOneField(User, models.CASCADE, primary_key=True, related_name="+")
    seed = models.BinaryField(max_length=32)
