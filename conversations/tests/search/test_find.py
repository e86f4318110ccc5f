"""What a search finds: the newest first, its filters inside, to the end, within its time."""

from datetime import UTC, datetime, timedelta

import pytest

from conversations.models import Conversation, Decision, Review, Snapshot, User
from conversations.search import find, index
from conversations.search.query import parse
from conversations.tests.admin.desk import CALLS, CONVERSATIONS, ids, text, transcript_of
from conversations.tests.calls import answer, ask, assistant, person, turn, user
from conversations.tests.html import Html

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC)


def said(owner, words: str, days: float, **how) -> Snapshot:
    call = ask(owner, [user(words)], opened=NOW - timedelta(days=days), **how)
    answer(call, "a")
    return Snapshot.objects.get(id=call.id)


def index_all() -> None:
    index.index_calls(list(Snapshot.objects.values_list("id", flat=True)))


@pytest.fixture
def many(alice, monkeypatch) -> list[Snapshot]:
    """Calls of a common word over months, some of a rare model and person, oldest first."""
    monkeypatch.setattr(find, "CAP", 5)
    bob = person("bob")
    User.objects.filter(pk=bob.pk).update(department="Legal")
    calls = [
        said(
            bob if number % 10 == 3 else alice,
            f"the common word {number}",
            days=200 - number * 5,
            model="rare" if number % 10 == 7 else "m",
        )
        for number in range(40)
    ]
    index_all()
    return calls


def all_pages(client, address: str, query: dict) -> list:
    found, page = [], client.get(address, query)
    for _ in range(40):
        found += ids(page)
        older = page.context["cl"].older
        if not older:
            return found
        page = client.get(address + older)
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize("address", [CALLS, CONVERSATIONS])
def test_pages_go_on_to_the_last_match(desk, many, address, monkeypatch):
    monkeypatch.setattr("conversations.admin.changelist.EvidenceAdmin.list_per_page", 2)
    query = {"q": "common", "since": ""}
    first = desk.get(address, query)
    assert "More than 5 match" in text(first)
    expected = [call.pk if address == CALLS else call.conversation_id for call in many[::-1]]
    assert all_pages(desk, address, query) == expected
    middle = desk.get(address, query | {"before": str(expected[20])})
    newer = desk.get(address + middle.context["cl"].newer)
    assert ids(newer) == expected[19:21]


FILTERS = [
    {"model": "rare"},
    {"user": "bob"},
    {"department": "Legal"},
    {"until": f"{NOW - timedelta(days=100):%Y-%m-%d}"},
    {"since": f"{NOW - timedelta(days=150):%Y-%m-%d}", "model": "rare"},
]


@pytest.mark.parametrize("address", [CALLS, CONVERSATIONS])
def test_filters_are_inside_the_match(desk, many, address, monkeypatch):
    for chosen in FILTERS:
        query = {"since": ""} | chosen
        expected = ids(desk.get(address, query))
        assert 0 < len(expected) < 40, chosen
        with monkeypatch.context() as short:
            short.setattr("conversations.admin.changelist.EvidenceAdmin.list_per_page", 2)
            assert all_pages(desk, address, query | {"q": "common"}) == expected, chosen


def test_reviews_are_inside_the_match(desk, many, rita):
    old = many[1].conversation
    Review.objects.create(conversation=old, source="sampled", due=NOW)
    decided = many[0].conversation
    decision = Decision.objects.create(
        conversation=decided, reviewer=rita, disposition="no_issue", newest=many[0].id
    )
    Review.objects.create(
        conversation=decided, source="sampled", due=NOW, state="decided", decision=decision
    )
    query = {"q": "common", "since": ""}
    assert ids(desk.get(CONVERSATIONS, query | {"review": "waiting"})) == [old.pk]
    assert ids(desk.get(CONVERSATIONS, query | {"review": "no_issue"})) == [decided.pk]
    assert len(ids(desk.get(CONVERSATIONS, query | {"review": "none"}))) == 5


def test_a_call_of_the_filter_has_the_words(desk, alice):
    one = said(alice, "zephyr", days=2, model="m")
    turn(alice, [user("else")], "a", model="other", root=one.conversation_id)
    index_all()
    assert ids(desk.get(CONVERSATIONS, {"q": "zephyr", "model": "m"})) == [one.conversation_id]
    assert ids(desk.get(CONVERSATIONS, {"q": "zephyr", "model": "other"})) == []


def test_the_history_shows_the_newest_and_goes_on(hers, alice, bob):
    mine = [said(alice, f"the common word {number}", days=90 - number) for number in range(60)]
    for number in range(20):
        said(bob, f"the common word {number}", days=number / 10)
    index_all()
    expected = [str(call.conversation_id) for call in reversed(mine)]
    found, address = [], "/history/?q=common"
    while address:
        html = Html(hers.get(address))
        links = [link["href"] for link in html.all("a") if "?at=" in (link.get("href") or "")]
        found += [link.split("/")[2] for link in links]
        older = [link["href"] for link in html.all("a", rel="next")]
        address = older[0] if older else ""
    assert found == expected


def test_quotes_of_word_processors_are_quotes(desk, alice):
    call = said(alice, "the slow secret of it", days=0)
    said(alice, "a secret, and slow", days=0)
    index_all()
    for words in ("“slow secret”", '"slow secret"', "«slow secret»", "„slow secret“"):
        assert ids(desk.get(CALLS, {"q": words})) == [call.id], words
    assert len(ids(desk.get(CALLS, {"q": "user:“alice”"}))) == 2


def test_a_search_without_letters_and_digits_is_corrected(desk, alice):
    said(alice, "hello", days=0)
    index_all()
    page = desk.get(CALLS, {"q": "!?"})
    assert ids(page) == []
    assert "Type a word or a number to search for." in text(page)


def test_the_time_of_a_search_ends_and_the_cut_is_said(desk, hers, alice, monkeypatch):
    said(alice, "zephyr", days=0)
    index_all()
    monkeypatch.setattr(find, "SECONDS", -1.0)
    for address in (CALLS, CONVERSATIONS):
        page = desk.get(address, {"q": "zephyr"})
        assert "The search took too long: it looked at calls since" in text(page)
        assert b"Download CSV" not in page.content
        refused = desk.get(f"{address}csv/", {"q": "zephyr"})
        assert refused["location"] == f"{address}?q=zephyr"
    assert "took too long" in hers.get("/history/", {"q": "zephyr"}).content.decode()


@pytest.mark.django_db(transaction=True)
def test_one_limit_of_statements_holds_on_the_history_too(hers, alice, monkeypatch):
    said(alice, "zephyr", days=0)
    index_all()
    monkeypatch.setattr("conversations.patience.SECONDS", 0.2)
    slow = find.FIND.replace("{join} WHERE", "{join} WHERE pg_sleep(60) IS NULL AND")
    monkeypatch.setattr(find, "FIND", slow)
    page = hers.get("/history/", {"q": "zephyr"})
    assert page.status_code == 503
    assert "The search took too long. Add words or fewer days." in page.content.decode()


# A limit before an order or a filter --------------------------------------------------------------


def test_a_name_is_found_among_all_that_begin_so(desk, bob):
    User.objects.bulk_create(User(username=f"bob{number}") for number in range(150))
    User.objects.filter(pk=bob.pk).delete()
    bob = person("bob")  # the newest row
    call = said(bob, "q", days=0)
    assert ids(desk.get(CALLS, {"user": "bob"})) == [call.id]


def test_an_id_that_many_share_is_cut_at_the_newest_and_says_so(desk, alice, monkeypatch):
    monkeypatch.setattr("conversations.search.calls.MOST_CALLS", 3)
    calls = sorted(said(alice, f"q {number}", days=0).id for number in range(5))
    short = calls[0].hex[:8]
    assert {call.hex[:8] for call in calls} == {short}
    page = desk.get(CALLS, {"q": f"id:{short}"})
    assert ids(page) == calls[:1:-1]
    assert "More than 3 calls have such an id: the newest are listed." in text(page)


# Hidden and mixed characters ----------------------------------------------------------------------

STRANGE = {
    "a hidden one": "pay\u200broll",
    "one that turns text round": "safe \u202egnp.exe",
    "a tag": "hello\U000e0041\U000e0042",
    "mixed scripts": "p\u0430yroll",
}
USUAL = ["payroll", "Ελληνικά and Русский", "می\u200cخواهم", "👨\u200d👩\u200d👧 ❤\ufe0f", "a\r\nb"]


@pytest.mark.parametrize("words", STRANGE.values(), ids=STRANGE)
def test_strange_characters_have_a_filter(desk, alice, words):
    for usual in USUAL:
        said(alice, usual, days=0)
    call = said(alice, words, days=0)
    index_all()
    query = {"characters": "hidden"}
    assert ids(desk.get(CALLS, query)) == [call.id]
    assert ids(desk.get(CONVERSATIONS, query)) == [call.conversation_id]
    assert "with hidden or mixed-script characters" in text(desk.get(CALLS, query))
    assert ids(desk.get(CALLS, query | {"q": "-payroll -safe -hello"})) == []


def test_it_looks_beside_messages_too(desk, alice):
    call = said(alice, "q", days=0, params={"metadata": {"a": "pay\u200broll"}})
    index_all()
    assert ids(desk.get(CALLS, {"characters": "hidden"})) == [call.id]
    assert find.find_calls(parse("payroll"), find.Scope()).calls == {call.id}
    assert Conversation.objects.count() == 1


def test_a_transcript_shows_what_was_also_sent_once_and_folded(desk, alice):
    params = {"metadata": {"project": "Zephyr\u202e"}, "temperature": 0.5, "stop": ["<b>end"]}
    first = turn(alice, [user("q")], "a", params=params)
    messages = [user("q"), assistant("a", refusal=None), user("r")]
    turn(alice, messages, "b", params=params | {"stop": ["other"]})
    page = desk.get(transcript_of(first))
    shown = [[piece.label for piece in turn.also_sent] for turn in page.context["transcript"].turns]
    assert [each for each in shown if each] == [["metadata", "stop"], ["stop"]]
    assert "Also sent: metadata, stop" in text(page)
    html = page.content.decode()
    assert html.count("Zephyr") == 1
    assert "‹U+202E›" in html
    assert "&lt;b&gt;end" in html
    before = html[: html.index("Zephyr")]
    assert before.rpartition("<details")[2].count("</details>") == 0


def test_what_is_too_long_for_a_page_is_said(desk, alice):
    call = turn(alice, [user("q")], "a", params={"metadata": {"long": "zephyr " * 400_000}})
    page = desk.get(transcript_of(call))
    assert "Too long for this page: the call has it." in text(page)
    assert "zephyr" not in page.content.decode()
