"""Which reviews a reviewer looks at: one tab of the queue, and what is chosen among its rows.

A chosen queue travels as one text, `of`, through claims, transcripts and decisions, so that the
next conversation is one of the same queue: the tab, then the fields, as in free&severity=3.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, time, timedelta
from functools import cached_property
from typing import Any, cast
from urllib.parse import urlencode

from django import forms
from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models import Review, SamplingPolicy, User
from ..models.review import ReviewQuerySet
from ..people.access import Account, readable, reviews_departments
from ..people.identity import Found, Names
from ..people.persons import person_of
from .calls import ANY, MOST_PEOPLE

SOON = timedelta(days=7)
TABS = {
    "free": gettext_lazy("Unassigned"),
    "mine": gettext_lazy("Assigned to me"),
    "overdue": gettext_lazy("Overdue"),
    "escalated": gettext_lazy("Escalated"),
    "all": gettext_lazy("All waiting"),
}
DUE = [
    ANY,
    ("overdue", gettext_lazy("Overdue")),
    ("today", gettext_lazy("By the end of today")),
    ("week", gettext_lazy("Within 7 days")),
]
SEVERITIES = [ANY, *((value, label.capitalize()) for value, label in Review.Severity.choices)]


class QueueFilter(forms.Form):
    """The waiting reviews of a tab that this reader may read, by person, policy and time."""

    user = forms.CharField(
        label=gettext_lazy("User"),
        required=False,
        max_length=150,
        widget=forms.TextInput(attrs={"placeholder": gettext_lazy("Name begins with")}),
    )
    department = forms.CharField(
        label=gettext_lazy("Department"), required=False, max_length=150, widget=forms.Select
    )
    policy = forms.IntegerField(
        label=gettext_lazy("Sampling policy"), required=False, widget=forms.Select
    )
    severity = forms.TypedChoiceField(
        label=gettext_lazy("Severity"), required=False, choices=SEVERITIES, coerce=int
    )
    due = forms.ChoiceField(label=gettext_lazy("Due"), required=False, choices=DUE)

    def __init__(self, query: Mapping[str, Any], reader: Account) -> None:
        tab, *rest = query.get("of", "").split("&", 1)
        fields = {**query, **QueryDict("".join(rest)).dict()}
        data = {name: fields.get(name, "") for name in self.base_fields}
        super().__init__(data, auto_id="filter-%s", label_suffix="")
        self.reader, self.now = reader, timezone.now()
        self.tab = tab if tab in TABS else "free"
        self.names = Names(reader, seeks=bool(data["user"]))
        if not self.names.by_name:
            self.fields["user"].widget.attrs["placeholder"] = gettext_lazy("Alias begins with")
            self.fields["department"].widget.attrs["disabled"] = True
        self.offer([], [])

    @classmethod
    def of_request(cls, request: HttpRequest) -> "QueueFilter":
        """Read the queue that a form was sent from, or that an address names."""
        query = request.POST if "of" in request.POST else request.GET
        return cls(query.dict(), request.user)

    def offer(self, departments: Iterable[str], policies: Iterable[SamplingPolicy]) -> None:
        """Offer values of the record, beside the chosen ones."""
        names = {*departments, self.data["department"]} - {""}
        offered = {
            "department": [(name, name) for name in sorted(names)],
            "policy": [(policy.pk, str(policy)) for policy in policies],
        }
        for name, choices in offered.items():
            self.fields[name].widget.choices = [ANY, *choices]  # type: ignore[attr-defined]

    def clean(self) -> None:
        if self.people and self.people.number > MOST_PEOPLE:
            text = _("More than %(most)d people match. Type more of the name.")
            self.add_error("user", text % {"most": MOST_PEOPLE})
        if self.cleaned_data.get("department") and not self.names.by_name:
            self.add_error("department", _("This can identify a person."))

    @cached_property
    def people(self) -> Found | None:
        """The people whose names begin so; None: anyone."""
        name = self.cleaned_data.get("user")
        return self.names.find_people(name, MOST_PEOPLE + 1) if name else None

    @cached_property
    def group(self) -> Found:
        """The people of the chosen department."""
        return self.names.group(department=self.cleaned_data["department"]).look_up()

    # The rows -------------------------------------------------------------------------------------

    def reviews(self, tab: str = "") -> ReviewQuerySet:
        """Return the reviews of this tab, or of another, by all that is chosen."""
        rows = self._of_tab(tab or self.tab)
        if not self.is_valid():
            return rows.none()
        chosen = self.cleaned_data
        if self.people is not None:
            rows = rows.filter(self.people.rows("conversation__"))
        if chosen["department"]:
            rows = rows.filter(self.group.rows("conversation__"))
        if chosen["policy"]:
            rows = rows.filter(policy__in=self.policies().filter(pk=chosen["policy"]))
        if chosen["severity"]:
            rows = rows.filter(severity=chosen["severity"])
        return rows.filter(due__lt=self._end_of(chosen["due"])) if chosen["due"] else rows

    def _of_tab(self, tab: str) -> ReviewQuerySet:
        rows = cast(ReviewQuerySet, readable(self.reader, Review.objects.waiting()))
        if tab == "mine":
            return rows.held_by(self.reader, self.now)
        rows = rows.open_to(person_of(self.reader))
        if tab == "free":
            return rows.free(self.now)
        if tab == "overdue":
            return rows.overdue(self.now)
        if tab == "escalated":
            return rows.filter(source=Review.Source.ESCALATED)
        return rows

    def due_today(self) -> ReviewQuerySet:
        return self.reviews().filter(due__lt=self._end_of("today"))

    def _end_of(self, due: str) -> datetime:
        if due == "overdue":
            return self.now
        if due == "week":
            return self.now + SOON
        tomorrow = timezone.localdate(self.now) + timedelta(days=1)
        return timezone.make_aware(datetime.combine(tomorrow, time.min))

    # What can be chosen ---------------------------------------------------------------------------

    def policies(self) -> Any:
        """Return the policies that this reader may know; one of a department tells of people."""
        policies = SamplingPolicy.objects.known_to(reviews_departments(self.reader))
        return policies if self.names.by_name else policies.filter(department="")

    def departments(self) -> Any:
        """Return the departments of people that this reader may read, as rows of one value."""
        people = readable(self.reader, User.objects.exclude(department=""))
        if not self.names.by_name:
            people = people.none()
        return people.order_by("department").values("department").distinct()

    # In an address --------------------------------------------------------------------------------

    @property
    def fields_chosen(self) -> dict[str, str]:
        return {name: value for name, value in self.data.items() if value}

    @property
    def place(self) -> str:
        """The chosen queue as one text."""
        return "&".join(filter(None, [self.tab, urlencode(self.fields_chosen)]))

    def query(self, **more: str) -> str:
        """Write the chosen queue as a query string."""
        return urlencode({"of": self.tab, **self.fields_chosen, **more})

    @property
    def tabs(self) -> list[tuple[str, Any, str]]:
        return [(name, title, self.query(of=name)) for name, title in TABS.items()]
