"""Every form of the desk that asks for something: refused, it has all that was typed again."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from conversations import tasks
from conversations.models import AuditEvent, Case, CaseEntry, Decision, Review, SavedFilter
from conversations.tests.admin.desk import CALLS, CONVERSATIONS
from conversations.tests.cast import client_of
from conversations.tests.forms import Form
from conversations.tests.html import Html, list_inline
from conversations.tests.reviews import QUEUE, messages_of, talk, transcript_of, waiting

pytestmark = pytest.mark.django_db
CASES, POLICIES = "/admin/cases/", "/admin/conversations/samplingpolicy/add/"
HARD = "a <b>“client”</b> & 1 > 0"
LONG = f"\n{HARD}\n\n" + "n" * 10_001


class Sent(NamedTuple):
    """A form, where it is sent to, the page that it stands on, and what is typed."""

    page: str
    action: str
    typed: dict[str, str | list[str]]
    holding: str = ""  # a value by which the form is one of several


Makes = Callable[[Client], Sent]


def open_case(lea: Client) -> str:
    lea.post(f"{CASES}new/", {"name": "Larch", "purpose": "prices"})
    return f"{CASES}{Case.objects.get().pk}/"


def note(lea: Client) -> Sent:
    page = open_case(lea)
    return Sent(page, f"{page}note/", {"text": LONG})


def link(lea: Client) -> Sent:
    page = open_case(lea)
    return Sent(page, f"{page}link/", {"conversation": HARD})


def unlink(lea: Client) -> Sent:
    page, linked, other = open_case(lea), str(talk().pk), str(talk(text="another").pk)
    for each in (linked, other):
        lea.post(f"{page}link/", {"conversation": each})
    return Sent(page, f"{page}unlink/", {"conversation": linked, "text": LONG}, holding=linked)


def add_member(lea: Client) -> Sent:
    page = open_case(lea)
    client_of("rolf", "Reviewer")
    lea.post(f"{page}join/", {"user": "rolf"})  # meanwhile, and taken out again below
    lea.post(f"{page}leave/", {"user": "rolf"})
    return Sent(page, f"{page}join/", {"user": ""})


def new_case(lea: Client) -> Sent:
    return Sent(f"{CASES}new/", "", {"name": HARD, "purpose": LONG})


def many(lea: Client) -> Sent:
    talks = [talk(text=str(n)) for n in range(3)]
    waiting(*talks)
    shown = Form(lea.get(f"{QUEUE}?of=all"), f"{QUEUE}no-issue/").values["shown"]
    ticked = [str(each.pk) for each in talks[:2]]
    typed = {"reason": "  ", "conversation": ticked, "of": "all", "shown": shown}
    return Sent(f"{QUEUE}?of=all", f"{QUEUE}no-issue/", typed)


def many_without_a_list(lea: Client) -> Sent:
    sent = many(lea)
    return sent._replace(typed=sent.typed | {"reason": HARD, "shown": "forged"})


def ticked_reason(lea: Client) -> Sent:
    talks = [talk(text=str(n)) for n in range(3)]
    typed = {"row": [str(each.pk) for each in talks[1:]], "reason": HARD, "act": "no-issue"}
    page = f"{CONVERSATIONS}?user=alice"
    return Sent(page, f"{CONVERSATIONS}rows/", typed)


def ticked_assignment(lea: Client) -> Sent:
    talks = [talk("lea", str(n)) for n in range(3)]
    typed = {"row": [str(each.pk) for each in talks[1:]], "to": "lea", "act": "assign"}
    return Sent(f"{CONVERSATIONS}?user=lea", f"{CONVERSATIONS}rows/", typed)


def no_row_ticked(lea: Client) -> Sent:
    open_case(lea)
    talk()
    typed: dict[str, Any] = {"row": [], "case": str(Case.objects.get().pk), "act": "case"}
    return Sent(f"{CALLS}?user=alice", f"{CALLS}rows/", typed)


def saved_filter(lea: Client) -> Sent:
    return Sent(f"{CALLS}?user=alice", f"{CALLS}saved/", {"name": HARD * 9})


def saved_wrong_filter(lea: Client) -> Sent:
    return Sent(f"{CALLS}?q=id%3Ax", f"{CALLS}saved/", {"name": HARD})


def assignment(lea: Client) -> Sent:
    rolf = client_of("rolf", "Reviewer", reviews_departments=["Legal"])
    assert rolf
    talked = talk()
    return Sent(transcript_of(talked), f"{QUEUE}{talked.pk}/assign/", {"to": "rolf"})


def reveal(lea: Client) -> Sent:
    page = reverse("admin:reveal", args=[talk().pk])
    return Sent(page, page, {"reason": "   ", "next": "/admin/"})


def policy(lea: Client) -> Sent:
    return Sent(POLICIES, "", {"percent": "101", "department": HARD, "model": HARD})


def export(lea: Client) -> Sent:
    page = f"{reverse('admin:export-new')}?of=calls&user=alice"
    return Sent(page, "", {"format": "jsonl", "purpose": HARD * 30})


def verification(lea: Client) -> Sent:
    tasks.begin_verification("worker", with_files=False)
    page = reverse("admin:verifications")
    return Sent(page, "", {"files": "on"})


ALL = [
    note,
    link,
    unlink,
    add_member,
    new_case,
    many,
    many_without_a_list,
    ticked_reason,
    ticked_assignment,
    no_row_ticked,
    saved_filter,
    saved_wrong_filter,
    assignment,
    reveal,
    policy,
    export,
    verification,
]
HIDDEN = {"act", "of", "shown"}  # of the page that is shown now, or of a button


@pytest.mark.parametrize("make", ALL)
def test_what_was_typed_is_in_the_form_again_and_why_stands_beside_it(settings, make: Makes):
    settings.PSEUDONYMS = make is reveal
    lea = client_of("lea", "Lead")
    sent = make(lea)
    address, _, query = sent.page.partition("?")
    before = [rows.objects.count() for rows in (CaseEntry, Decision, Review, SavedFilter)]
    events = AuditEvent.objects.count()
    answer = lea.post(f"{sent.action or address}?{query}", sent.typed)
    assert answer.status_code in (200, 400)
    for name, value in sent.typed.items():
        if name in HIDDEN:
            continue
        again = Form(answer, sent.action, sent.holding).values.get(name, [])
        expected = value if isinstance(value, list) else [value]
        assert sorted(again) == sorted(expected), name
    assert [rows.objects.count() for rows in (CaseEntry, Decision, Review, SavedFilter)] == before
    if sent.action != "" and sent.action != address:
        check_page(lea, sent, answer, events)


def check_page(client: Client, sent: Sent, answer: Any, events: int) -> None:
    """The reason stands at the form, once; the reading is on the trail; and links lead on."""
    html = Html(answer)
    [said] = messages_of(answer)
    assert html.text.count(said) == 1
    [problem] = html.all("p", id="problem")
    assert problem["role"] == "alert"
    assert list_inline(html) == []
    ids = [attributes["id"] for _, attributes in html.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert AuditEvent.objects.count() == events + 1
    assert AuditEvent.objects.latest("id").action in ("list", "search", "transcript")
    address, _, query = sent.page.partition("?")
    back = client.get(f"{sent.action}?{query}")
    assert back.status_code == 302
    assert back["location"] == f"{address}?{query}"


def test_where_the_form_is_there_no_more_the_page_says_why(desk):
    page = open_case(desk)
    gone = talk()
    answer = desk.post(f"{page}unlink/", {"conversation": str(gone.pk), "text": HARD})
    assert answer.status_code == 200
    assert Html(answer).text.count("This conversation is not linked.") == 1
    assert "This conversation is not linked." not in Html(desk.get(page)).text


@pytest.mark.parametrize("make", [note, many_without_a_list, ticked_reason, saved_filter])
def test_without_a_row_on_the_trail_there_is_no_page(make: Makes):
    lea = client_of("lea", "Lead")
    sent = make(lea)
    lea.raise_request_exception = False
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            "ALTER TABLE conversations_auditevent "
            "ADD CONSTRAINT none_fits CHECK (action IS NULL) NOT VALID"
        )
    with transaction.atomic():
        answer = lea.post(sent.action, sent.typed)
        transaction.set_rollback(True)
    assert answer.status_code == 503
    assert "client" not in answer.content.decode()
