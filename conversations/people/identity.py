"""Who sees people by name. Under PSEUDONYMS whoever may read what was said sees aliases instead, and can reveal the person behind one conversation.

A reveal is its event on the audit trail and nothing else, so none holds that is not on record. It is for one reader and one conversation, or for
that reader's searching by name, and over after half an hour. Every page and file that names a person asks `Names`.
"""

import json
from datetime import datetime, timedelta
from functools import cached_property
from uuid import UUID

from django.conf import settings
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, Q, Subquery
from django.db.models.functions import JSONObject
from django.utils import timezone

from ..ids import make_id
from ..models import AuditEvent, Conversation, Snapshot, User
from ..shape import Json
from . import audit, pseudonyms
from .access import may, readable

LASTS = timedelta(minutes=30)
BY_NAME = (
    "user",
    "department",
    "job_title",
    "source",
)  # fields of a filter that may say whom it is about
FEWEST = 5  # people who share what is said of them, where no one of them may be known by it


class RevealRefused(Exception):
    """Why nobody was revealed; the text is fit to show."""


def alias(of: int | str) -> str:
    """Of an account, by its number; or of a name that a client gave."""
    return pseudonyms.alias(str(settings.PSEUDONYM_KEY), f"{type(of).__name__}:{of}")


def hides_people(reader) -> bool:
    """Whether people have aliases for this reader. Who reads no content sees no conversation to put a name to."""
    return settings.PSEUDONYMS and may(reader, "view_content")


def reveal(request, subject: Conversation | Snapshot | None, reason: str) -> None:
    """To whoever asks, for half an hour: the person behind a conversation or a call in none, or, without one, names to search by. Raises Refused."""
    if not reason.strip():
        raise RevealRefused("Say why.")
    audit.record(
        request,
        AuditEvent.Action.REVEAL,
        subject or User,
        reason=reason,
        until=timezone.now() + LASTS,
    )


class Names:
    """How people are named to one reader: in lists and files by alias, where `hides` says so; on pages `about` a conversation, or a call in none,
    by name once they are revealed."""

    def __init__(self, reader, about: UUID | None = None) -> None:
        self.reader = reader
        self.about = about
        self.until = self._until(self._known[0]) if about and hides_people(reader) else None
        self.hidden = hides_people(reader) and self.until is None

    def name(self, user: User) -> str:
        return alias(user.pk) if self.hidden else user.get_username()

    def full_name(self, user: User) -> str:
        return "" if self.hidden else user.get_full_name()

    def department(self, user: User) -> str:
        return "" if self.hidden else user.department

    def job_title(self, user: User) -> str:
        """One that few people of a department have is as good as a name."""
        return (
            user.job_title
            if not self.hidden or (user.department, user.job_title) in self._known[2]
            else ""
        )

    def end_user(self, call: Snapshot) -> str:
        """Whom a shared key spoke for."""
        return alias(call.end_user) if self.hidden and call.end_user else call.end_user

    def clue(self, value: str | None) -> str:
        """What leads to a person without naming one: an address, a browser, a key, what a client called its session."""
        return "" if self.hidden else value or ""

    def request(self, body: Json) -> Json:
        return pseudonyms.masked(body, alias) if self.hidden else body

    def message(self, message: Json) -> Json:
        return pseudonyms.masked_message(message, alias) if self.hidden else message

    def event(self, event: AuditEvent) -> AuditEvent:
        """As it is shown to this reader: staff by name, since it is their work that the trail is about."""
        if not self.hidden:
            return event
        detail = json.loads(event.detail)
        subject = int(event.subject) if event.kind == "user" and event.subject.isdecimal() else None
        if event.actor_id and event.actor_id not in self._staff:
            event.actor_name, event.address, event.user_agent = alias(event.actor_id), None, ""
        if subject and subject not in self._staff:
            event.subject = detail["name"] = alias(subject)
            if not event.actor_id:  # a failed sign-in
                event.address, event.user_agent = None, ""
        if event.kind == "apikey":
            detail.pop("name", None)
        if event.actor_id != self.reader.pk and isinstance(chosen := detail.get("filter"), dict):
            detail["filter"] = {
                name: pseudonyms.HIDDEN if name in BY_NAME else value
                for name, value in chosen.items()
            }
        event.detail = json.dumps(detail)
        return event

    def find(self, text: str, most: int) -> list[int]:
        """Of the people whom this reader may read: whose name this is, or else whose names begin so. Under aliases those whose alias begins so, and
        by name only where this reader may search by it now."""
        people, begins = readable(self.reader, User.objects.all()), pseudonyms.folded(text)
        by_alias = (
            [id for id in people.values_list("id", flat=True) if alias(id).startswith(begins)]
            if begins and hides_people(self.reader)
            else []
        )
        if not self.by_name:
            return by_alias[:most]
        begin = (
            Q(username__istartswith=text)
            | Q(first_name__istartswith=text)
            | Q(last_name__istartswith=text)
            | Q(email__istartswith=text)
        )
        rows = people.filter(begin | Q(external_id=text)).values_list("id", "username")[:most]
        exactly = [id for id, name in rows if name == text]
        return exactly or list(dict.fromkeys([*by_alias, *(id for id, _ in rows)]))[:most]

    @cached_property
    def searches_until(self) -> datetime | None:
        return self._until(self._known[1]) if hides_people(self.reader) else None

    @property
    def by_name(self) -> bool:
        """Whether this reader may search by name, or by what is as good as one."""
        return not hides_people(self.reader) or self.searches_until is not None

    @property
    def may_reveal(self) -> bool:
        return hides_people(self.reader) and may(self.reader, "reveal_identity")

    @cached_property
    def _known(self) -> tuple[datetime | None, datetime | None, set[tuple[str, str]]]:
        """By one query: when the one was revealed, when names were, and departments with the job titles that at least FEWEST of their people have."""
        since = timezone.now() - LASTS
        reveals = (
            AuditEvent.objects.by(self.reader)
            .doing(AuditEvent.Action.REVEAL)
            .filter(id__gte=make_id(since, first=True), at__gt=since)
        )
        one, names = (
            reveals.filter(subject=of).newest_first().values("at")[:1]
            for of in (str(self.about), "")
        )
        people = (
            User.objects.order_by()
            .values("department", "job_title")
            .annotate(people=Count("pk"))
            .filter(people__gte=FEWEST)
        )
        common = people.values_list(JSONObject(department="department", job_title="job_title"))
        at, searched, pairs = User.objects.values_list(
            Subquery(one), Subquery(names), ArraySubquery(common)
        ).get(pk=self.reader.pk)
        return at, searched, {(pair["department"], pair["job_title"]) for pair in pairs}

    def _until(self, revealed: datetime | None) -> datetime | None:
        """For as long as its reader holds the right."""
        return revealed + LASTS if revealed and self.may_reveal else None

    @cached_property
    def _staff(self) -> set[int]:
        return set(User.objects.filter(is_staff=True).values_list("id", flat=True))
