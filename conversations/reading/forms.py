"""The forms for a person's own conversations: another title, and a search."""

from collections.abc import Iterator
from datetime import date, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..ids import first_id_of
from ..models import Snapshot, User
from ..search.find import Scope
from ..search.query import LONGEST

RECENT_CALLS = 1000  # of a person, whose models and use cases are offered
ID_RANGE = [
    MinValueValidator(date(1970, 1, 2), gettext_lazy("This date is too far in the past.")),
    MaxValueValidator(date(9000, 1, 1), gettext_lazy("This date is too far in the future.")),
]


class RenameForm(forms.Form):
    title = forms.CharField(
        label=gettext_lazy("Title"),
        max_length=200,
        error_messages={"required": gettext_lazy("Give the conversation a title.")},
    )


class HistoryForm(forms.Form):
    """Bound to a query string; days are those of the person's time zone.

    A conversation matches if a single call of it fits all fields together.
    """

    q = forms.CharField(required=False, max_length=LONGEST)
    model = forms.CharField(
        label=gettext_lazy("Model"), required=False, max_length=500, widget=forms.Select
    )
    use_case = forms.CharField(
        label=gettext_lazy("Use case"), required=False, max_length=500, widget=forms.Select
    )
    since = forms.DateField(label=gettext_lazy("From"), required=False, validators=ID_RANGE)
    until = forms.DateField(label=gettext_lazy("To"), required=False, validators=ID_RANGE)

    FILTER = ("model", "use_case", "since", "until")

    def __init__(self, query: QueryDict, owner: User) -> None:
        data = {
            name: " ".join(query.get(name, "").replace("\0", " ").split())
            for name in self.base_fields
        }
        data["q"] = data["q"][:LONGEST]
        super().__init__(data, label_suffix="")
        calls = Snapshot.objects.filter(owner=owner, conversation__isnull=False).order_by("-id")
        recent = list(calls.values_list("model", "use_case")[:RECENT_CALLS])
        for column, name in enumerate(("model", "use_case")):
            values = sorted({data[name], *(call[column] for call in recent)} - {""})
            choices = [("", _("Any")), *((value, value) for value in values)]
            self.fields[name].widget.choices = choices  # type: ignore[attr-defined]
        for name in ("since", "until"):
            self.fields[name].widget = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
            self.fields[name].error_messages["invalid"] = _(
                "“%(text)s” is not a valid date. Enter it as %(today)s."
            ) % {"text": data[name][:40], "today": f"{timezone.localdate():%Y-%m-%d}"}

    def clean(self) -> None:
        since, until = self.cleaned_data.get("since"), self.cleaned_data.get("until")
        if since and until and since > until:
            self.add_error("until", _("This date is before the first one."))

    @property
    def words(self) -> str:
        return self.data["q"]

    @property
    def parameters(self) -> dict[str, str]:
        """The fields that were filled in, as an address carries them."""
        return {name: value for name, value in self.data.items() if value}

    @property
    def filtered(self) -> bool:
        return any(self.data[name] for name in self.FILTER)

    @property
    def filters(self) -> list[forms.BoundField]:
        return [self[name] for name in self.FILTER]

    @cached_property
    def calls(self) -> dict[str, Any]:
        """Conditions on a call, for ConversationQuerySet.with_call."""
        return dict(self._calls())

    def scope(self, owner: int, before: UUID | None) -> Scope:
        """The filter as the index of words knows it: of this owner, older than a conversation."""
        calls = self.calls
        return Scope(
            since=calls.get("id__gte"),
            until=calls.get("id__lt"),
            owners=[owner],
            columns={name: calls[name] for name in ("model", "use_case") if name in calls},
            before=before,
            for_owner=True,
        )

    def _calls(self) -> Iterator[tuple[str, Any]]:
        for name in ("model", "use_case"):
            if value := self.cleaned_data[name]:
                yield name, value
        if since := self.cleaned_data["since"]:
            yield "id__gte", first_id_of(since)
        if until := self.cleaned_data["until"]:
            yield "id__lt", first_id_of(until + timedelta(days=1))
