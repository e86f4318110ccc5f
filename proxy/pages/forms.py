"""The forms of the pages: a question with its model and parameters, and an API key of one's own."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from conversations import exact_json
from conversations.models import Snapshot
from conversations.shape import Json

from ..models import ApiKey, UseCase
from ..models import use_case as use_cases

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise


LONGEST = 1_000_000  # characters of a question
NO_MESSAGE = gettext_lazy("Write a question first.")


def number_field(
    label: "str | _StrPromise",
    least: int,
    most: int,
    hint: "str | _StrPromise",
    *,
    whole: bool = False,
) -> forms.IntegerField:
    """Make an optional field for a number from `least` to `most`."""
    kind = forms.IntegerField if whole else forms.FloatField
    errors = {
        "min_value": gettext_lazy("At least %(limit_value)s."),
        "max_value": gettext_lazy("At most %(limit_value)s."),
        "invalid": gettext_lazy("Enter a whole number.")
        if whole
        else gettext_lazy("Enter a number."),
    }
    widget = forms.NumberInput(attrs={"step": 1 if whole else "any"})
    return kind(
        label=label,
        min_value=least,
        max_value=most,
        required=False,
        help_text=hint,
        error_messages=errors,
        widget=widget,
    )


class UseCaseSelect(forms.Select):
    """A choice of use cases, each with its model for the page.

    With `kept`, the first choice is the use case that the conversation began with.
    """

    def __init__(self, offered: list[UseCase], kept: str = "") -> None:
        choices = [(str(use_case.pk), _describe(use_case)) for use_case in offered]
        if kept:
            choices.insert(0, ("", kept))
        super().__init__(choices=choices)
        self.models = {str(use_case.pk): use_case.model for use_case in offered}

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option = super().create_option(name, value, *args, **kwargs)
        if model := self.models.get(value):
            option["attrs"]["data-model"] = model
        return option


class AskForm(forms.Form):
    model = forms.CharField(
        max_length=200, error_messages={"required": gettext_lazy("Choose a model.")}
    )
    message = forms.CharField(
        max_length=LONGEST,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": gettext_lazy("Ask a question")}),
        error_messages={"required": NO_MESSAGE},
    )
    use_case = forms.CharField(required=False, max_length=20, widget=forms.Select)
    parent = forms.UUIDField(required=False, widget=forms.HiddenInput)
    temperature = number_field(
        gettext_lazy("Temperature"), 0, 2, gettext_lazy("0 to 2: lower is more predictable")
    )
    top_p = number_field(
        gettext_lazy("Top p"),
        0,
        1,
        gettext_lazy("0 to 1: how many of the likely words to choose from"),
    )
    presence_penalty = number_field(
        gettext_lazy("Presence penalty"),
        -2,
        2,
        gettext_lazy("−2 to 2: higher brings up new topics"),
    )
    frequency_penalty = number_field(
        gettext_lazy("Frequency penalty"), -2, 2, gettext_lazy("−2 to 2: higher repeats less")
    )
    max_tokens = number_field(
        gettext_lazy("Max tokens"),
        1,
        1_000_000,
        gettext_lazy("the answer is cut off at this length"),
        whole=True,
    )

    PARAMETERS = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "max_tokens")

    def __init__(self, *args: Any, models: list[str], **kwargs: Any) -> None:
        """Offer `models`; without any, the name is typed."""
        super().__init__(*args, **kwargs)
        self.use_cases = use_cases.list_offered()
        if not self.initial.get("model") and (preset := self._preset()) in models:
            self.initial["model"] = preset
        chosen = self.data.get("model") or self.initial.get("model")
        if models:
            offered = models if not chosen or chosen in models else [chosen, *models]
            self.fields["model"].widget = forms.Select(choices=[(name, name) for name in offered])
        else:
            self.fields["model"].help_text = _(
                "The list of models is not available right now: type the name of a model."
            )
        self.fields["use_case"].widget = UseCaseSelect(self.use_cases)

    def _preset(self) -> str:
        """Name the model of the use case that is chosen at the start."""
        chosen = self.initial.get("use_case")
        matches = [use_case for use_case in self.use_cases if use_case.pk == chosen]
        matches = matches or self.use_cases[:1]
        return matches[0].model if matches else ""

    def follow(self, call: Snapshot) -> None:
        """Choose the use case of this call; one that is not offered can be kept as it was."""
        matches = (use_case.pk for use_case in self.use_cases if use_case.name == call.use_case)
        self.initial["use_case"] = next(matches, "")
        if self.initial["use_case"]:
            return
        kept = call.use_case or (
            _("Custom instructions of this conversation") if call.preamble_id else _("No use case")
        )
        self.fields["use_case"].widget = UseCaseSelect(self.use_cases, kept)

    def clean_use_case(self) -> UseCase | None:
        """Find the use case; None is the one that the conversation began with."""
        chosen = self.cleaned_data["use_case"]
        use_case = next((case for case in self.use_cases if str(case.pk) == chosen), None)
        if chosen and not use_case:
            raise forms.ValidationError(_("This use case is no longer offered. Choose another."))
        return use_case

    def clean_message(self) -> str:
        text = self.cleaned_data["message"].replace("\r\n", "\n")
        if not text.strip():
            raise forms.ValidationError(NO_MESSAGE)
        return text

    @property
    def params(self) -> Json:
        """The parameters that were filled in, as the API names them."""
        return {
            name: value
            for name in self.PARAMETERS
            if (value := self.cleaned_data[name]) is not None
        }

    @property
    def parameters(self) -> list[forms.BoundField]:
        return [self[name] for name in self.PARAMETERS]

    @property
    def parameters_in_use(self) -> bool:
        return any(
            self[name].value() not in (None, "") or self[name].errors for name in self.PARAMETERS
        )

    @classmethod
    def initial_of(cls, model: str, params: str) -> Json:
        """Make the form's first values from a call's model and parameters."""
        values = exact_json.loads(params)
        numbers = {
            name: values[name] for name in cls.PARAMETERS if type(values.get(name)) in (int, float)
        }
        return {"model": model} | numbers


def _describe(use_case: UseCase) -> str:
    return f"{use_case.name}: {use_case.description}" if use_case.description else use_case.name


class KeyForm(forms.Form):
    """A new key for one's own calls; scopes that reach beyond these are given in the admin only."""

    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=100,
        help_text=gettext_lazy("Where you will use it, such as “notebook on my laptop”"),
        error_messages={"required": gettext_lazy("Give the key a name.")},
    )
    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("Permissions"),
        widget=forms.CheckboxSelectMultiple,
        initial=[ApiKey.Scope.CHAT],
        error_messages={"required": gettext_lazy("Choose at least one permission.")},
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        most = settings.API_KEY_MAX_DAYS
        offered = [(scope.value, scope.label.capitalize()) for scope in ApiKey.OWN_SCOPES]
        self.fields["scopes"].choices = offered  # type: ignore[attr-defined]
        hint = _("at most %(days)s") % {"days": most}
        days = number_field(_("Days until it expires"), 1, most, hint, whole=True)
        days.required, days.initial = True, min(90, most)
        self.fields["days"] = days

    @property
    def key_fields(self) -> dict[str, Any]:
        """The new key's fields, for ApiKey.make."""
        values = self.cleaned_data
        return {
            "name": values["name"],
            "scopes": values["scopes"],
            "expires": timezone.now() + timedelta(days=values["days"]),
        }
