"""Which calls a reviewer looks at: one form, what it means in words, and the rows it stands for."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from typing import Any, TypeVar
from uuid import UUID

from django import forms
from django.contrib.postgres.fields import ArrayField
from django.db.models import Func, Model, QuerySet, TextField
from django.db.models.functions import Cast
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from ..cases import visible_to
from ..figures import lasting
from ..models import Snapshot, User
from ..people.access import Account, holders_of, may, readable, reviews_departments
from ..people.identity import Found, hides_people
from ..visible import HIDDEN
from . import find
from .box import parse_box
from .choices import LAG, MODELS, NO_LAG, UPSTREAMS, VALUES_OF_PEOPLE, Choice
from .days import DaysFilter, format_day
from .hits import NO_SNIPPETS, SNIPPETS, Snippet, cut_snippets
from .query import LONGEST, parse

MOST_CALLS = 1000  # that the beginning of an id may stand for, and as many conversations' calls
MOST_PEOPLE = 100  # that the beginning of a name may stand for
OF_PEOPLE = ("department", "job_title")
OFFERED = ("model", "upstream", *OF_PEOPLE)  # fields whose values come from the record
ID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)
COLUMNS_OF_CALLS = ("model", "upstream", "status", "kind", "use_case")  # fields that are a column's
REVIEWERS, CASES = 200, 100  # that are offered; of cases the newest
CASE = Func(  # its id and its name
    Cast("pk", TextField()),
    "name",
    template="ARRAY[%(expressions)s]",
    output_field=ArrayField(TextField()),
)
BY_PAGE, BY_KEY = "page", "key"  # sources besides the beginning of one key
ANY = ("", gettext_lazy("Any"))
HIDDEN_OR_MIXED = "hidden"
CHARACTERS = [ANY, (HIDDEN_OR_MIXED, gettext_lazy("Hidden or mixed-script"))]
Rows = TypeVar("Rows", bound=Model)


def _text_input(placeholder: Any, **attributes: str) -> forms.TextInput:
    return forms.TextInput(attrs={"placeholder": placeholder, **attributes})


def _with_any(choices: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    return [ANY, *((value, label.capitalize()) for value, label in choices)]


class CallFilter(DaysFilter):
    """Calls by day, person, model and what else is known of them; by words; or by id.

    An id is searched everywhere, whatever else is chosen. A prefix in the search box is another way
    to write into a field: what is typed wins, and the form that comes back has it in the field.
    """

    q = forms.CharField(
        label=gettext_lazy("Search"),
        required=False,
        max_length=LONGEST,
        widget=_text_input(
            gettext_lazy("Words, “a phrase”, -without, user: model: id:"), type="search"
        ),
    )
    user = forms.CharField(
        label=gettext_lazy("User"),
        required=False,
        max_length=150,
        widget=_text_input(gettext_lazy("Name begins with")),
    )
    department = forms.CharField(
        label=gettext_lazy("Department"), required=False, max_length=150, widget=forms.Select
    )
    job_title = forms.CharField(
        label=gettext_lazy("Job title"), required=False, max_length=150, widget=forms.Select
    )
    model = forms.CharField(
        label=gettext_lazy("Model"), required=False, max_length=500, widget=forms.Select
    )
    upstream = forms.CharField(
        label=gettext_lazy("Upstream"), required=False, max_length=500, widget=forms.Select
    )
    status = forms.ChoiceField(
        label=gettext_lazy("Status"), required=False, choices=_with_any(Snapshot.Status.choices)
    )
    kind = forms.ChoiceField(
        label=gettext_lazy("Kind"), required=False, choices=_with_any(Snapshot.Kind.choices)
    )
    source = forms.CharField(
        label=gettext_lazy("Source"), required=False, max_length=20, widget=forms.Select
    )
    use_case = forms.CharField(
        label=gettext_lazy("Use case"),
        required=False,
        max_length=60,
        widget=_text_input(gettext_lazy("Full name")),
    )
    characters = forms.ChoiceField(
        label=gettext_lazy("Characters"), required=False, choices=CHARACTERS
    )
    folded = (
        *OF_PEOPLE,
        "model",
        "upstream",
        "status",
        "kind",
        "source",
        "use_case",
        "characters",
    )
    field_order: tuple[str, ...] = ("q", "user", "since", "until")

    def __init__(self, query: Mapping[str, Any], reader: Account) -> None:
        super().__init__(query, reader)
        self.snippets: dict[UUID, Snippet] = {}  # by the call that they are cut from
        self._fill_in_prefixed_fields()
        if hides_people(reader):
            self.fields["user"].widget.attrs["placeholder"] = (
                _("Alias or name begins with") if self.names.by_name else _("Alias begins with")
            )
        if not self.names.by_name:
            for name in OF_PEOPLE:
                self.fields[name].widget.attrs["disabled"] = True
        self._offer_sources()
        self._offer_values({})

    def _fill_in_prefixed_fields(self) -> None:
        """Move what the search box has under a prefix into the field of that name."""
        self.box = parse_box(self.data["q"][: LONGEST + 1])
        if self.box.problems:
            return
        fields = dict(self.box.fields)
        typed_id = fields.pop("id", "")
        self.data = {**self.data, **fields, "q": f"id:{typed_id}" if typed_id else self.box.words}

    def _offer_sources(self) -> None:
        source = self.data["source"]
        sources = {"": _("Any"), BY_PAGE: _("The gateway’s pages"), BY_KEY: _("API keys")}
        if source not in sources:
            sources[source] = _("API key %(prefix)s…") % {"prefix": source}
        self.fields["source"].widget.choices = [*sources.items()]  # type: ignore[attr-defined]

    def _offer_values(self, offered: dict[str, list]) -> None:
        """Offer values of the record, beside the chosen one.

        An option cannot name hidden characters: a value that has some is not offered.
        """
        for name in OFFERED:
            values = {
                value for value in offered.get(name, []) if value and not HIDDEN.search(value)
            }
            values = (values | {self.data[name]}) - {""}
            self.fields[name].widget.choices = [  # type: ignore[attr-defined]
                ANY,
                *((value, value) for value in sorted(values)),
            ]

    def load(self, page: str, rows: Sequence[Model] = ()) -> None:
        super().load(page, rows)
        self._offer_values(self.choices)
        self.snippets = cut_snippets(self.choices["snippets"], self.terms, self.names)
        waiting, seconds = self.choices["lag"]
        if waiting:
            lag = {"count": f"{waiting:,}", "lag": lasting(timedelta(seconds=float(seconds)))}
            text = ngettext(
                "The newest call is not searchable yet: the search is %(lag)s behind.",
                "The newest %(count)s calls are not searchable yet: the search is %(lag)s behind.",
                waiting,
            )
            self.lag = text % lag

    def expressions(self) -> dict[str, Choice]:
        expressions = super().expressions() | {"model": MODELS, "upstream": UPSTREAMS}
        expressions["lag"] = LAG if self.searched else NO_LAG
        who = holders_of("decide") if may(self.reader, "lead") else User.objects.none()
        expressions["reviewers"] = who.order_by("username").values("username")[:REVIEWERS]
        expressions["cases"] = visible_to(self.reader).newest_first().values_list(CASE)[:CASES]
        expressions["snippets"] = SNIPPETS if self.found else NO_SNIPPETS
        if self.names.by_name:
            expressions |= {name: VALUES_OF_PEOPLE.format(column=name) for name in OF_PEOPLE}
        return expressions

    def parameters_of(self, rows: Sequence[Model]) -> dict[str, Any]:
        found = [self.found[row.pk] for row in rows] if self.found else []
        return {
            "calls": [each.call for each in found],
            "found": [each.message for each in found],
        }

    @cached_property
    def found(self) -> dict[UUID, find.Found]:
        """What was found by words, by the row of the list that it is in."""
        is_by_words = self.searched and self.terms
        return {self.row_of(each): each for each in self.matches.found} if is_by_words else {}

    def row_of(self, found: find.Found) -> UUID:
        return found.call

    def find_snippet(self, row: Any) -> Snippet | None:
        return self.snippets.get(self.found[row.pk].call) if row.pk in self.found else None

    def clean(self) -> None:
        super().clean()
        for problem in self.box.problems:
            self.add_error("q", problem)
        words = self.cleaned_data.get("q")
        if words and self.id_prefix is None and not parse(words):
            self.add_error("q", _("Type a word or a number to search for."))
        if self.id_prefix is not None and not re.fullmatch(r"[0-9a-f]{8,32}", self.id_prefix):
            self.add_error(
                "q", _("After id: type at least the first 8 characters of the id (0–9, a–f).")
            )
        if self.people and self.people.number > MOST_PEOPLE:
            self.add_error(
                "user",
                _("More than %(most)d people match. Type more of the name.")
                % {"most": MOST_PEOPLE},
            )
        if not self.names.by_name:
            self._refuse_fields_about_people()

    def _refuse_fields_about_people(self) -> None:
        """Refuse what can identify a person, until the reader may search by name."""
        give_reason = _("To search by name, give a reason below.")
        if self.people and not self.people.number:
            self.add_error("user", _("No alias begins with that.") + f" {give_reason}")
        if self.cleaned_data.get("source") not in ("", BY_PAGE, BY_KEY):
            self.add_error("source", _("An API key can identify a person.") + f" {give_reason}")
        for name in OF_PEOPLE:
            if self.cleaned_data.get(name):
                self.add_error(name, _("This can identify a person.") + f" {give_reason}")

    # What was chosen --------------------------------------------------------------------------

    @property
    def terms(self) -> str:
        return self.cleaned_data.get("q", "") if self.is_valid() else ""

    @property
    def searched(self) -> bool:
        """Whether the index of words is asked, and not for an id."""
        if not self.is_valid() or self.id_prefix is not None:
            return False
        return bool(self.terms or self.cleaned_data["characters"])

    @property
    def few(self) -> bool:
        return bool(self.terms) or self.searched

    @property
    def cut_short(self) -> bool:
        if self.is_valid() and self.id_prefix is not None:
            return len(self.calls_of_id) > MOST_CALLS
        return self.searched and bool(self.matches.has_more or self.matches.looked_back_to)

    @property
    def reach_in_words(self) -> str:
        """Say since when calls are searchable, while older ones are indexed anew; else empty."""
        if not self.searched or not (since := self.matches.since):
            return ""
        text = _("Calls before %(day)s are still being added to the search.")
        return text % {"day": format_day(timezone.localtime(since).date())}

    @property
    def cut_in_words(self) -> str:
        """Say that there are more matches than the list holds; empty where it holds all."""
        if not self.cut_short:
            return ""
        if self.id_prefix is not None:
            text = _("More than %(most)s calls have such an id: the newest are listed.")
            return text % {"most": f"{MOST_CALLS:,}"}
        if day := self.matches.looked_back_to:
            text = _("The search took too long: it looked at calls since %(day)s, and no further.")
            return text % {"day": format_day(timezone.localtime(day).date())}
        text = _("More than %(most)s match: the newest are listed, and older ones page by page.")
        return text % {"most": f"{find.CAP:,}"}

    @cached_property
    def id_prefix(self) -> str | None:
        """The digits of the id in the search box, lower case and without dashes."""
        q = self.cleaned_data.get("q", "")
        if q.lower().startswith("id:"):
            return re.sub(r"[\s-]", "", q[3:]).lower()
        return q.replace("-", "").lower() if ID.fullmatch(q) else None

    @cached_property
    def people(self) -> Found | None:
        """The people whose names begin so, or the one whose name it is; None: anyone."""
        name = self.cleaned_data.get("user")
        if not name or self.id_prefix:
            return None
        return self.names.find_people(name, MOST_PEOPLE + 1)

    @cached_property
    def group(self) -> Found | None:
        """The people of the chosen department and job title; None: of any."""
        chosen = self._values_of(OF_PEOPLE)
        if not chosen:
            return None
        group = self.names.group(**chosen)
        return group if self.people else group.look_up()  # for few people no query more

    @cached_property
    def calls_of_id(self) -> list[UUID]:
        """Calls whose ids begin with the prefix, and those of conversations whose ids do.

        They are selected first and by themselves: a planner knows nothing of how ids are spread.
        """
        assert self.id_prefix
        low, high = UUID(self.id_prefix.ljust(32, "0")), UUID(self.id_prefix.ljust(32, "f"))
        calls = readable(self.reader, Snapshot.objects.all()).order_by("-id")
        of_ids = calls.filter(id__range=(low, high))
        of_conversations = calls.filter(conversation__gte=low, conversation__lte=high)
        newest, of_newest = (
            rows.values_list("id", flat=True)[: MOST_CALLS + 1]
            for rows in (of_ids, of_conversations)
        )
        return sorted(newest.union(of_newest), reverse=True)

    @cached_property
    def matches(self) -> find.Matches:
        """What brought the words, newest first; from the cursor on where all are too many."""
        scope = self.scope()
        matches = self.look_up(scope)
        if (matches.has_more or matches.looked_back_to) and (self.before or self.after):
            scope.before, scope.after = self.before, self.after
            matches = self.look_up(scope)
        return matches

    def look_up(self, scope: find.Scope) -> find.Matches:
        return find.find_calls(parse(self.cleaned_data["q"]), scope)

    def scope(self) -> find.Scope:
        """The filter as the index of words knows it."""
        chosen, source = self.cleaned_data, self.cleaned_data["source"]
        people = self._find_people_to_search()
        columns = self._values_of(COLUMNS_OF_CALLS)
        if source not in ("", BY_PAGE, BY_KEY):
            columns["key"] = source
        scope = find.Scope(
            since=self.first_id,
            until=self.end_id,
            owners=people.accounts if people else None,
            end_users=people.claims if people else (),
            columns=columns,
            by_key={BY_KEY: True, BY_PAGE: False}.get(source),
            suspicious=chosen["characters"] == HIDDEN_OR_MIXED,
            hides_people=hides_people(self.reader),
        )
        if self.people and self.group:
            scope.add_condition(Snapshot.objects.filter(self.group.rows()).values("pk"), "call_id")
        return scope

    def _find_people_to_search(self) -> Found | None:
        """The people whose calls the reader may read, and chose; None: all."""
        if chosen := self.people or self.group:
            return chosen.look_up()
        if not reviews_departments(self.reader):
            return None
        people = readable(self.reader, User.objects.all()).values_list("id", flat=True)
        return Found(list(people), [], 0)

    # The rows ---------------------------------------------------------------------------------

    def calls(self) -> QuerySet[Snapshot]:
        if not self.is_valid():
            return Snapshot.objects.none()
        if self.id_prefix is not None:
            return Snapshot.objects.filter(id__in=self.calls_of_id[:MOST_CALLS])
        calls = self.calls_before_words()
        return calls.filter(id__in=self.matches.calls) if self.searched else calls

    def calls_before_words(self) -> QuerySet[Snapshot]:
        """By every field but the words."""
        return self.restrict_owners(self.restrict_calls(Snapshot.objects.all()))

    def restrict_owners(self, rows: QuerySet[Rows]) -> QuerySet[Rows]:
        """Of conversations or calls, those of the chosen people, where the reader may read them."""
        rows = readable(self.reader, rows)
        for chosen in (self.people, self.group):
            if chosen is not None:
                rows = rows.filter(chosen.rows())
        return rows

    def restrict_calls(self, calls: QuerySet[Snapshot]) -> QuerySet[Snapshot]:
        """By what a call is, of any owner."""
        if self.first_id:
            calls = calls.filter(id__gte=self.first_id)
        if self.end_id:
            calls = calls.filter(id__lt=self.end_id)
        calls = calls.filter(**self._values_of(COLUMNS_OF_CALLS))
        source = self.cleaned_data["source"]
        if source == BY_KEY:
            return calls.exclude(key="")
        if source:
            return calls.filter(key="" if source == BY_PAGE else source)
        return calls

    def _values_of(self, fields: Iterable[str]) -> dict[str, str]:
        return {name: self.cleaned_data[name] for name in fields if self.cleaned_data[name]}

    # In words ---------------------------------------------------------------------------------

    def words(self) -> str:
        """The filter as it goes on after “12 calls”, or after “12 conversations with calls”."""
        if not self.is_valid():
            return "until the filter is corrected"
        if self.id_prefix is not None:
            return f"under ids that begin with {self.id_prefix}, on any day"
        return ", ".join(self._phrases())

    def _phrases(self) -> list[str]:
        chosen, phrases = self.cleaned_data, [self.days()]
        if self.people is not None:
            phrases.append(f"by “{chosen['user']}”{_count_in_brackets(self.people.number)}")
        phrases += [
            f"{self[name].label.lower()} {value}"
            for name, value in self._values_of(
                ("job_title", "department", *COLUMNS_OF_CALLS)
            ).items()
        ]
        if source := chosen["source"]:
            sources = {BY_PAGE: "the gateway’s pages", BY_KEY: "API keys"}
            phrases.append(f"through {sources.get(source, f'API key {source}…')}")
        if chosen["q"]:
            phrases.append(f"with the words “{chosen['q']}”")
        if chosen["characters"]:
            phrases.append("with hidden or mixed-script characters")
        return phrases


def _count_in_brackets(people: int) -> str:
    if not people:
        return " (nobody)"
    return "" if people == 1 else f" ({people} people)"
