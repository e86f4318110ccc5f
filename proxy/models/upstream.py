"""What may be asked, and where it is sent: upstreams, the models that people know by name, and the routes between the two.

While there is no Model, every name passes to what the environment sets. As soon as there is one, these rows say what may be used.
proxy.upstreams.routing reads them every few seconds. Credentials are in the environment; a row only names one.
"""

from django.conf import settings
from django.contrib.auth.models import Group
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models

from .. import addresses
from ..providers.base import Endpoint
from ..providers.kinds import KINDS

POSITIVE = [MinValueValidator(0.1)]
NOT_NEGATIVE = [MinValueValidator(0)]


def kinds() -> list[tuple[str, str]]:
    return [(name, kind.LABEL) for name, kind in KINDS.items()]


def default_capabilities() -> list[str]:
    return [Model.Capability.CHAT]


class Upstream(models.Model):
    name = models.CharField(max_length=60, unique=True)
    kind = models.CharField(
        max_length=40, choices=kinds, default="openai", help_text="what it speaks"
    )
    label = models.CharField(
        max_length=40,
        blank=True,
        help_text="the provider's name in the record, such as OPEN_AI; empty: the name",
    )
    base_url = models.CharField(
        "address",
        max_length=500,
        help_text="the root of its API, such as https://api.openai.com/v1; https, or http to a host of UPSTREAM_HTTP_HOSTS",
    )
    secret = models.CharField(
        "credential",
        max_length=100,
        blank=True,
        help_text="the environment variable that holds it, one of UPSTREAM_SECRETS; the value is never stored here",
    )
    api_version = models.CharField(
        "API version", max_length=40, blank=True, help_text="Azure's, such as 2024-10-21"
    )
    region = models.CharField(
        max_length=40, blank=True, help_text="SageMaker's, where the address does not say it"
    )
    first_byte = models.FloatField(
        null=True,
        blank=True,
        validators=POSITIVE,
        help_text="seconds to its first byte; empty: LLM_TIMEOUT",
    )
    silence = models.FloatField(
        null=True,
        blank=True,
        validators=POSITIVE,
        help_text="seconds of silence in an answer; empty: LLM_STREAM_TIMEOUT",
    )
    longest = models.FloatField(
        null=True,
        blank=True,
        validators=POSITIVE,
        help_text="seconds of a whole call, every try counted; empty: LLM_LONGEST_CALL",
    )
    most_open = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="calls that each web process has open there at a time; empty: any number",
    )
    enabled = models.BooleanField(default=True, help_text="whether calls are sent there")

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        self.base_url = self.base_url.strip()
        if said := addresses.find_objection_resolved(self.base_url):
            raise ValidationError({"base_url": said})
        if said := self.objection_to_secret:
            raise ValidationError({"secret": said})

    @property
    def objection_to_secret(self) -> str:
        """Empty: it is one that may be used."""
        if not self.secret or self.secret in settings.UPSTREAM_SECRETS:
            return ""
        return "UPSTREAM_SECRETS does not name this variable, so it is no credential."

    @property
    def in_record(self) -> str:
        return self.label or self.name


class ModelQuerySet(models.QuerySet["Model"]):
    def with_routes(self) -> "ModelQuerySet":
        routes = models.Prefetch(
            "routes", Route.objects.select_related("upstream").order_by("order", "id")
        )
        return self.prefetch_related(routes, "groups").order_by("name")


class Model(models.Model):
    class Capability(models.TextChoices):
        CHAT = "chat", "chat completions"
        IMAGES = "images", "images"
        EMBEDDINGS = "embeddings", "embeddings"

        @classmethod
        def of(cls, endpoint: Endpoint) -> "Model.Capability":
            return {Endpoint.CHAT: cls.CHAT, Endpoint.EMBEDDINGS: cls.EMBEDDINGS}.get(
                endpoint, cls.IMAGES
            )

    name = models.CharField(
        max_length=200, unique=True, help_text="what people and programs call it"
    )
    capabilities = ArrayField(
        models.CharField(max_length=20, choices=Capability), default=default_capabilities
    )
    groups = models.ManyToManyField(
        Group,
        blank=True,
        help_text="who may use it; nobody chosen: everyone. For all others it does not exist",
    )
    offered = models.BooleanField(
        "on the pages",
        default=True,
        help_text="whether the gateway's own pages offer it; programs may use it either way",
    )
    enabled = models.BooleanField(default=True, help_text="whether it may be used at all")
    made = models.DateTimeField(auto_now_add=True)

    objects = ModelQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name


class Route(models.Model):
    """One place where a model is found. The first by order is asked; the next where the one before fails before its first byte."""

    model = models.ForeignKey(Model, models.CASCADE, related_name="routes")
    order = models.PositiveSmallIntegerField(default=1, help_text="1 is asked first")
    upstream = models.ForeignKey(
        Upstream,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="routes",
        help_text="empty: LLM_ENDPOINT of the environment",
    )
    upstream_model = models.CharField(
        "its name there", max_length=200, blank=True, help_text="empty: the same"
    )
    prompt_price = models.DecimalField(
        "price of input",
        max_digits=12,
        decimal_places=6,
        null=True,
        blank=True,
        validators=NOT_NEGATIVE,
        help_text="US$ a million tokens; empty: list price",
    )
    completion_price = models.DecimalField(
        "price of output",
        max_digits=12,
        decimal_places=6,
        null=True,
        blank=True,
        validators=NOT_NEGATIVE,
        help_text="US$ a million tokens; empty: list price",
    )

    class Meta:
        ordering = ("order", "id")

    def __str__(self) -> str:
        there = f" ({self.upstream_model})" if self.upstream_model else ""
        return f"{self.upstream.name if self.upstream else 'LLM_ENDPOINT'}{there}"
