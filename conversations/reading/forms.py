"""What people ask of their own conversations: another title, and those that they look for."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils import timezone

from ..ids import make_id
from ..models import Snapshot
from ..search.index import TERM

KNOWN = 1000  # of the newest calls, whose models and use cases are offered
IN_AN_ID = [
    MinValueValidator(date(1970, 1, 2), "Too long ago."),
    MaxValueValidator(date(9000, 1, 1), "Too far ahead."),
]


class RenameForm(forms.Form):
    title = forms.CharField(
        max_length=200, error_messages={"required": "Give the conversation a title."}
    )


class HistoryForm(forms.Form):
    """Bound to a query string. A conversation is meant if a single call of it fits all that was chosen; days are the viewer's."""

    q = forms.CharField(required=False, max_length=TERM)
    model = forms.CharField(required=False, max_length=500, widget=forms.Select)
    use_case = forms.CharField(
        label="Use case", required=False, max_length=500, widget=forms.Select
    )
    since = forms.DateField(label="From", required=False, validators=IN_AN_ID)
    until = forms.DateField(label="To", required=False, validators=IN_AN_ID)

    FILTER = ("model", "use_case", "since", "until")

    def __init__(self, query, owner) -> None:
        data = {
            name: " ".join(query.get(name, "").replace("\0", " ").split())
            for name in self.base_fields
        }
        data["q"] = data["q"][:TERM]
        super().__init__(data, label_suffix="")
        calls = Snapshot.objects.filter(owner=owner, conversation__isnull=False).order_by("-id")
        known = list(calls.values_list("model", "use_case")[:KNOWN])
        for place, name in enumerate(("model", "use_case")):
            values = sorted({data[name], *(call[place] for call in known)} - {""})
            self.fields[name].widget.choices = [("", "Any"), *((value, value) for value in values)]  # type: ignore[attr-defined]
        for name in ("since", "until"):
            self.fields[name].widget = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
            self.fields[name].error_messages["invalid"] = (
                f"“{data[name][:40]}” is no day. Write one as {timezone.localdate():%Y-%m-%d}."
            )

    def clean(self) -> None:
        since, until = self.cleaned_data.get("since"), self.cleaned_data.get("until")
        if since and until and since > until:
            self.add_error("until", "This is before the first day.")

    @property
    def words(self) -> str:
        return self.data["q"]

    @property
    def given(self) -> dict[str, str]:
        """What was filled in, as it stands in an address."""
        return {name: value for name, value in self.data.items() if value}

    @property
    def filtered(self) -> bool:
        return any(self.data[name] for name in self.FILTER)

    @property
    def filters(self) -> list[forms.BoundField]:
        return [self[name] for name in self.FILTER]

    @cached_property
    def calls(self) -> dict[str, Any]:
        """What the call has to be, for ConversationQuerySet.with_call and search.find."""
        return dict(self._calls())

    def _calls(self) -> Iterator[tuple[str, Any]]:
        for name in ("model", "use_case"):
            if value := self.cleaned_data[name]:
                yield name, value
        if since := self.cleaned_data["since"]:
            yield "id__gte", _first_id(since)
        if until := self.cleaned_data["until"]:
            yield "id__lt", _first_id(until + timedelta(days=1))


def _first_id(day: date) -> UUID:
    """The smallest id of a day in the viewer's zone: ids are in the order of time."""
    return make_id(timezone.make_aware(datetime.combine(day, time.min)), first=True)
