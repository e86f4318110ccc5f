"""What people fill in: a question (what to send, to which model, with which parameters) and an API key of their own."""

from datetime import timedelta
from typing import Any

import orjson
from django import forms
from django.conf import settings
from django.utils import timezone

from conversations.models import Snapshot
from conversations.shape import Json

from ..models import ApiKey, UseCase
from ..models import use_case as cases

LONGEST = 1_000_000  # characters of a question
NOTHING = "Write a question first."


def number(
    label: str, least: int, most: int, hint: str, *, whole: bool = False
) -> forms.IntegerField:
    kind = forms.IntegerField if whole else forms.FloatField
    errors = {
        "min_value": "At least %(limit_value)s.",
        "max_value": "At most %(limit_value)s.",
        "invalid": "Write a whole number." if whole else "Write a number.",
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


class UseCases(forms.Select):
    """Each tells the page which model goes with it. What a conversation began with can be kept, if that is `kept`."""

    def __init__(self, offered: list[UseCase], kept: str = "") -> None:
        super().__init__(
            choices=[("", kept)] * bool(kept)
            + [(str(use_case.pk), _described(use_case)) for use_case in offered]
        )
        self.models = {str(use_case.pk): use_case.model for use_case in offered}

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option = super().create_option(name, value, *args, **kwargs)
        if model := self.models.get(value):
            option["attrs"]["data-model"] = model
        return option


class AskForm(forms.Form):
    model = forms.CharField(max_length=200, error_messages={"required": "Choose a model."})
    message = forms.CharField(
        max_length=LONGEST,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 3, "placeholder": "Ask a question"}),
        error_messages={"required": NOTHING},
    )
    use_case = forms.CharField(required=False, max_length=20, widget=forms.Select)
    parent = forms.UUIDField(required=False, widget=forms.HiddenInput)
    temperature = number("Temperature", 0, 2, "0 to 2: lower is more predictable")
    top_p = number("Top p", 0, 1, "0 to 1: how many of the likely words to choose from")
    presence_penalty = number("Presence penalty", -2, 2, "−2 to 2: higher brings new subjects")
    frequency_penalty = number("Frequency penalty", -2, 2, "−2 to 2: higher repeats less")
    max_tokens = number("Max tokens", 1, 1_000_000, "where the answer is cut off", whole=True)

    PARAMETERS = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "max_tokens")

    def __init__(self, *args: Any, models: list[str], **kwargs: Any) -> None:
        """With no models to choose from, the name is typed."""
        super().__init__(*args, **kwargs)
        self.use_cases = cases.list_offered()
        if not self.initial.get("model") and (preset := self._preset()) in models:
            self.initial["model"] = preset
        chosen = self.data.get("model") or self.initial.get("model")
        if models:
            offered = models if not chosen or chosen in models else [chosen, *models]
            self.fields["model"].widget = forms.Select(choices=[(name, name) for name in offered])
        else:
            self.fields["model"].help_text = "The models cannot be listed now: type a name."
        self.fields["use_case"].widget = UseCases(self.use_cases)

    def _preset(self) -> str:
        """The model of the use case that is chosen at the start."""
        chosen = [
            use_case for use_case in self.use_cases if use_case.pk == self.initial.get("use_case")
        ] or self.use_cases[:1]
        return chosen[0].model if chosen else ""

    def follow(self, call: Snapshot) -> None:
        """The use case of this call is chosen; where it is none of those offered, it can be kept as it was."""
        self.initial["use_case"] = next(
            (use_case.pk for use_case in self.use_cases if use_case.name == call.use_case), ""
        )
        if not self.initial["use_case"]:
            kept = call.use_case or ("Its own system prompt" if call.preamble_id else "No use case")
            self.fields["use_case"].widget = UseCases(self.use_cases, kept)

    def clean_use_case(self) -> UseCase | None:
        """None: what the conversation began with."""
        chosen = self.cleaned_data["use_case"]
        found = next((use_case for use_case in self.use_cases if str(use_case.pk) == chosen), None)
        if chosen and not found:
            raise forms.ValidationError("This use case is no longer offered. Choose another.")
        return found

    def clean_message(self) -> str:
        text = self.cleaned_data["message"].replace("\r\n", "\n")
        if not text.strip():
            raise forms.ValidationError(NOTHING)
        return text

    @property
    def params(self) -> Json:
        """Those that were filled in."""
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
    def as_asked(cls, model: str, params: str) -> Json:
        """What a call was asked with, as the form's first values."""
        given = orjson.loads(params)
        kept = {
            name: given[name] for name in cls.PARAMETERS if type(given.get(name)) in (int, float)
        }
        return {"model": model} | kept


def _described(use_case: UseCase) -> str:
    return f"{use_case.name}: {use_case.description}" if use_case.description else use_case.name


class KeyForm(forms.Form):
    """Scopes that reach beyond one's own calls are given in the admin only."""

    name = forms.CharField(
        max_length=100,
        help_text="What will use it, such as “notebook on my laptop”",
        error_messages={"required": "Give the key a name."},
    )
    scopes = forms.MultipleChoiceField(
        label="It may call",
        widget=forms.CheckboxSelectMultiple,
        initial=[ApiKey.Scope.CHAT],
        error_messages={"required": "Choose what it may call."},
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        most = settings.API_KEY_MAX_DAYS
        own = (ApiKey.Scope.CHAT, ApiKey.Scope.IMAGES, ApiKey.Scope.EMBEDDINGS)
        self.fields["scopes"].choices = [(scope.value, scope.label.capitalize()) for scope in own]  # type: ignore[attr-defined]
        self.fields["days"] = number(
            "Days until it expires", 1, most, f"{most} at most", whole=True
        )
        self.fields["days"].required, self.fields["days"].initial = True, min(90, most)

    @property
    def fields_of_key(self) -> dict[str, Any]:
        given = self.cleaned_data
        return {
            "name": given["name"],
            "scopes": given["scopes"],
            "expires": timezone.now() + timedelta(days=given["days"]),
        }
