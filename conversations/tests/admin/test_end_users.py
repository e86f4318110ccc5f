"""The end user of a shared key is a person at the desk, by the name that the key claims."""

import csv
import io
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from conversations.exports import selection
from conversations.exports.formats import FORMATS
from conversations.exports.selection import Selection
from conversations.models import Conversation, OtherName, Snapshot, User
from conversations.people.identity import Names, alias
from conversations.proof import sealing
from conversations.tests.admin.desk import CALLS, CONVERSATIONS, page_of, text, transcript_of
from conversations.tests.calls import person, turn, user
from conversations.tests.cast import client_of
from conversations.tests.reviews import waiting

pytestmark = pytest.mark.django_db
ANN = {"first_name": "Anna", "email": "ann.lee@firm.example", "external_id": "E-1042"}
# Who asked, as the shared key says; none: its owner.
CLAIMS = ("ann", "ann.lee@firm.example", "E-1042", "number 7", "annette", "ben", "")
# By whom is searched → whose conversations are found.
FOUND = {
    "ann": {"ann", "ann.lee@firm.example", "E-1042", "number 7"},  # the account of that name
    "ANN": {"ann", "ann.lee@firm.example", "E-1042", "number 7", "annette"},
    "annet": {"annette"},
    "Annette": {"annette"},
    "be": {"ben"},
    "number": {"number 7"},
    "E-1042": {"ann", "ann.lee@firm.example", "E-1042", "number 7"},
    "front": set(CLAIMS),
    "nobody": set(),
}


@pytest.fixture
def calls() -> dict[str, Snapshot]:
    ann = User.objects.create_user("ann", **ANN)
    front_end = person("front end")
    OtherName.objects.create(kind="end_user", account=front_end, name="number 7", person=ann)
    made = {
        end_user: turn(
            front_end, [user(f"the words of {end_user}")], "yes", end_user=end_user, key="gw-front"
        )
        for end_user in CLAIMS
    }
    while sealing.seal():
        pass
    return made


@pytest.fixture
def lead(calls) -> Client:
    waiting(*(call.conversation for call in calls.values()))
    return client_of("lea", "Lead")


def end_users(response) -> set[str]:
    listed = response.context["cl"]
    assert not listed.filter.errors, listed.filter.errors
    return {row.end_user for row in listed.result_list}


@pytest.mark.parametrize("listed", [CONVERSATIONS, CALLS])
@pytest.mark.parametrize("words", [{}, {"q": "words"}], ids=["all", "searched"])
def test_a_person_is_found_by_what_a_key_claims(lead, listed, words):
    for chosen, expected in FOUND.items():
        response = lead.get(listed, {"since": "", "user": chosen} | words)
        assert end_users(response) == expected, chosen
        if chosen in ("ann", "E-1042", "front"):
            assert f"by “{chosen}” " not in response.context["cl"].filter.words()
        typed = lead.get(listed, {"since": "", "q": f'user:"{chosen}" {words.get("q", "")}'})
        assert end_users(typed) == expected, chosen


def test_one_that_is_found_by_words_is_found_among_many_others(lead, calls):
    found = lead.get(CONVERSATIONS, {"since": "", "user": "ben", "q": "words"})
    assert [row.pk for row in found.context["cl"].result_list] == [calls["ben"].conversation_id]
    assert not lead.get(CALLS, {"user": "ben", "q": "annette"}).context["cl"].result_list


def test_each_page_names_the_end_user_as_a_claim(lead, calls):
    queue = text(lead.get("/admin/queue/?of=all"))
    for end_user, call in calls.items():
        by = {"since": "", "q": f"id:{call.conversation_id}"}
        pages = [
            lead.get(CONVERSATIONS, by),
            lead.get(CALLS, by),
            lead.get(transcript_of(call)),
            lead.get(page_of(call)),
        ]
        is_named_otherwise = end_user in ("ann.lee@firm.example", "E-1042", "number 7")
        for shown in map(text, pages):
            assert (end_user or "front end") in shown, end_user
            assert ("claimed by front end" in shown) == bool(end_user), end_user
            assert ("claimed by front end, account ann" in shown) == is_named_otherwise, end_user
            assert "Anna" not in shown  # what is known of an account is not what a key claims
        assert (end_user or "front end") in queue, end_user
    assert "Anna" not in queue


@pytest.mark.parametrize(
    "path", [CONVERSATIONS, CALLS, f"{CONVERSATIONS}?user=front&q=words", "/admin/queue/?of=all"]
)
def test_a_page_reads_no_more_for_many_end_users(lead, path):
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            lead.get(path)
        return len(queries)

    count()  # the first sight of an account reads more
    before = count()
    more = [
        turn(person("front end"), [user(f"words {n}")], "yes", end_user=f"more {n}")
        for n in range(5)
    ]
    waiting(*(call.conversation for call in more))
    sealing.seal()
    assert count() == before


# Files --------------------------------------------------------------------------------------------


def exported(name: str, reader: User) -> str:
    made = FORMATS[name](Names(reader))
    chosen = Selection(Snapshot.objects.all(), 0, selection.newest_seal())
    seals = {}
    for stretch in chosen.stretches(100):
        seals |= stretch.seals
    if made.conversations:
        calls = Snapshot.objects.in_bulk(seals)
        seals = {calls[call].conversation_id: number for call, number in seals.items()}
    rows = made.rows(selection.Stretch(chosen.last, seals), chosen.last)
    return (made.head + b"".join(rows)).decode("utf-8-sig")


@pytest.mark.parametrize("name", ["figures", "turns", "conversations"])
def test_a_table_has_the_end_user_beside_the_owner(calls, name):
    lead = User.objects.create_user("lea")
    rows = list(csv.DictReader(io.StringIO(exported(name, lead))))
    assert {row["end_user"] for row in rows} == set(CLAIMS)
    assert {row["user_name"] for row in rows} == {"front end"}


def test_a_transcript_for_print_names_the_claim(calls):
    page = exported("transcript", User.objects.create_user("lea"))
    assert "number 7, claimed by front end, account ann" in page
    assert "<strong>annette</strong>" in page


# Aliases ------------------------------------------------------------------------------------------


def test_under_aliases_one_person_has_one_alias(lead, calls, settings):
    settings.PSEUDONYMS = True
    ann = alias(User.objects.get(username="ann").pk)
    hers, others = ("ann", "ann.lee@firm.example", "E-1042", "number 7"), ("annette", "ben")
    expected = dict.fromkeys(hers, ann) | {name: alias(name) for name in others}
    for end_user, name in expected.items():
        call = calls[end_user]
        by = {"since": "", "q": f"id:{call.conversation_id}"}
        for page in (
            lead.get(CONVERSATIONS, by),
            lead.get(CALLS, by),
            lead.get(transcript_of(call)),
        ):
            shown = text(page)
            assert name in shown
            assert "account" not in shown.partition(name)[2][:120]
            assert "front end" not in shown
        found = lead.get(CALLS, {"since": "", "user": name[:12]})
        assert end_users(found) == (set(hers) if end_user in hers else {end_user})
    reader = User.objects.get(username="lea")
    for name in ("figures", "conversations"):
        rows = list(csv.DictReader(io.StringIO(exported(name, reader))))
        assert {row["end_user"] for row in rows} == {*expected.values(), ""}


def test_under_aliases_no_claimed_name_is_searched(lead, settings):
    settings.PSEUDONYMS = True
    for name in ("ann", "annette", "number", "E-1042", "ann.lee@firm.example"):
        response = lead.get(CALLS, {"since": "", "user": name})
        assert "No alias begins with that." in text(response), name
        assert not response.context["cl"].result_list, name


def test_under_aliases_the_names_are_not_listed_to_who_reads(calls, settings):
    settings.PSEUDONYMS = True
    names = "/admin/conversations/othername/"
    both = client_of("both", "Lead", "Gateway admin")
    assert "annette" not in both.get(names).content.decode()
    row = OtherName.objects.get(name="annette")
    assert both.get(f"{names}{row.pk}/change/").status_code == 302
    assert "annette" in client_of("guy", "Gateway admin").get(names).content.decode()


# The usage report ---------------------------------------------------------------------------------


def people_of(client: Client, panel: str = "people") -> list[list[str]]:
    day = datetime.now(UTC).date()
    body = client.get(f"/admin/usage/{panel}.csv?since={day}&until={day}").content
    return list(csv.reader(io.StringIO(body.decode("utf-8-sig"))))


def test_the_report_counts_end_users_as_people(lead, calls):
    turn(User.objects.get(username="ann"), [user("by herself")], "yes")
    turn(person("front end"), [user("again")], "yes", end_user="ben")  # not sealed yet
    rows = {row[0]: row[1] for row in people_of(lead)[1:]}
    claimed = {f"{name}, claimed by front end": "1" for name in CLAIMS if name}
    assert rows == claimed | {"ann": "1", "front end": "2"}
    sealing.seal()
    rows = {row[0]: row[1] for row in people_of(lead)[1:]}
    assert rows == claimed | {"ann": "1", "front end": "1", "ben, claimed by front end": "2"}
    page = text(lead.get("/admin/usage/"))
    assert "People 4" in page  # ann by five names, annette, ben, and the front end itself
    heads, *days = people_of(lead, "history")
    assert sum(int(cell) for row in days for cell in row[1:]) == 9
    assert "ben, claimed by front end" in heads


def test_a_claim_makes_no_group_large_enough_to_be_shown(calls, settings):
    """Many names in the requests of one key are no many people."""
    auditor = client_of("otto", "Auditor")
    assert "Fewer than 5 people" in text(auditor.get("/admin/usage/"))
    assert Conversation.objects.count() == len(CLAIMS) >= 5
