"""A search is kept: snippets in lists, marks in transcripts, and the way on to the next hit."""

import re
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from conversations import record
from conversations.models import AuditEvent, Decision, Snapshot, User
from conversations.record import CallRequest
from conversations.search import find, hits, index
from conversations.tests.admin.desk import CALLS, CONVERSATIONS, page_of, text, transcript_of
from conversations.tests.calls import assistant, person, turn, user
from conversations.tests.cast import client_of
from conversations.tests.html import Html

pytestmark = pytest.mark.django_db
FILTER = "_changelist_filters"


def indexed(*calls: Snapshot) -> None:
    index.index_messages([call.id for call in calls])


def snippets(response) -> list[str]:
    html = response.content.decode()
    found = re.findall(r'<p class="gw-snippet"><a href="[^"]*">(.*?)</a></p>', html, re.DOTALL)
    return [re.sub(r"</?mark>", "*", each) for each in found]


def snippet_link(response) -> str:
    [link] = re.findall(r'gw-snippet"><a href="([^"]*)"', response.content.decode())
    return link.replace("&amp;", "&")


def marks(response) -> list[str]:
    return re.findall(r"<mark>(.*?)</mark>", response.content.decode(), re.DOTALL)


def shown(response) -> list[int]:
    return [turn.number for turn in response.context["transcript"].turns]


def here(response) -> int | None:
    """The number of the message that the page was opened at."""
    turns = response.context["transcript"].turns
    return next((turn.number for turn in turns if turn.is_target), None)


@pytest.fixture
def long(alice) -> Snapshot:
    """120 messages, the 3rd and the 111th with the word."""
    line = [assistant(f"a{i}") if i % 2 else user(f"q{i}") for i in range(119)]
    line[2], line[110] = user("the first needle"), user("the second needle")
    call = turn(alice, line, "end")
    indexed(call)
    return call


# Snippets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", [CONVERSATIONS, CALLS])
@pytest.mark.parametrize(
    ("message", "reply", "query", "snippet"),
    [
        (user("ahead of the Needle behind"), "ok", "needle", "ahead of the *Needle* behind"),
        (user("plain"), "the needle replied", "needle", "the *needle* replied"),
        (user([{"type": "text", "text": "a part needle"}]), "ok", "needle", "a part *needle*"),
        (user("<b>needle</b> & co"), "ok", "needle", "&lt;b&gt;*needle*&lt;/b&gt; &amp; co"),
        (
            user("needle \u202egnp"),
            "ok",
            "needle",
            '*needle* <span class="gw-hidden">‹U+202E›</span>gnp',
        ),
        (user("x " * 500 + "needle" + " y" * 500), "ok", "needle", None),
    ],
)
def test_a_row_shows_the_words_around_its_hit(desk, alice, base, message, reply, query, snippet):
    indexed(turn(alice, [message], reply))
    [found] = snippets(desk.get(base, {"q": query}))
    assert found == snippet or (snippet is None and "x *needle* y" in found)
    assert len(found) < 400


def test_reasoning_is_quoted(desk, alice):
    from conversations.tests.calls import answer, ask

    asked = ask(alice, [user("plain")])
    answer(asked, "so", reasoning_content="a needle of thought")
    indexed(Snapshot.objects.get(id=asked.id))
    assert snippets(desk.get(CONVERSATIONS, {"q": "needle"})) == ["a *needle* of thought"]


def test_what_was_said_beside_the_messages_is_quoted(desk, alice):
    tools = [{"type": "function", "function": {"name": "f", "description": "a needle in tools"}}]
    call = turn(alice, [user("plain")], "ok", params={"tools": tools})
    indexed(call)
    for base in (CONVERSATIONS, CALLS):
        response = desk.get(base, {"q": "needle"})
        assert snippets(response) == ["a *needle* in tools"]
        opened = desk.get(snippet_link(response))
        assert here(opened) == 2
        assert marks(opened) == ["needle"]
        assert '<details class="gw-more gw-also" open>' in opened.content.decode()


def test_a_refused_body_is_quoted_and_leads_to_its_call(desk, alice):
    body = {"model": "m", "messages": [user("a refused needle")]}
    record.refuse(CallRequest(owner=alice.pk, kind="chat", model="m", body=body), "no_model", "No.")
    call = Snapshot.objects.get()
    indexed(call)
    response = desk.get(CALLS, {"q": "needle"})
    assert snippets(response) == ["a refused *needle*"]
    assert snippet_link(response).partition("#")[0] == page_of(call)


@pytest.mark.parametrize("base", [CONVERSATIONS, CALLS])
def test_a_list_without_words_quotes_nothing(desk, long, base):
    for query in ("", "?user=alice", f"?q=id:{long.id}", "?q=nothing-like-it"):
        assert snippets(desk.get(base + query)) == []


def test_a_message_that_is_too_long_is_not_quoted_and_opens_at_its_hit(desk, alice, monkeypatch):
    monkeypatch.setattr(hits, "SNIPPETS", hits.SNIPPETS.replace(f"{hits.EACH}", "100"))
    monkeypatch.setattr("conversations.search.calls.SNIPPETS", hits.SNIPPETS)
    call = turn(alice, [user("needle " + "y " * 100)], "short")
    indexed(call)
    response = desk.get(CONVERSATIONS, {"q": "needle"})
    assert snippets(response) == ["Open at the match, in a message that is too long to quote."]
    assert here(desk.get(snippet_link(response))) == 1
    assert "quoted" not in orjson.loads(AuditEvent.objects.filter(action="search").get().detail)


def test_the_trail_says_whose_words_were_quoted(desk, long):
    desk.get(CALLS, {"q": "needle"})
    event = AuditEvent.objects.latest("id")
    assert event.action == "search"
    assert orjson.loads(event.detail)["quoted"] == [str(long.id)]


def test_where_the_reading_cannot_be_recorded_nothing_is_quoted(desk, long, monkeypatch):
    def fail(*args, **kwargs):
        raise audit.NotRecorded

    from conversations.people import audit

    monkeypatch.setattr(audit, "record", fail)
    desk.raise_request_exception = False
    for base in (CONVERSATIONS, CALLS):
        response = desk.get(base, {"q": "needle"})
        assert response.status_code >= 500
        assert b"first" not in response.content


def test_nobody_is_quoted_to_a_reader_of_other_departments(long, alice):
    User.objects.filter(pk=alice.pk).update(department="Sales")
    legal = client_of("lea", "Lead", reviews_departments=["Legal"])
    sales = client_of("sam", "Lead", reviews_departments=["Sales"])
    for base in (CONVERSATIONS, CALLS):
        assert snippets(legal.get(base, {"q": "needle"})) == []
        assert len(snippets(sales.get(base, {"q": "needle"}))) == 1
    next_url = f"{CONVERSATIONS}ffffffff-ffff-7fff-bfff-ffffffffffff/next/?{FILTER}=q%3Dneedle"
    assert urlsplit(legal.get(next_url)["location"]).path == CONVERSATIONS
    assert str(long.conversation_id) in sales.get(next_url)["location"]


def test_a_snippet_names_nobody_under_aliases(desk, settings):
    settings.PSEUDONYMS = True
    zelda = person("zelda")
    message = user([{"type": "text", "text": "needle"}]) | {"sender": "zelda and hay"}
    indexed(turn(zelda, [message], "ok"))
    for base in (CONVERSATIONS, CALLS):
        response = desk.get(base, {"q": "needle"})
        assert snippets(response) == ["*needle*"]
        for words in ("needle", "hay"):
            assert b"zelda" not in desk.get(base, {"q": words}).content


def test_matches_do_not_tell_what_aliases_hide(desk, settings):
    message = user([{"type": "text", "text": "needle"}]) | {"sender": "zelda and hay"}
    call = turn(person("zelda"), [message], "ok")
    indexed(call)
    for is_hidden in (False, True):
        settings.PSEUDONYMS = is_hidden
        for words in ("needle", "hay", "zelda"):
            page = text(desk.get(transcript_of(call), {FILTER: f"q={words}"}))
            matches = not is_hidden or words == "needle"
            assert (f"1 message matches “{words}”" in page) == matches, words
            assert (f"No message of this conversation matches “{words}”" in page) != matches


# The transcript -----------------------------------------------------------------------------------


@pytest.mark.parametrize("base", [CONVERSATIONS, CALLS])
def test_a_snippet_leads_to_the_page_that_holds_its_hit(desk, alice, base):
    line = [assistant(f"a{i}") if i % 2 else user(f"q{i}") for i in range(119)]
    line[110] = user("the needle")
    indexed(turn(alice, line, "end"))
    link = snippet_link(desk.get(base, {"q": "needle"}))
    assert link.endswith("#here")
    response = desk.get(link)
    assert here(response) == 111
    assert 111 in shown(response)
    assert 1 not in shown(response)
    assert marks(response) == ["needle"]
    assert response.content.decode().count('id="here"') == 1


def test_a_hit_on_another_branch_opens_that_branch(desk, alice):
    left = turn(alice, [user("a"), assistant("b"), user("left needle")], "L")
    right = turn(alice, [user("a"), assistant("b"), user("right")], "R", root=left.conversation_id)
    indexed(left, right)
    response = desk.get(snippet_link(desk.get(CONVERSATIONS, {"q": "needle"})))
    assert marks(response) == ["needle"]
    assert "right" not in text(response).split()
    assert marks(desk.get(transcript_of(left), {FILTER: "q=needle"})) == ["needle"]


def test_a_hit_in_a_system_prompt_is_open_where_it_was_in_force(desk, alice):
    first = turn(alice, [user("a")], "b")
    second = turn(
        alice,
        [{"role": "system", "content": "a needle"}, user("a"), assistant("b"), user("c")],
        "d",
        root=first.conversation_id,
    )
    indexed(first, second)
    response = desk.get(snippet_link(desk.get(CONVERSATIONS, {"q": "needle"})))
    assert [turn.message.text for turn in response.context["transcript"].turns] == list("abcd")
    html = response.content.decode()
    assert re.search(r'<li class="gw-prompt" id="here"><details open>', html)
    assert html.count('id="here"') == 1
    assert marks(response) == ["needle"]


def test_what_is_folded_away_is_open_where_it_holds_a_mark(desk, alice):
    indexed(turn(alice, [user("x " * 5000 + "needle")], "ok"))
    response = desk.get(snippet_link(desk.get(CONVERSATIONS, {"q": "needle"})))
    assert '<details class="gw-more" open>' in response.content.decode()
    assert marks(response) == ["needle"]


def test_only_messages_that_match_are_marked(desk, alice):
    indexed(turn(alice, [user("both red and blue"), assistant("only red"), user("x")], "ok"))
    response = desk.get(snippet_link(desk.get(CONVERSATIONS, {"q": "red blue"})))
    assert marks(response) == ["red", "blue"]


def test_marks_are_there_where_tables_are_laid_out(desk, alice):
    indexed(turn(alice, [user("| a | needle |\n|---|---|\n| 1 | <b> |")], "ok"))
    link = snippet_link(desk.get(CONVERSATIONS, {"q": "needle"})).removesuffix("#here")
    response = desk.get(f"{link}&laid_out=1")
    assert "<td><mark>needle</mark></td>" in response.content.decode()
    assert "<td>&lt;b&gt;</td>" in response.content.decode()


def test_from_hit_to_hit_over_pages(desk, long):
    response = desk.get(transcript_of(long), {FILTER: "q=needle"})
    assert (here(response), marks(response)) == (3, ["needle"])
    assert "2 messages match “needle” 1 of 2" in text(response)
    [on] = Html(response).all("a", rel="next")
    [beyond] = Html(response).all("a", id="next-hits")
    assert on["href"] == beyond["href"]
    second = desk.get(transcript_of(long) + on["href"])
    assert here(second) == 111
    assert "2 of 2" in text(second)
    [back] = [each for each in Html(second).all("a", rel="prev") if "#here" in each["href"]]
    assert here(desk.get(transcript_of(long) + back["href"])) == 3
    for link in Html(second).all("a"):
        if (link.get("href") or "").startswith("?"):
            assert parse_qs(urlsplit(link["href"]).query)[FILTER] == ["q=needle"], link


def test_a_search_costs_eight_queries_at_most(desk, long):
    for path in (
        f"{CONVERSATIONS}?q=needle",
        f"{CALLS}?q=needle",
        f"{transcript_of(long)}?{FILTER}=q%3Dneedle",
    ):
        desk.get(path)
        with CaptureQueriesContext(connection) as queries:
            assert b"<mark>" in desk.get(path).content
        assert len(queries) <= 8, [query["sql"] for query in queries]


# On to the next conversation ----------------------------------------------------------------------


@pytest.fixture
def three(alice) -> list[Snapshot]:
    """Three conversations with the word, oldest first, and one without between them."""
    calls = [turn(alice, [user(f"{word} {i}")], "ok") for i, word in enumerate(["needle"] * 3)]
    indexed(*calls, turn(alice, [user("hay")], "ok"))
    return calls


def decide(client, call: Snapshot, **fields):
    page = client.get(transcript_of(call), {FILTER: "q=needle"})
    form = {
        each["name"]: each.get("value", "")
        for each in Html(page).all("input", type="hidden")
        if each["name"] != "csrfmiddlewaretoken"
    }
    path = f"/admin/queue/{call.conversation_id}/decide/"
    return client.post(path, form | {"disposition": "no_issue"} | fields)


def test_decide_and_next_goes_on_in_the_search(desk, three):
    oldest, middle, newest = three
    response = decide(desk, newest, next="1")
    decision = Decision.objects.get()
    assert decision.conversation_id == newest.conversation_id
    assert (decision.shown, decision.messages) == (2, 2)
    response = desk.get(response["location"])
    assert response["location"] == f"{transcript_of(middle)}?of=free&{FILTER}=q%3Dneedle#here"
    assert marks(desk.get(response["location"])) == ["needle"]
    event = AuditEvent.objects.filter(action="search").latest("id")
    assert (event.terms, orjson.loads(event.detail)["found"]) == (
        "needle",
        str(middle.conversation_id),
    )
    response = desk.get(decide(desk, oldest, next="1")["location"])
    assert response["location"] == f"{CONVERSATIONS}?q=needle"
    assert "That was the last conversation of this list." in text(desk.get(response["location"]))


def test_the_chosen_queue_goes_along_with_the_search(desk, three):
    query = {"of": "all&severity=1", FILTER: "q=needle"}
    page = desk.get(transcript_of(three[2]), query)
    [link] = Html(page).all("a", id="next-conversation")
    chosen = {each["value"] for each in Html(page).all("input", name="of")}
    assert chosen == {query["of"]}
    decided = decide(desk, three[2], next="1", of=query["of"])
    claimed = desk.post(f"/admin/queue/{three[2].conversation_id}/claim/", query)
    addresses = link["href"], decided["location"], claimed["location"]
    addresses += (desk.get(link["href"])["location"],)
    for address in addresses:
        assert parse_qs(urlsplit(address).query) == {key: [value] for key, value in query.items()}


def test_a_page_that_is_opened_at_a_hit_covers_what_it_shows(desk, long):
    desk.get(snippet_link(desk.get(CONVERSATIONS, {"q": "second"})))
    event = AuditEvent.objects.filter(action="transcript").get()
    seen = orjson.loads(event.detail)
    assert (seen["first"], seen["end"], seen["length"]) == (100, 120, 120)
    assert decide(desk, long).status_code == 302
    decision = Decision.objects.get()
    assert (decision.shown, decision.messages) == (120, 120)  # and those of the page of the form
    assert str(event.pk) in map(str, decision.pages)


def test_decide_alone_and_a_claim_keep_the_search(desk, three):
    stay = f"{transcript_of(three[0])}?of=free&{FILTER}=q%3Dneedle"
    assert decide(desk, three[0])["location"] == stay
    path = f"/admin/queue/{three[0].conversation_id}/claim/"
    assert desk.post(path, {FILTER: "q=needle"})["location"] == stay


def test_the_next_conversation_is_one_click_away(desk, three):
    page = desk.get(transcript_of(three[2]), {FILTER: "q=needle&user=alice"})
    [link] = Html(page).all("a", id="next-conversation")
    location = desk.get(link["href"])["location"]
    assert location == f"{transcript_of(three[1])}?{FILTER}=q%3Dneedle%26user%3Dalice#here"


def test_without_a_search_next_is_of_the_queue(desk, three):
    page = desk.get(transcript_of(three[0]), {FILTER: "user=alice"})
    assert not Html(page).all("a", id="next-conversation")
    assert Html(page).all("button", id="review-skip")[0]["aria-keyshortcuts"] == "n"
    assert marks(page) == []


@pytest.mark.parametrize(
    "query",
    ["q=%00", "q=-needle", "q=id:12", "q=user:", "%", "q=needle&since=nonsense", "x" * 5000],
)
def test_a_filter_that_makes_no_sense_leads_nowhere_bad(desk, three, query):
    page = desk.get(transcript_of(three[2]), {FILTER: query})
    assert page.status_code == 200
    path = f"{CONVERSATIONS}{three[2].conversation_id}/next/"
    assert desk.get(path, {FILTER: query})["location"].startswith(CONVERSATIONS)


def test_an_end_that_is_cut_is_said(desk, three, monkeypatch):
    monkeypatch.setattr(find, "SECONDS", -1.0)
    path = f"{CONVERSATIONS}{three[2].conversation_id}/next/?{FILTER}=q%3Dneedle"
    assert "The search took too long" in text(desk.get(path, follow=True))


def test_the_search_goes_on_behind_its_first_matches(desk, three, monkeypatch):
    monkeypatch.setattr(find, "CAP", 1)
    seen = [three[2]]
    for call in (three[1], three[0]):
        path = f"{CONVERSATIONS}{seen[-1].conversation_id}/next/"
        assert desk.get(path, {FILTER: "q=needle"})["location"].startswith(transcript_of(call))
        seen.append(call)
