"""A conversation on its page: figures, money, times, versions."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from conversations import record
from conversations.models import Usage, UsagePolicy
from conversations.reading import call_words
from conversations.record import Outcome
from conversations.tests.calls import ask, assistant, turn, user
from conversations.tests.html import Html, check
from conversations.tests.pages.page import PNG, close, long, page, picture

pytestmark = pytest.mark.django_db


# One conversation -------------------------------------------------------------------------------


def test_questions_are_text_and_answers_are_markdown(alice, hers):
    root = turn(
        alice, [user("**Why** <b>not</b>?")], "# Because\n\nit **is** <script>alert(1)</script>"
    ).conversation_id
    response = hers.get(f"/c/{root}/")
    assert b"**Why** &lt;b&gt;not&lt;/b&gt;?" in response.content
    assert b"<h3>Because</h3>" in response.content
    assert b"it <strong>is</strong> &lt;script&gt;" in response.content
    assert "no-store" in response["Cache-Control"]
    assert "default-src 'none'" in response["Content-Security-Policy"]
    check(Html(response))


def test_figures_stand_below_the_answer(alice, hers):
    call = ask(alice, [user("q")])
    record.close(
        call,
        Outcome(
            status="ok",
            replies=[assistant("a")],
            prompt_tokens=1000,
            completion_tokens=204,
            cost=Decimal("0.0031"),
        ),
    )
    assert "m · 1,204 tokens · $0.0031 · " in page(hers, call.conversation).words


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        ("0", "$0.00"),
        ("0.00001", "<$0.0001"),
        ("0.0001", "$0.0001"),
        ("0.0031", "$0.0031"),
        ("0.5", "$0.50"),
        ("1234.567", "$1,234.57"),
    ],
)
def test_money(cost, text):
    assert call_words.format_cost(Decimal(cost)) == text


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        ("0", "$0.00"),
        ("0.0031", "<$0.01"),
        ("0.01", "$0.01"),
        ("0.0456", "$0.05"),
        ("1234.567", "$1,234.57"),
    ],
)
def test_money_in_cents(cost, text):
    assert call_words.format_cost(Decimal(cost), in_cents=True) == text


def test_an_estimate_is_called_one(alice, hers):
    call = ask(alice, [user("q")])
    record.close(
        call,
        Outcome(
            status="cancelled",
            replies=[assistant("a")],
            prompt_tokens=3,
            completion_tokens=1,
            estimated=True,
        ),
    )
    assert "m · about 4 tokens" in page(hers, call.conversation).words


def test_times_are_in_the_viewers_zone(alice, hers):
    alice.time_zone = "Asia/Tokyo"
    alice.save()
    call = ask(alice, [user("q")], opened=datetime(2026, 3, 1, 20, 15, tzinfo=UTC))
    close(
        call, status="ok", replies=[assistant("a")], closed=datetime(2026, 3, 1, 20, 16, tzinfo=UTC)
    )
    assert "2 Mar 2026, 05:16" in page(hers, call.conversation).words


def test_the_newest_exchanges_are_shown_and_earlier_ones_on_demand(alice, hers):
    root, _ = long(alice, 20)
    html = page(hers, root)
    assert "question 4" not in html.words
    assert "question 5" in html.words
    assert "question 19" in html.words
    [earlier] = [link["href"] for link in html.all("a") if "shown=" in (link.get("href") or "")]
    html = Html(hers.get(earlier))
    assert "question 0" in html.words
    assert "Show earlier" not in html.words


def test_a_far_message_is_shown_with_all_that_follows(alice, hers):
    root, calls = long(alice, 20)
    html = page(hers, root, at=calls[2].reply_id)
    assert "question 2" in html.words
    assert "question 1 " not in html.words
    assert "answer 19" in html.words
    assert html.all("article", id=f"m{calls[2].reply_id}")


def test_the_cost_of_a_page_does_not_grow(alice, hers, django_assert_max_num_queries, monkeypatch):
    short, _ = long(alice, 2)
    far, _ = long(alice, 30)
    monkeypatch.setattr("proxy.models.use_case.cached.fresh", float("inf"))
    page(hers, short)  # what a process reads every five seconds is read
    counts = []
    for root in (short, far):
        with CaptureQueriesContext(connection) as queries:
            page(hers, root)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 10
    UsagePolicy(text="Be kind.").publish()
    seen = turn(
        alice, [user([{"type": "text", "text": "What is this?"}, picture(PNG)])], "A picture."
    )
    with django_assert_max_num_queries(10):
        page(hers, seen.conversation_id)
    for path in ("/", "/history/", "/history/?q=question"):
        with django_assert_max_num_queries(8):
            assert hers.get(path).status_code == 200


def test_the_month_so_far_stands_below_the_question(alice, hers, bob):
    today = datetime.now(UTC).date()
    first = today.replace(day=1)
    for owner, day, model, cost in (
        (alice, today, "m", "0.25"),
        (alice, first, "n", "1.17"),
        (alice, first - timedelta(1), "m", "40"),
        (bob, today, "m", "7"),
    ):
        Usage.objects.create(owner=owner, day=day, model=model, cost=cost)
    root = turn(alice, [user("q")], "a").conversation_id
    for path in ("/", f"/c/{root}/", f"/c/{ask(alice, [user('q')]).conversation}/"):
        assert "Logged and reviewed · Usage policy · $1.42 this month" in Html(hers.get(path)).words


def test_versions_of_an_answer_are_links(alice, hers):
    calls = [turn(alice, [user("q")], "first")]
    root = calls[0].conversation_id
    calls += [turn(alice, [user("q")], text, root=root) for text in ("second", "third")]
    newest = page(hers, root)
    assert "third" in newest.words
    assert "second" not in newest.words
    assert "3 of 3" in newest.words
    assert newest.all("a", href=f"/c/{root}/?at={calls[1].reply_id}#m{calls[1].reply_id}")
    middle = page(hers, root, at=calls[1].reply_id)
    assert "second" in middle.words
    assert "2 of 3" in middle.words
    assert {link["aria-label"] for link in middle.all("a") if "aria-label" in link} == {
        "Earlier version",
        "Later version",
    }


def test_versions_of_a_question_are_links_also_of_the_first(alice, hers):
    first = turn(alice, [user("one way")], "a")
    second = turn(alice, [user("another way")], "b", root=first.conversation_id)
    root = first.conversation_id
    html = page(hers, root)
    assert "another way" in html.words
    assert "2 of 2" in html.words
    assert html.all("a", href=f"/c/{root}/?at={first.head_id}#m{first.head_id}")
    html = page(hers, root, at=first.head_id)
    assert html.all("a", href=f"/c/{root}/?at={second.head_id}#m{second.head_id}")
