"""The history: searched, filtered, and paged, by its owner alone."""

from datetime import UTC, datetime, timedelta

import pytest

from conversations import record
from conversations.models import Conversation
from conversations.tests.calls import ask, assistant, turn, user
from conversations.tests.html import Html, check
from conversations.tests.pages.page import NOBODY, close, indexed, long

pytestmark = pytest.mark.django_db


def test_what_was_said_is_found_and_opened_where_it_is(alice, hers):
    root, calls = long(alice, 20)
    indexed(*calls)
    response = hers.get("/history/", {"q": "answer 3"})
    html = Html(response)
    check(html)
    assert b"<mark>answer</mark> <mark>3</mark>" in response.content
    assert "1 conversation matches “answer 3”." in html.words
    link = f"/c/{root}/?at={calls[3].reply_id}#m{calls[3].reply_id}"
    assert html.all("a", href=link)
    assert "answer 3" in Html(hers.get(link)).words


def test_titles_are_found_too(alice, hers):
    call = turn(alice, [user("q")], "a")
    Conversation.objects.get(id=call.conversation_id).rename("Über <Quarterly> figures")
    response = hers.get("/history/", {"q": "<quarterly"})
    assert "Über <mark>&lt;Quarterly</mark>&gt; figures" in response.content.decode()


def test_a_branch_that_is_not_the_newest_is_opened(alice, hers):
    first = turn(alice, [user("q")], "a unicorn")
    second = turn(alice, [user("q")], "a horse", root=first.conversation_id)
    indexed(first, second)
    html = Html(hers.get("/history/", {"q": "unicorn"}))
    [link] = [link["href"] for link in html.all("a") if "at=" in (link.get("href") or "")]
    assert "a unicorn" in Html(hers.get(link)).words


def test_nobody_elses_and_nothing_removed_is_found(alice, hers, bob):
    theirs, gone = turn(bob, [user("zebra")], "zebra"), turn(alice, [user("zebra")], "zebra")
    indexed(theirs, gone)
    assert "1 conversation matches “zebra”." in Html(hers.get("/history/?q=zebra")).words
    Conversation.objects.get(id=gone.conversation_id).hide()
    html = Html(hers.get("/history/?q=zebra"))
    assert "No conversations match “zebra”." in html.words
    for path in ("/history/", "/history/?q=zebra", "/"):
        assert str(theirs.conversation_id) not in hers.get(path).content.decode()
        assert str(gone.conversation_id) not in hers.get(path).content.decode()


def everywhere(client, path: str) -> list[str]:
    """The conversations of all pages, in order."""
    found = []
    for _ in range(10):
        html = Html(client.get(path))
        check(html)
        main = [tag for tag, _ in html.tags].index("main")
        found.append(
            [
                link["href"].split("?")[0].split("#")[0]
                for tag, link in html.tags[main:]
                if tag == "a" and link["href"].startswith("/c/")
            ]
        )
        older = html.all("a", rel="next")
        if not older:
            return found
        path = older[0]["href"]
    raise AssertionError("no end")


def flat(pages: list[list[str]]) -> list[str]:
    return [link for page in pages for link in page]


@pytest.mark.parametrize("apart", [timedelta(hours=1), timedelta(0)])
def test_older_pages_show_each_conversation_once(alice, hers, apart):
    began = datetime(2026, 5, 1, tzinfo=UTC)
    made = []
    for i in range(60):
        call = ask(alice, [user(f"pony {i}")], opened=began + i * apart)
        made.append(close(call, status="ok", replies=[assistant("a")], closed=began + i * apart))
    indexed(*made)
    pages = everywhere(hers, "/history/")
    assert [len(page) for page in pages] == [25, 25, 10]
    expected = [f"/c/{call.conversation_id}/" for call in reversed(made)]
    assert sorted(flat(pages)) == sorted(expected)
    if apart:
        assert flat(pages) == expected
    pages = everywhere(hers, "/history/?q=pony")
    assert [len(page) for page in pages] == [25, 25, 10]
    assert sorted(flat(pages)) == sorted(expected)
    assert "60 conversations." in Html(hers.get("/history/")).words


def listed(client, query: str) -> tuple[list[str], str]:
    """The titles that a filter leaves, and the page's words."""
    response = client.get(f"/history/?{query}")
    html = Html(response)
    check(html)
    assert response.status_code == 200
    titles = response.content.decode().split("<h2><a")[1:]
    return [title.split(">", 1)[1].split("<")[0] for title in titles], html.words


@pytest.mark.parametrize("words", ["", "q=heron&"])
@pytest.mark.parametrize(
    ("query", "days"),
    [
        ("model=gpt-4o", [3, 1]),
        ("model=gpt-4", []),
        ("use_case=Coding+assistant", [3, 2]),
        ("use_case=Coding+assistant&model=gpt-4o", [3]),
        ("since=2026-05-02", [3, 2]),
        ("until=2026-05-02", [2, 1]),
        ("since=2026-05-02&until=2026-05-02", [2]),
        ("since=2026-05-04", []),
        ("model=&use_case=&since=&until=", [3, 2, 1]),
    ],
)
def test_the_history_is_filtered(hers, calls, words, query, days):
    titles, said = listed(hers, words + query)
    assert titles == [f"day {day}" for day in days]
    count = f"{len(days) or 'No'} conversation{'' if len(days) == 1 else 's'}"
    filtered = query.replace("&", "").rpartition("=")[2] != "" or "model=gpt" in query
    chosen = " and ".join(["“heron”"] * bool(words) + ["the filter"] * filtered)
    assert (
        f"{count} match{'es' if len(days) == 1 else ''} {chosen}." if chosen else f"{count}."
    ) in said


def test_a_filters_days_are_the_viewers(alice, hers, calls):
    alice.time_zone = "Pacific/Kiritimati"  # UTC+14: noon of the 1st is the 2nd there
    alice.save()
    assert listed(hers, "since=2026-05-02&until=2026-05-02")[0] == ["day 1"]
    assert listed(hers, "q=heron&until=2026-05-02")[0] == ["day 1"]


def test_one_call_has_to_fit_the_whole_filter(alice, hers, calls):
    at = datetime(2026, 5, 9, 12, tzinfo=UTC)
    call = record.open(
        record.CallRequest(
            owner=alice.pk,
            kind="chat",
            model="o4-mini",
            body={},
            messages=[user("x")],
            root=calls[0].conversation_id,
            opened=at,
        )
    )
    close(call, status="ok", replies=[assistant("a")], closed=at)
    assert listed(hers, "model=o4-mini&since=2026-05-09")[0] == ["day 1"]
    assert listed(hers, "model=gpt-4o&since=2026-05-09")[0] == []


def test_models_and_use_cases_of_ones_own_are_offered(alice, hers, bob, calls):
    turn(bob, [user("q")], "a", use_case="Bobs own")
    html = Html(hers.get("/history/?model=gone-1"))
    check(html)
    assert [option["value"] for option in html.all("option")] == [
        "",
        "gone-1",
        "gpt-4o",
        "o4-mini",
        "",
        "Coding assistant",
    ]
    assert html.all("option", value="gone-1", selected=None)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("since=soon", "“soon” is not a valid date. Enter it as 20"),
        ("until=2026-02-30", "“2026-02-30” is not a valid date."),
        ("since=0001-01-01", "This date is too far in the past."),
        ("until=9999-12-31", "This date is too far in the future."),
        ("since=2026-05-02&until=2026-05-01", "This date is before the first one."),
        ("q=heron&since=%3Cb%3E", "“<b>” is not a valid date."),
        ("model=" + "x" * 501, "at most 500"),
    ],
)
def test_a_wrong_filter_is_named_and_nothing_is_listed(hers, calls, query, error):
    response = hers.get(f"/history/?{query}")
    assert response.status_code == 400
    html = Html(response)
    check(html)
    assert error in html.words
    assert "correct the filter first" in html.words
    assert b'class="entries"' not in response.content
    assert [fold for fold in html.all("details") if "open" in fold]


@pytest.mark.parametrize("words", ["", "q=pony&"])
def test_the_filter_goes_along_to_older_pages(alice, hers, words):
    at = datetime(2026, 5, 1, tzinfo=UTC)
    made = [
        turn(alice, [user(f"pony {i}")], "a", use_case="Riding" if i % 2 else "", opened=at)
        for i in range(70)
    ]
    indexed(*made)
    pages = everywhere(hers, f"/history/?{words}use_case=Riding&since=2026-05-01")
    assert [len(page) for page in pages] == [25, 10]
    assert sorted(flat(pages)) == sorted(f"/c/{call.conversation_id}/" for call in made[1::2])


def test_nobody_elses_is_listed_by_a_filter(hers, bob):
    turn(bob, [user("q")], "a", use_case="Bobs own")
    assert listed(hers, "use_case=Bobs+own")[0] == []


def test_a_filtered_search_costs_no_more(hers, calls, django_assert_max_num_queries):
    with django_assert_max_num_queries(10):
        assert listed(
            hers, "q=heron&model=gpt-4o&use_case=Coding+assistant&since=2026-05-01&until=2026-05-30"
        )[0] == ["day 3"]


@pytest.mark.parametrize(
    "query",
    [
        "q=%00",
        "q=%27%22%29%28%26%7C%21%3A*",
        "q=" + "x" * 5000,
        "before=x&last=y",
        f"before={NOBODY}",
        "q=a&before=zz",
        "last=2026-13-45T00:00:00Z&before=1",
        "q=-",
    ],
)
def test_odd_searches_break_nothing(alice, hers, query):
    turn(alice, [user("q")], "a")
    response = hers.get(f"/history/?{query}")
    assert response.status_code == 200
    check(Html(response))


def test_an_empty_history_says_what_to_do(alice, hers):
    html = Html(hers.get("/history/"))
    assert "Start a conversation" in html.words
    assert html.all("p", role="status")
