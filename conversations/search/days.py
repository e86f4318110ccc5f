"""The filter that every list of the review desk has: rows of some days."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import Model
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..ids import first_id_of
from ..people.access import Account, reviews_departments
from ..people.identity import Names
from .choices import SAVED_FILTERS, Choice, load_choices

DAYS = 30  # unless chosen
EARLIEST, LATEST = date(1970, 1, 2), date(9000, 1, 1)  # what an id can hold
DAYS_OF_IDS = [MinValueValidator(EARLIEST), MaxValueValidator(LATEST)]
DAY = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")


class DaysFilter(forms.Form):
    """Rows of some days, bound to a query string.

    Without days it means the last 30; an empty day is no bound.
    """

    folded: tuple[str, ...] = ()  # fields that are shown on demand
    since = forms.DateField(
        label=gettext_lazy("From"), required=False, widget=DAY, validators=DAYS_OF_IDS
    )
    until = forms.DateField(
        label=gettext_lazy("To"), required=False, widget=DAY, validators=DAYS_OF_IDS
    )

    def __init__(self, query: Mapping[str, Any], reader: Account) -> None:
        self.reader = reader
        self.names = Names(reader, seeks=bool(query.get("user")))
        self.before: UUID | None = None  # the cursor of a page: older rows than this one,
        self.after: UUID | None = None  # or newer ones
        self.usual = timezone.localdate() - timedelta(days=DAYS - 1)
        self.choices: dict[str, list] = {}
        self.saved: list[tuple[int, str]] = []
        self.lag = ""  # how far the search is behind, in words
        data = {name: query.get(name, "") for name in self.base_fields}
        if "since" not in query and "until" not in query:
            data["since"] = self.usual.isoformat()
        super().__init__(data, auto_id="filter-%s", label_suffix="")

    def clean(self) -> None:
        since, until = self.cleaned_data.get("since"), self.cleaned_data.get("until")
        if since and until and since > until:
            self.add_error("until", _("The last day is before the first day."))

    @property
    def terms(self) -> str:
        """The words of the search, for the audit trail."""
        return ""

    @property
    def cut_short(self) -> bool:
        """Whether the search has more matches than were looked at."""
        return False

    @property
    def few(self) -> bool:
        """Whether the rows are selected by their ids."""
        return False

    # What stands around the rows --------------------------------------------------------------

    def load(self, page: str, rows: Sequence[Model] = ()) -> None:
        """Load what stands around the rows of a page: saved filters, values that fields offer.

        One query.
        """
        since, until = EARLIEST, LATEST
        if self.is_valid():
            since, until = self.cleaned_data["since"] or since, self.cleaned_data["until"] or until
        parameters = {
            "page": page,
            "reader": self.reader.pk,
            "departments": reviews_departments(self.reader) or None,
            "since": since,
            "until": until,
        } | self.parameters_of(rows)
        self.choices = load_choices(self.expressions(), parameters)
        self.saved = [(int(number), name) for number, name in self.choices["saved"]]

    def parameters_of(self, rows: Sequence[Model]) -> dict[str, Any]:
        """What the expressions say of the rows of the page."""
        return {}

    def expressions(self) -> dict[str, Choice]:
        """What `load` selects, by name."""
        return {"saved": SAVED_FILTERS}

    def query(self) -> str:
        """The fields, to be opened another day: the usual days go with the time, others stay."""
        fields = {name: value for name, value in self.data.items() if value or name == "since"}
        if fields["since"] == self.usual.isoformat() and not self.data["until"]:
            del fields["since"]
        return urlencode(fields)

    def main(self) -> list[forms.BoundField]:
        """The fields that are always in sight."""
        folded = (*self.folded, *(field.name for field in self.hidden_fields()))
        return [field for field in self if field.name not in folded]

    def more(self) -> list[forms.BoundField]:
        return [field for field in self if field.name in self.folded]

    def more_chosen(self) -> bool:
        return any(field.value() or field.errors for field in self.more())

    # What was chosen --------------------------------------------------------------------------

    @property
    def chosen(self) -> dict[str, Any]:
        """The fields, but for the words, for the audit trail."""
        if not self.is_valid():
            return {}
        return {name: value for name, value in self.cleaned_data.items() if value and name != "q"}

    @property
    def first_id(self) -> UUID | None:
        since = self.cleaned_data["since"]
        return first_id_of(since) if since else None

    @property
    def end_id(self) -> UUID | None:
        until = self.cleaned_data["until"]
        return first_id_of(until + timedelta(days=1)) if until else None

    def days(self) -> str:
        """The days in words, as they go on after “12 calls”."""
        since, until = self.cleaned_data["since"], self.cleaned_data["until"]
        today = timezone.localdate()
        if since and (until is None or until == today) and since <= today:
            return _days_up_to_now(since, (today - since).days + 1)
        if since and since == until:
            return f"on {format_day(since)}"
        parts = [f"from {format_day(since)}"] if since else []
        parts += [f"to {format_day(until)}"] if until else []
        return " ".join(parts) or "of all time"


def _days_up_to_now(since: date, count: int) -> str:
    if count == 1:
        return "today"
    if count <= 366:
        return f"in the last {count} days"
    return f"since {format_day(since)}"


def format_day(day: date) -> str:
    return date_format(day, "j F Y")
