"""The people whose calls are recorded, and the secret that ties a person's messages together."""

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.db import models


class User(AbstractUser):
    """An employee, a reviewer, or (without a usable password) a service account."""

    job_title = models.CharField(max_length=150, blank=True, db_default="")
    department = models.CharField(max_length=150, blank=True, db_default="")
    external_id = models.CharField(
        max_length=200,
        blank=True,
        db_default="",
        help_text="the person's id in the company's directory",
    )
    time_zone = models.CharField(
        max_length=64, blank=True, db_default="", help_text="such as Europe/Berlin; empty means UTC"
    )
    reviews_departments = ArrayField(
        models.CharField(max_length=150),
        blank=True,
        default=list,
        db_default=[],
        help_text="one a line: a reviewer reads conversations of their people only; empty: of everybody",
    )


class ThreadSeed(models.Model):
    """The key of an owner's path hashes. Destroyed on erasure: what is left of the hashes then says nothing."""

    owner = models.OneToOneField(User, models.CASCADE, primary_key=True, related_name="+")
    seed = models.BinaryField(max_length=32)
