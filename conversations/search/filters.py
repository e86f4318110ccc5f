"""Which calls a reviewer looks at: one form, what it means in words, and the rows it stands for."""

import re
from datetime import timedelta
from functools import cached_property
from uuid import UUID

from django import forms
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from ..figures import lasting
from ..models import Conversation, Decision, Review, Snapshot, User
from ..people.access import readable
from ..people.identity import hides_people
from ..visible import HIDDEN
from . import box, index
from .choices import LAG, MODELS, OF_PEOPLE, PEOPLE, UPSTREAMS, DaysForm

NAMED = 1000  # calls that the beginning of an id may stand for, and as many conversations' calls
ACCOUNTS = 100  # that the beginning of a name may stand for
OFFERED = (
    "model",
    "upstream",
    "department",
    "job_title",
)  # fields whose values come from the record
WHY = "To search by name, say why below."
ID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)
EXACTLY = {  # fields that are a column's value
    "job_title": "owner__job_title",
    "department": "owner__department",
    "model": "model",
    "upstream": "upstream",
    "status": "status",
    "kind": "kind",
    "use_case": "use_case",
}
WORDS = forms.TextInput(
    attrs={
        "type": "search",
        "placeholder": "Words, \u201ca phrase\u201d, -without, user: model: id:",
    }
)


class CallFilter(DaysForm):
    """An id looks everywhere, whatever else is chosen. A prefix in the search box is another way to write into a field: what is typed wins, and the
    form that comes back has it in the field."""

    q = forms.CharField(label="Search", required=False, max_length=index.TERM, widget=WORDS)
    user = forms.CharField(
        required=False,
        max_length=150,
        widget=forms.TextInput(attrs={"placeholder": "Name begins with"}),
    )
    department = forms.CharField(required=False, max_length=150, widget=forms.Select)
    job_title = forms.CharField(
        label="Job title", required=False, max_length=150, widget=forms.Select
    )
    model = forms.CharField(required=False, max_length=500, widget=forms.Select)
    upstream = forms.CharField(required=False, max_length=500, widget=forms.Select)
    status = forms.ChoiceField(
        required=False,
        choices=[
            ("", "Any"),
            *((value, label.capitalize()) for value, label in Snapshot.Status.choices),
        ],
    )
    kind = forms.ChoiceField(
        required=False,
        choices=[
            ("", "Any"),
            *((value, label.capitalize()) for value, label in Snapshot.Kind.choices),
        ],
    )
    source = forms.CharField(required=False, max_length=20, widget=forms.Select)
    use_case = forms.CharField(
        label="Use case",
        required=False,
        max_length=60,
        widget=forms.TextInput(attrs={"placeholder": "Its whole name"}),
    )
    folded = (
        "department",
        "job_title",
        "model",
        "upstream",
        "status",
        "kind",
        "source",
        "use_case",
    )
    field_order: tuple[str, ...] = ("q", "user", "since", "until")

    def __init__(self, query, reader) -> None:
        super().__init__(query, reader)
        self.typed = box.read(self.data["q"][: index.TERM + 1])
        if not self.typed.problems:
            id = self.typed.fields.pop("id", "")
            self.data = {
                **self.data,
                **self.typed.fields,
                "q": f"id:{id}" if id else self.typed.words,
            }
        if hides_people(reader):
            self.fields["user"].widget.attrs["placeholder"] = (
                "Alias or name begins with" if self.names.by_name else "Alias begins with"
            )
        for name in () if self.names.by_name else OF_PEOPLE:
            self.fields[name].widget.attrs["disabled"] = True
        source, sources = (
            self.data["source"],
            {"": "Any", "page": "The gateway’s pages", "key": "API keys"},
        )
        self.fields["source"].widget.choices = [
            *(sources | {source: sources.get(source, f"API key {source}…")}).items()
        ]
        self.offer({})

    def offer(self, offered: dict[str, list[str]]) -> None:
        """Values to choose from, beside the one that is chosen. An option cannot name hidden characters: what has some is not offered."""
        for name in OFFERED:
            values = sorted(
                {
                    self.data[name],
                    *(
                        value
                        for value in offered.get(name, [])
                        if value and not HIDDEN.search(value)
                    ),
                }
                - {""}
            )
            self.fields[name].widget.choices = [("", "Any"), *((value, value) for value in values)]

    def load(self, page: str) -> None:
        super().load(page)
        self.offer(self.found)
        waiting, seconds = self.found["lag"]
        if waiting:
            calls = "call is" if waiting == 1 else f"{waiting:,} calls are"
            self.lag = f"The newest {calls} not searchable yet: the search is {lasting(timedelta(seconds=float(seconds)))} behind."

    def around(self) -> dict[str, str]:
        people = {name: PEOPLE.format(name) for name in OF_PEOPLE} if self.names.by_name else {}
        lag = LAG if self.searched else "ARRAY[0, 0]"
        return super().around() | {"model": MODELS, "upstream": UPSTREAMS, "lag": lag} | people

    def clean(self):
        super().clean()
        for problem in self.typed.problems:
            self.add_error("q", problem)
        if self.id_prefix is not None and not re.fullmatch(r"[0-9a-f]{8,32}", self.id_prefix):
            self.add_error(
                "q", "After id: belong at least the first 8 of an id’s digits, 0–9 and a–f."
            )
        if self.owners and len(self.owners) > ACCOUNTS:
            self.add_error("user", f"More than {ACCOUNTS} people: type more of the name.")
        if not self.names.by_name:
            self._by_alias()

    def _by_alias(self) -> None:
        """What else may say who somebody is, is searched for as names are."""
        if self.owners == []:
            self.add_error("user", f"No alias begins so. {WHY}")
        if self.cleaned_data.get("source") not in ("", "page", "key"):
            self.add_error("source", f"A key tells who somebody is. {WHY}")
        for name in OF_PEOPLE:
            if self.cleaned_data.get(name):
                self.add_error(name, f"It may tell who somebody is. {WHY}")

    @property
    def terms(self) -> str:
        return self.cleaned_data.get("q", "") if self.is_valid() else ""

    # What was chosen ------------------------------------------------------------------------------------------------

    @cached_property
    def id_prefix(self) -> str | None:
        """The digits of the id that is looked for, lower case and without dashes."""
        q = self.cleaned_data.get("q", "")
        if q.lower().startswith("id:"):
            return re.sub(r"[\s-]", "", q[3:]).lower()
        return q.replace("-", "").lower() if ID.fullmatch(q) else None

    @cached_property
    def calls_of_id(self) -> list[UUID]:
        """Those whose ids begin so, and those of conversations whose ids do. Found by themselves: a planner knows nothing of how ids are spread."""
        assert self.id_prefix
        bounds = UUID(self.id_prefix.ljust(32, "0")), UUID(self.id_prefix.ljust(32, "f"))
        calls = Snapshot.objects.order_by().values_list("id", flat=True)
        return list(
            calls.filter(id__range=bounds)[:NAMED].union(
                calls.filter(conversation__gte=bounds[0], conversation__lte=bounds[1])[:NAMED]
            )
        )

    @cached_property
    def owners(self) -> list[int] | None:
        """Whose calls: of all whose names begin so, or of the one whose name it is."""
        name = self.cleaned_data.get("user")
        return None if not name or self.id_prefix else self.names.find(name, ACCOUNTS + 1)

    @cached_property
    def matching(self) -> tuple[set[tuple[UUID, UUID]], bool]:
        """What the words match, and whether there is more than was looked at."""
        return index.find_calls(
            self.cleaned_data["q"], owners=self._whose(), since=self.first_id, until=self.end_id
        )

    def _whose(self) -> list[int] | None:
        """The cap of a search is spent on people that its reader may read, and chose."""
        chosen = {name: self.cleaned_data[name] for name in OF_PEOPLE if self.cleaned_data[name]}
        if self.owners is None and (chosen or self.reader.reviews_departments):
            return list(
                readable(self.reader, User.objects.filter(**chosen)).values_list("id", flat=True)
            )
        return self.owners

    @property
    def cut_short(self) -> bool:
        return self.searched and self.matching[1]

    @property
    def searched(self) -> bool:
        """For words, not for an id."""
        return bool(self.terms) and self.id_prefix is None

    @property
    def few(self) -> bool:
        return bool(self.terms)

    # The rows -------------------------------------------------------------------------------------------------------

    def calls(self) -> QuerySet[Snapshot]:
        if not self.is_valid():
            return Snapshot.objects.none()
        if self.id_prefix is not None:
            return readable(self.reader, Snapshot.objects.all()).filter(id__in=self.calls_of_id)
        calls = self._calls()
        return (
            calls.filter(id__in={call for _, call in self.matching[0]})
            if self.cleaned_data["q"]
            else calls
        )

    def _calls(self) -> QuerySet[Snapshot]:
        """By everything but the words."""
        return self._whose_are(self._such(Snapshot.objects.all()))

    def _whose_are(self, rows: QuerySet) -> QuerySet:
        """Of conversations or calls: those of people who were chosen, and whom the reader reads."""
        rows = readable(self.reader, rows)
        if self.owners is not None:
            rows = rows.filter(owner__in=self.owners)
        return rows.filter(
            **{
                EXACTLY[name]: self.cleaned_data[name]
                for name in OF_PEOPLE
                if self.cleaned_data[name]
            }
        )

    def _such(self, calls: QuerySet[Snapshot]) -> QuerySet[Snapshot]:
        """By what they are, whoever made them."""
        chosen = self.cleaned_data
        if self.first_id:
            calls = calls.filter(id__gte=self.first_id)
        if self.end_id:
            calls = calls.filter(id__lt=self.end_id)
        calls = calls.filter(
            **{
                column: chosen[name]
                for name, column in EXACTLY.items()
                if chosen[name] and name not in OF_PEOPLE
            }
        )
        if chosen["source"]:
            calls = (
                calls.exclude(key="")
                if chosen["source"] == "key"
                else calls.filter(key="" if chosen["source"] == "page" else chosen["source"])
            )
        return calls

    # In words -------------------------------------------------------------------------------------------------------

    def words(self) -> str:
        """As it goes on after “12 calls”, or after “12 conversations with calls”."""
        if not self.is_valid():
            return "until the filter is corrected"
        if self.id_prefix is not None:
            return f"under ids that begin with {self.id_prefix}, on any day"
        chosen = self.cleaned_data
        said = [self.days()]
        if self.owners is not None:
            said.append(
                f"by “{chosen['user']}”"
                + (
                    ""
                    if len(self.owners) == 1
                    else f" ({len(self.owners)} people)"
                    if self.owners
                    else " (nobody)"
                )
            )
        said += [f"{self[name].label.lower()} {chosen[name]}" for name in EXACTLY if chosen[name]]
        if chosen["source"]:
            said.append(
                {"page": "through the gateway’s pages", "key": "through API keys"}.get(
                    chosen["source"], f"through API key {chosen['source']}…"
                )
            )
        if chosen["q"]:
            said.append(f"with the words “{chosen['q']}”")
        return ", ".join(said)


REVIEW = [
    ("", "Any"),
    ("none", "Not reviewed"),
    ("waiting", "Waiting"),
    ("new", "New since the review"),
    ("decided", "Decided"),
    (
        "Last decision",
        [(value, label.capitalize()) for value, label in Decision.Disposition.choices],
    ),
]
SAID = {
    "none": "not reviewed",
    "waiting": "waiting for a review",
    "new": "with calls that are new since their review",
    "decided": "decided",
} | {value: f"last decided “{label}”" for value, label in Decision.Disposition.choices}


class ConversationFilter(CallFilter):
    """Conversations that have such a call, and whose review stands so."""

    review = forms.ChoiceField(required=False, choices=REVIEW)
    assignee = forms.ChoiceField(
        label="With",
        required=False,
        choices=[("", "Anybody"), ("me", "Me"), ("nobody", "Waiting with nobody")],
    )
    field_order = ("q", "user", "since", "until", "review", "assignee")

    def conversations(self) -> QuerySet[Conversation]:
        """Its days are those of the calls. The rows come in the order of their ids, from an index of reviews where one is chosen; a conversation
        of the days is told by one look into the index of its calls."""
        if not self.is_valid():
            return Conversation.objects.none()
        if self.id_prefix is not None:
            return Conversation.objects.filter(
                id__in={
                    id for id in self.calls().values_list("conversation_id", flat=True)[:1000] if id
                }
            )
        conversations = self._whose_are(Conversation.objects.all())
        such = self._such(Snapshot.objects.all())
        if (
            such.query.has_filters()
        ):  # each has a call: nothing is to be looked for where any will do
            conversations = conversations.filter(Exists(such.filter(conversation=OuterRef("pk"))))
        if self.end_id:
            conversations = conversations.filter(
                id__lt=self.end_id
            )  # it began with its first call: what began later need not be asked
        if self.cleaned_data["review"] == "none":
            conversations = conversations.filter(review=None)
        if (reviews := self._reviews()) is not None:
            conversations = conversations.filter(id__in=reviews.values("conversation"))
        if self.cleaned_data["q"]:
            conversations = conversations.filter(
                id__in={conversation for conversation, _ in self.matching[0]}
            )
        return conversations

    def calls_of_conversations(self) -> QuerySet[Snapshot]:
        """The calls, among those that the filter means, of the conversations in the list."""
        if self.id_prefix is not None or not self.is_valid():
            return self.calls().exclude(conversation=None)
        calls = self._calls().exclude(conversation=None)
        if self.cleaned_data["review"] == "none":
            calls = calls.filter(conversation__review=None)
        if (reviews := self._reviews()) is not None:
            calls = calls.filter(conversation__in=reviews.values("conversation"))
        return (
            calls.filter(conversation__in={conversation for conversation, _ in self.matching[0]})
            if self.cleaned_data["q"]
            else calls
        )

    def _reviews(self) -> QuerySet[Review] | None:
        review, assignee = self.cleaned_data["review"], self.cleaned_data["assignee"]
        if review in ("", "none") and not assignee:
            return None
        reviews, now = Review.objects.all(), timezone.now()
        if review in Decision.Disposition.values:
            reviews = reviews.last_decided(review)
        elif review in ("waiting", "new", "decided"):
            reviews = {
                "waiting": reviews.waiting,
                "new": reviews.gone_on,
                "decided": reviews.decided,
            }[review]()
        if assignee:
            reviews = reviews.held_by(self.reader, now) if assignee == "me" else reviews.free(now)
        return reviews

    def words(self) -> str:
        said, chosen = super().words(), self.cleaned_data
        if not self.is_valid() or self.id_prefix is not None:
            return said
        more = [SAID[chosen["review"]]] if chosen["review"] else []
        more += (
            [{"me": "with you", "nobody": "waiting with nobody"}[chosen["assignee"]]]
            if chosen["assignee"]
            else []
        )
        return ", ".join([said, *more])
