"""Upstreams, the models that people know by name, and the routes between the two.

While there is no Model, every name passes to what the environment sets. As soon as there is one,
these rows say what may be used. proxy.upstreams.routing reads them every few seconds. Credentials
are in the environment; a row only names one.
"""

from django.contrib.auth.models import Group
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from .. import addresses, credentials
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
        max_length=40, choices=kinds, default="openai", help_text=_("The API that it offers.")
    )
    label = models.CharField(
        max_length=40,
        blank=True,
        help_text=_("The provider's name in the record, such as OPEN_AI. Empty: the name above."),
    )
    base_url = models.CharField(
        _("address"),
        max_length=500,
        help_text=_(
            "Root of the API, such as https://api.openai.com/v1. "
            "Plain http is allowed for hosts in UPSTREAM_HTTP_HOSTS only."
        ),
    )
    secret = models.CharField(
        _("credential"),
        max_length=100,
        blank=True,
        help_text=_(
            "The environment variable that holds it, one of UPSTREAM_SECRETS. "
            "The value itself is never stored here."
        ),
    )
    api_version = models.CharField(
        _("API version"),
        max_length=40,
        blank=True,
        help_text=_("For Azure only, such as 2024-10-21."),
    )
    region = models.CharField(
        max_length=40,
        blank=True,
        help_text=_("For SageMaker only, if the address does not contain it."),
    )
    first_byte = models.FloatField(
        null=True,
        blank=True,
        validators=POSITIVE,
        help_text=_("Longest wait for the first byte, in seconds. Empty: LLM_TIMEOUT."),
    )
    silence = models.FloatField(
        _("longest silence"),
        null=True,
        blank=True,
        validators=POSITIVE,
        help_text=_("Longest silence during an answer, in seconds. Empty: LLM_STREAM_TIMEOUT."),
    )
    longest = models.FloatField(
        _("longest call"),
        null=True,
        blank=True,
        validators=POSITIVE,
        help_text=_("Longest call including all tries, in seconds. Empty: LLM_LONGEST_CALL."),
    )
    most_open = models.PositiveIntegerField(
        _("open calls"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("The most calls that each web process has open at once. Empty: no limit."),
    )
    no_stream_options = models.BooleanField(
        _("leave out stream_options"),
        default=False,
        db_default=False,
        help_text=_(
            "Do not ask this upstream to count the tokens of streams. For servers that refuse "
            "stream_options; tokens are then estimated."
        ),
    )
    enabled = models.BooleanField(default=True, help_text=_("Calls may be sent to this upstream."))

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        self.base_url = self.base_url.strip()
        if objection := addresses.find_objection_resolved(self.base_url):
            raise ValidationError({"base_url": objection})
        if objection := self.objection_to_secret:
            raise ValidationError({"secret": objection})

    @property
    def objection_to_secret(self) -> str:
        """Why the credential may not be used at this address; empty if it may."""
        return credentials.find_objection(self.secret, self.base_url)

    @property
    def recorded_name(self) -> str:
        return self.label or self.name


class ModelQuerySet(models.QuerySet["Model"]):
    def with_routes(self) -> "ModelQuerySet":
        routes = models.Prefetch(
            "routes", Route.objects.select_related("upstream").order_by("order", "id")
        )
        return self.prefetch_related(routes, "groups").order_by("name")


class Model(models.Model):
    """A model by the name that people and programs use."""

    class Capability(models.TextChoices):
        CHAT = "chat", _("Chat completions")
        IMAGES = "images", _("Images")
        EMBEDDINGS = "embeddings", _("Embeddings")

        @classmethod
        def for_endpoint(cls, endpoint: Endpoint) -> "Model.Capability":
            return {Endpoint.CHAT: cls.CHAT, Endpoint.EMBEDDINGS: cls.EMBEDDINGS}.get(
                endpoint, cls.IMAGES
            )

    name = models.CharField(
        max_length=200, unique=True, help_text=_("The name that people and programs use.")
    )
    capabilities = ArrayField(
        models.CharField(max_length=20, choices=Capability), default=default_capabilities
    )
    groups = models.ManyToManyField(
        Group,
        blank=True,
        help_text=_(
            "Groups that may use this model; it does not exist for anyone else. "
            "None selected: everyone may use it."
        ),
    )
    offered = models.BooleanField(
        _("on the pages"),
        default=True,
        help_text=_("The gateway's own pages offer it. Programs may use it in any case."),
    )
    enabled = models.BooleanField(default=True, help_text=_("It may be used."))
    made = models.DateTimeField(auto_now_add=True)

    objects = ModelQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name


class Route(models.Model):
    """An upstream that serves a model.

    Routes are tried in order: the next one when one fails before its first byte.
    """

    model = models.ForeignKey(Model, models.CASCADE, related_name="routes")
    order = models.PositiveSmallIntegerField(default=1, help_text=_("1 is tried first."))
    upstream = models.ForeignKey(
        Upstream,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="routes",
        help_text=_("Empty: LLM_ENDPOINT from the environment."),
    )
    upstream_model = models.CharField(
        _("name at the upstream"), max_length=200, blank=True, help_text=_("Empty: the same name.")
    )
    prompt_price = models.DecimalField(
        _("input price"),
        max_digits=12,
        decimal_places=6,
        null=True,
        blank=True,
        validators=NOT_NEGATIVE,
        help_text=_("US$ per million tokens. Empty: list price."),
    )
    completion_price = models.DecimalField(
        _("output price"),
        max_digits=12,
        decimal_places=6,
        null=True,
        blank=True,
        validators=NOT_NEGATIVE,
        help_text=_("US$ per million tokens. Empty: list price."),
    )

    class Meta:
        ordering = ("order", "id")

    def __str__(self) -> str:
        name = self.upstream.name if self.upstream else "LLM_ENDPOINT"
        return f"{name} ({self.upstream_model})" if self.upstream_model else name
