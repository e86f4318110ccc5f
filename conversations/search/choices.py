"""What stands around the rows of a list: the days that it is of, saved filters, and the values that a filter offers."""

from datetime import date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import connection
from django.utils import timezone
from django.utils.formats import date_format

from ..ids import make_id
from ..people.identity import Names

DAYS = 30  # unless chosen
OF_PEOPLE = ("department", "job_title")
# What stands around the rows of a list, by statements that become one.
SAVED = """
    ARRAY(SELECT ARRAY[id::text, name] FROM conversations_savedfilter WHERE owner_id = %(reader)s AND page = %(page)s ORDER BY name)"""
# By the newest of the roll-up. A day of it is one of UTC; a reader's may begin on the day before or end on the day after.
MODELS = """
    ARRAY(SELECT DISTINCT model FROM (
        SELECT model FROM conversations_usage WHERE day BETWEEN %(since)s::date - 1 AND %(until)s::date + 1 ORDER BY day DESC LIMIT 20000) newest
        LIMIT 100)"""
# From one to the next, by leaps through their index.
UPSTREAMS = """
    ARRAY(WITH RECURSIVE upstreams (name) AS (
        SELECT min(upstream) FROM conversations_snapshot UNION ALL
        SELECT (SELECT min(upstream) FROM conversations_snapshot WHERE upstream > name) FROM upstreams WHERE name IS NOT NULL)
        SELECT name FROM upstreams LIMIT 100)"""
PEOPLE = """
    ARRAY(SELECT DISTINCT {} FROM conversations_user WHERE %(departments)s::text[] IS NULL OR department = ANY(%(departments)s::text[]) LIMIT 500)"""
# How many calls wait to be searchable, up to a thousand, and for how many seconds the oldest has.
LAG = """
    (SELECT ARRAY[count(*), extract(epoch FROM clock_timestamp() - min(closed))] FROM (
        SELECT closed FROM conversations_unsealed WHERE kind = 'snapshot' ORDER BY id LIMIT 1000) waiting)"""
EARLIEST, LATEST = date(1970, 1, 2), date(9000, 1, 1)  # what an id can hold
SENSIBLE = [MinValueValidator(EARLIEST), MaxValueValidator(LATEST)]
DAY = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")


class DaysForm(forms.Form):
    """Rows of some days, bound to a query string. Without days it means the last 30; an empty day is no bound."""

    folded: tuple[str, ...] = ()  # fields that are shown when they are asked for
    since = forms.DateField(label="From", required=False, widget=DAY, validators=SENSIBLE)
    until = forms.DateField(label="To", required=False, widget=DAY, validators=SENSIBLE)

    def __init__(self, query, reader) -> None:
        self.reader = reader
        self.names = Names(reader)
        self.usual = timezone.localdate() - timedelta(days=DAYS - 1)
        self.saved: list[tuple[int, str]] = []
        self.lag = ""  # how far the search is behind, in words
        data = {name: query.get(name, "") for name in self.base_fields}
        if "since" not in query and "until" not in query:
            data["since"] = self.usual.isoformat()
        super().__init__(data, auto_id="filter-%s", label_suffix="")

    def clean(self):
        since, until = self.cleaned_data.get("since"), self.cleaned_data.get("until")
        if since and until and since > until:
            self.add_error("until", "This is before the first day.")

    @property
    def terms(self) -> str:
        """Words that were searched for."""
        return ""

    @property
    def cut_short(self) -> bool:
        """More matches than were looked at."""
        return False

    def load(self, page: str) -> None:
        """What stands around the rows of a list, in one statement."""
        around, days = self.around(), (EARLIEST, LATEST)
        if self.is_valid():
            days = (self.cleaned_data["since"] or EARLIEST, self.cleaned_data["until"] or LATEST)
        asked = {
            "page": page,
            "reader": self.reader.pk,
            "departments": self.reader.reviews_departments or None,
            "since": days[0],
            "until": days[1],
        }
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {', '.join(around.values())}", asked)
            self.found = dict(zip(around, cursor.fetchone(), strict=True))
        self.saved = [(int(id), name) for id, name in self.found["saved"]]

    def around(self) -> dict[str, str]:
        return {"saved": SAVED}

    def query(self) -> str:
        """The fields, to be opened another day: the usual days go with the time, others stay."""
        fields = {name: value for name, value in self.data.items() if value or name == "since"}
        if fields["since"] == self.usual.isoformat() and not self.data["until"]:
            del fields["since"]
        return urlencode(fields)

    @property
    def few(self) -> bool:
        """The rows are asked for by their ids."""
        return False

    def main(self) -> list[forms.BoundField]:
        """The fields that are always in sight."""
        return [field for field in self if field.name not in self.folded]

    def more(self) -> list[forms.BoundField]:
        return [field for field in self if field.name in self.folded]

    def more_chosen(self) -> bool:
        return any(field.value() or field.errors for field in self.more())

    @property
    def chosen(self) -> dict[str, Any]:
        """For the audit trail, but for the words."""
        return (
            {name: value for name, value in self.cleaned_data.items() if value and name != "q"}
            if self.is_valid()
            else {}
        )

    @property
    def first_id(self) -> UUID | None:
        return self._id_of_day(self.cleaned_data["since"])

    @property
    def end_id(self) -> UUID | None:
        day = self.cleaned_data["until"]
        return self._id_of_day(day + timedelta(days=1)) if day else None

    def _id_of_day(self, day: date | None) -> UUID | None:
        """The smallest id of a day in the reader's time zone."""
        return (
            make_id(timezone.make_aware(datetime.combine(day, time.min)), first=True)
            if day
            else None
        )

    def days(self) -> str:
        since, until = self.cleaned_data["since"], self.cleaned_data["until"]
        today = timezone.localdate()
        if since and (until is None or until == today) and since <= today:
            count = (today - since).days + 1
            return (
                "today"
                if count == 1
                else f"in the last {count} days"
                if count <= 366
                else f"since {date_format(since, 'j F Y')}"
            )
        if since and since == until:
            return f"on {date_format(since, 'j F Y')}"
        parts = [f"from {date_format(since, 'j F Y')}"] if since else []
        parts += [f"to {date_format(until, 'j F Y')}"] if until else []
        return " ".join(parts) or "of all time"
