"""A person's own conversations on pages: alice sees hers; bob, a stranger, sees none of them."""

import base64
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from django.core.files.storage import default_storage
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from conversations import record
from conversations.models import Conversation, Message, Partial, Snapshot, Usage, UsagePolicy
from conversations.reading import call_words
from conversations.record import CallRequest, Outcome, attachments, growth
from conversations.search import index
from conversations.tests.calls import answer, ask, assistant, person, turn, user
from conversations.tests.html import Html, check

pytestmark = pytest.mark.django_db

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 12
GIF = b"GIF89a" + bytes(range(256)) * 12
WEBP = b"RIFF\x00\x00\x00\x00WEBP" + bytes(range(256)) * 12
NOBODY = UUID("00000000-0000-7000-8000-000000000000")  # names nothing
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 12
PAGE = b"<html><script>alert(1)</script>" + b"x" * 3000
DRAWING = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'>" + b"x" * 3000


@pytest.fixture(autouse=True)
def no_upstream(monkeypatch):
    """Reading needs none: the list of models is not even asked for."""
    monkeypatch.setattr("proxy.pages.asking.list_models", lambda owner: ["m", "n"])


def page(client, root, **query) -> Html:
    response = client.get(reverse("conversation", args=[root]), query)
    assert response.status_code == 200
    html = Html(response)
    check(html)
    return html


def long(alice, count: int) -> tuple[UUID, list[Snapshot]]:
    """A conversation of so many exchanges."""
    said, calls, root = [], [], None
    for i in range(count):
        said.append(user(f"question {i}"))
        calls.append(turn(alice, said, f"answer {i}", root=root))
        said.append(assistant(f"answer {i}"))
        root = calls[0].conversation_id
    return root, calls


def close(call, **fields) -> Snapshot:
    record.close(call, Outcome(**fields))
    return Snapshot.objects.get(id=call.id)


def picture(data: bytes, kind: str = "image/png") -> dict:
    return {
        "type": "image_url",
        "image_url": {"url": f"data:{kind};base64,{base64.b64encode(data).decode()}"},
    }


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


@pytest.mark.parametrize(
    ("fields", "words", "button"),
    [
        (
            {"status": "failed", "error_code": "upstream_unreachable", "error": "It hung up."},
            "No answer. It hung up.",
            "Retry",
        ),
        (
            {"status": "failed", "error_code": "content_policy_violation", "error": "Not that."},
            "The model's provider refused this. Not that.",
            "Edit the question",
        ),
        (
            {
                "status": "failed",
                "error_code": "context_length_exceeded",
                "error": "400,000 tokens.",
            },
            "Too long for the model. 400,000 tokens.",
            "New conversation",
        ),
        (
            {"status": "failed", "error": "It hung up.", "replies": [assistant("half an")]},
            "half an The answer was cut off. It hung up.",
            "Retry",
        ),
        (
            {"status": "cancelled", "error": "Stopped.", "replies": [assistant("half an")]},
            "half an Stopped.",
            "Regenerate",
        ),
        ({"status": "cancelled", "error": "Stopped."}, "Stopped.", "Regenerate"),
        (
            {"status": "interrupted", "error": "The gateway stopped."},
            "Interrupted. The gateway stopped.",
            "Retry",
        ),
    ],
)
def test_how_a_call_ended_is_said_with_a_way_on(alice, hers, fields, words, button):
    call = close(ask(alice, [user("q")]), **fields)
    html = page(hers, call.conversation_id)
    assert words in html.words
    after = html.words.partition(words)[2]
    assert after.strip().startswith(button)
    if button in ("Retry", "Regenerate"):
        assert html.all("form", action=f"/c/{call.conversation_id}/again/")
        assert html.all("input", name="call", value=str(call.id))
    assert html.words.count("Regenerate") == (button == "Regenerate")


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("length", "Ended at the token limit."),
        ("content_filter", "Ended by the provider's content filter."),
        ("stop", ""),
    ],
)
def test_an_answer_that_was_ended_says_so(alice, hers, reason, words):
    call = close(
        ask(alice, [user("q")]), status="ok", replies=[assistant("a")], finish_reason=reason
    )
    html = page(hers, call.conversation_id)
    assert words in html.words
    assert ("Ended" in html.words) == bool(words)


def test_an_answer_that_grows_is_followed(alice, hers):
    call = ask(alice, [user("q")])
    growth.save_piece(call.id, 0, "It is **bold")
    growth.save_piece(call.id, 12, "** and")
    html = page(hers, call.conversation, live=7)
    assert "It is bold and" in html.words
    [refresh] = html.all("meta", **{"http-equiv": "refresh"})
    assert refresh["content"] == f"2; url=/c/{call.conversation}/?live=8#m{call.head}"
    assert html.all("article", id=f"m{call.head}")
    assert html.all("form", action=f"/c/{call.conversation}/stop/")
    assert html.all("textarea") == []
    assert "4 words so far" in html.words
    answer(call, "It is **bold** and whole")
    html = page(hers, call.conversation, live=8)
    assert html.all("meta", **{"http-equiv": "refresh"}) == []
    assert html.all("textarea")


def test_nothing_has_come_yet(alice, hers):
    call = ask(alice, [user("q")])
    html = page(hers, call.conversation)
    assert html.all("meta", content=f"2; url=/c/{call.conversation}/?live=1#m{call.head}")
    assert "Answering…" in html.words


def test_a_second_answer_grows_beside_the_first(alice, hers):
    first = turn(alice, [user("q")], "the first")
    root = first.conversation_id
    call = ask(alice, [user("q")], root=root)
    html = page(hers, root)
    assert "the first" not in html.words
    assert "2 of 2" in html.words
    html = page(hers, root, at=first.reply_id)
    assert "the first" in html.words
    assert "1 of 2" in html.words
    assert html.all("meta", **{"http-equiv": "refresh"}) == []
    html = page(hers, root, at=first.head_id)
    assert html.all("meta", content=f"2; url=/c/{root}/?at={first.head_id}&live=1#m{first.head_id}")
    answer(call, "the second")
    assert "the second" in page(hers, root, at=first.head_id).words


def test_a_failed_second_answer_leaves_the_first_within_reach(alice, hers):
    first = turn(alice, [user("q")], "the first")
    root = first.conversation_id
    close(ask(alice, [user("q")], root=root), status="failed", error="It hung up.")
    html = page(hers, root)
    assert "No answer. It hung up." in html.words
    assert html.all("a", href=f"/c/{root}/?at={first.reply_id}#m{first.reply_id}")
    turn(alice, [user("q")], "the third", root=root)
    html = page(hers, root)
    assert "the third" in html.words
    assert "It hung up." not in html.words


def test_an_answer_for_a_program_is_followed_but_not_stopped(alice, hers):
    call = ask(alice, [user("q")], key="gw-12345678")
    html = page(hers, call.conversation)
    assert html.all("meta", **{"http-equiv": "refresh"})
    assert html.all("form", action=f"/c/{call.conversation}/stop/") == []


def test_stop(alice, hers):
    call = ask(alice, [user("q")])
    response = hers.post(f"/c/{call.conversation}/stop/", {"call": call.id})
    assert response.status_code == 302
    assert response["Location"] == f"/c/{call.conversation}/?live=0"
    assert growth.find_stopped([call.id]) == [call.id]


def test_stop_reaches_no_other_conversation(alice, hers, bob):
    call, theirs = ask(alice, [user("q")]), ask(bob, [user("q")])
    for wrong in (str(theirs.id), str(NOBODY), "", "x"):
        assert hers.post(f"/c/{call.conversation}/stop/", {"call": wrong}).status_code == 404
    assert growth.find_stopped([call.id, theirs.id]) == []


def test_claimed_answers_are_marked(alice, hers):
    root = turn(alice, [user("q"), assistant("never relayed"), user("r")], "a").conversation_id
    html = page(hers, root)
    assert html.words.count("the gateway did not relay it") == 1
    assert "did not relay it. never relayed" in html.words


def test_the_system_prompt_is_folded(alice, hers):
    root = turn(alice, [{"role": "system", "content": "Be terse."}, user("q")], "a").conversation_id
    html = page(hers, root)
    assert "System prompt Be terse." in html.words
    [fold] = html.all("details", **{"class": "preamble"})
    assert "open" not in fold
    prompt = Message.objects.get(text="Be terse.")
    html = page(hers, root, at=prompt.id)
    [fold] = html.all("details", **{"class": "preamble"})
    assert "open" in fold
    assert "q" in html.words


def test_tool_calls_can_be_read(alice, hers):
    call = ask(alice, [user("weather?")])
    reply = answer(
        call,
        None,
        tool_calls=[
            {
                "id": "c1",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'},
            }
        ],
    )
    sent_back = {key: value for key, value in reply.items() if value not in (None, [])}
    turn(
        alice,
        [
            user("weather?"),
            sent_back,
            {"role": "tool", "tool_call_id": "c1", "content": "4 degrees"},
        ],
        "It is cold.",
        root=call.conversation,
    )
    html = page(hers, call.conversation)
    assert 'Calls get_weather{ "city": "Oslo" }' in html.words
    assert "Result of get_weather 4 degrees" in html.words
    assert "It is cold." in html.words


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        [],
        [{}],
        [1],
        ["text"],
        {"odd": "object"},
        [{"type": "text"}],
        [{"type": "text", "text": 5}],
        [{"type": "image_url", "image_url": None}],
        [{"type": "image_url", "image_url": {"url": 5}}],
        [{"type": "file", "file": {"file_id": "f"}}],
        [{"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}],
        [{"type": "image_url", "image_url": {"url": "javascript:alert(1)"}}],
        [{"$attachment": ["zz", ""]}],
        [{"type": "image_url", "image_url": {"url": {"$attachment": [5]}}}],
    ],
)
def test_odd_content_breaks_no_page(alice, hers, content):
    root = turn(
        alice,
        [
            {"role": "user", "content": content},
            assistant("x", tool_calls="no", function_call="no"),
            user("q"),
        ],
        "a",
    ).conversation_id
    html = page(hers, root)
    assert not [link for link in html.all("a") if (link.get("href") or "").startswith("javascript")]


def test_odd_replies_break_no_page(alice, hers):
    call = ask(alice, [user("q")])
    answer(
        call,
        None,
        tool_calls=[5, {"id": 1}, {"id": "c", "function": {"name": None, "arguments": 7}}],
        refusal="I would rather not.",
    )
    assert "The model declined: I would rather not." in page(hers, call.conversation).words


def test_remote_pictures_are_not_loaded(alice, hers):
    part = {"type": "image_url", "image_url": {"url": "https://evil.example/pixel.png"}}
    html = page(
        hers,
        turn(
            alice,
            [user([{"type": "text", "text": "q"}, part])],
            "![x](https://evil.example/other.png)",
        ).conversation_id,
    )
    assert html.all("img") == []
    assert "[image not loaded: https://evil.example/pixel.png]" in html.words


@pytest.mark.parametrize(
    "query",
    [
        "at=x",
        f"at={NOBODY}",
        "shown=-1",
        "shown=99999999999999999999",
        "live=x",
        "at=%00&shown=%ff",
    ],
)
def test_an_odd_address_shows_the_newest(alice, hers, query):
    root, _ = long(alice, 2)
    response = hers.get(f"/c/{root}/?{query}")
    assert response.status_code == 200
    assert b"answer 1" in response.content


def test_another_persons_message_is_not_shown_by_its_id(alice, hers, bob):
    root, _ = long(alice, 1)
    theirs = turn(bob, [user("secret")], "hidden")
    assert "hidden" not in page(hers, root, at=theirs.reply_id).words


def test_pictures_that_a_model_made_are_shown_with_their_prompt(alice, hers):
    body = {"model": "dall-e-2", "prompt": "a red boat"}
    call = record.open(
        CallRequest(
            owner=alice.pk, kind="image", model="dall-e-2", body=body, messages=[user("a red boat")]
        )
    )
    close(call, status="ok", replies=[{"role": "assistant", "content": [picture(PNG)]}])
    html = page(hers, call.conversation)
    [image] = html.all("img")
    assert image["alt"] == "a red boat"
    assert "Regenerate" not in html.words


# Attachments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "kind", "name"),
    [
        (PNG, "image/png", "png"),
        (GIF, "image/gif", "gif"),
        (WEBP, "image/webp", "webp"),
        (JPEG, "image/jpeg", "jpeg"),
    ],
)
def test_a_picture_is_shown_from_here(alice, hers, data, kind, name):
    root = turn(
        alice, [user([{"type": "text", "text": "what is this"}, picture(data, "image/png")])], "a"
    ).conversation_id
    [image] = page(hers, root).all("img")
    response = hers.get(image["src"])
    assert b"".join(response) == data
    assert response["Content-Type"] == kind
    assert response["Content-Disposition"].startswith("inline; filename=")
    assert response["Content-Disposition"].endswith(f'.{name}"')
    assert response["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize("data", [PAGE, DRAWING, b"%PDF-1.7" + b"x" * 3000])
def test_anything_else_is_a_download(alice, hers, data):
    """Whatever type the sender gave it."""
    root = turn(
        alice, [user([picture(data, "text/html"), picture(data[:-1], "image/png")])], "a"
    ).conversation_id
    for row in Conversation.objects.get(id=root).attachments.all():
        response = hers.get(f"/c/{root}/a/{row.pk}")
        assert response["Content-Disposition"].startswith("attachment")
        assert response["Content-Type"] == "application/octet-stream"
        assert response["Content-Security-Policy"] == "sandbox; default-src 'none'"
        assert b"".join(response) in (data, data[:-1])


def test_an_attachment_is_reached_through_its_conversation_only(alice, hers, his):
    first = turn(alice, [user([picture(PNG)])], "a").conversation_id
    second = turn(alice, [user([picture(GIF)])], "a").conversation_id
    row = Conversation.objects.get(id=second).attachments.get()
    assert b"".join(hers.get(f"/c/{second}/a/{row.pk}")) == GIF
    assert hers.get(f"/c/{first}/a/{row.pk}").status_code == 404
    assert his.get(f"/c/{second}/a/{row.pk}").status_code == 404
    assert hers.get(f"/c/{second}/a/{10**19}").status_code == 404
    default_storage.delete(attachments.storage_name(bytes(row.sha256)))
    assert hers.get(f"/c/{second}/a/{row.pk}").status_code == 404


# What belongs to the owner ----------------------------------------------------------------------


def test_rename(alice, hers):
    root = turn(alice, [user("q")], "a").conversation_id
    check(Html(hers.get(f"/c/{root}/rename/")))
    response = hers.post(f"/c/{root}/rename/", {"title": "  Better & <b>bolder</b> "}, follow=True)
    assert response.redirect_chain == [(f"/c/{root}/", 302)]
    assert b"Conversation renamed." in response.content
    assert b"<h1>Better &amp; &lt;b&gt;bolder&lt;/b&gt;</h1>" in response.content
    assert Conversation.objects.get(id=root).title == "Better & <b>bolder</b>"


@pytest.mark.parametrize(
    ("title", "error"),
    [
        ("", "Give the conversation a title."),
        ("   ", "Give the conversation a title."),
        ("x" * 201, "at most 200"),
        ("a\0b", "Null"),
    ],
)
def test_a_bad_title_is_refused(alice, hers, title, error):
    root = turn(alice, [user("q")], "a").conversation_id
    response = hers.post(f"/c/{root}/rename/", {"title": title})
    assert response.status_code == 400
    assert error in Html(response).words
    check(Html(response))
    assert Conversation.objects.get(id=root).title == "q"


def test_remove_hides_and_the_log_stays(alice, hers):
    snapshot = turn(alice, [user("q")], "a")
    root = snapshot.conversation_id
    assert "It stays in the log" in Html(hers.get(f"/c/{root}/remove/")).words
    assert Conversation.objects.get(id=root).shown
    response = hers.post(f"/c/{root}/remove/", follow=True)
    assert response.redirect_chain == [("/history/", 302)]
    assert "Removed “q” from your history. It stays in the log." in Html(response).words
    assert not Conversation.objects.get(id=root).shown
    assert Snapshot.objects.get(id=snapshot.id).reply.text == "a"
    for path in ("", "rename/", "remove/"):
        assert hers.get(f"/c/{root}/{path}").status_code == 404
    assert f"/c/{root}/" not in hers.get("/").content.decode()


ROUTES = ["", "rename/", "remove/", "stop/", "again/", f"edit/{NOBODY}/", "a/1", "a/0", "nonesuch/"]
METHODS = ["get", "post", "head", "options", "put", "patch", "delete"]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("method", METHODS)
def test_a_strangers_conversation_is_one_that_does_not_exist(alice, his, route, method, settings):
    settings.LLM_ENDPOINT = "http://127.0.0.1:9/v1/chat/completions"
    call = ask(alice, [user([{"type": "text", "text": "private"}, picture(PNG)])])
    removed = turn(person("bob"), [user("q")], "a").conversation_id
    Conversation.objects.get(id=removed).hide()
    before = everything_of(alice)
    bodies = set()
    for root in (call.conversation, NOBODY, removed):
        form = {"message": "let me in", "model": "m", "title": "mine", "call": call.id}
        data = {"data": form} if method in ("get", "head", "post") else {}
        response = getattr(his, method)(f"/c/{root}/{route}", **data)
        assert response.status_code == 404
        id = response["x-request-id"].encode()
        assert method == "head" or id in response.content
        bodies.add(
            (
                response.content.replace(id, b"ID"),
                tuple(sorted(name for name, _ in response.items())),
            )
        )
    assert len(bodies) == 1
    assert everything_of(alice) == before


def everything_of(owner) -> list:
    tables = (
        Conversation.objects.filter(owner=owner),
        Snapshot.objects.filter(owner=owner),
        Message.objects.filter(conversation__owner=owner),
    )
    return [list(table.order_by("pk").values()) for table in tables] + [
        list(Partial.objects.values())
    ]


@pytest.mark.parametrize(
    "path", ["/", "/history/", f"/c/{NOBODY}/", f"/c/{NOBODY}/rename/", f"/c/{NOBODY}/a/1"]
)
def test_pages_are_for_people_who_are_signed_in(client, path):
    response = client.get(path)
    assert response.status_code == 302
    assert response["Location"] == f"/sign-in/?next={path}"


# History ----------------------------------------------------------------------------------------


def indexed(*snapshots: Snapshot) -> None:
    index.index_messages([snapshot.id for snapshot in snapshots])


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


@pytest.fixture
def calls(alice) -> list[Snapshot]:
    """One a conversation: two models, two use cases, noon (UTC) of three days in May."""
    made = []
    for day, model, use_case in (
        (1, "gpt-4o", ""),
        (2, "o4-mini", "Coding assistant"),
        (3, "gpt-4o", "Coding assistant"),
    ):
        at = datetime(2026, 5, day, 12, tzinfo=UTC)
        call = record.open(
            record.CallRequest(
                owner=alice.pk,
                kind="chat",
                model=model,
                body={},
                messages=[user(f"heron {day}")],
                use_case=use_case,
                opened=at,
                title=f"day {day}",
            )
        )
        made.append(close(call, status="ok", replies=[assistant("a")], closed=at))
    indexed(*made)
    return made


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


# The frame --------------------------------------------------------------------------------------


def test_the_sidebar_shows_ones_own_newest(alice, hers, bob):
    turn(bob, [user("bobs own")], "a")
    for i in range(14):
        turn(alice, [user(f"number {i} of alices")], "a")
    html = Html(hers.get("/"))
    assert "number 13 of alices" in html.words
    assert "number 1 of alices" not in html.words
    assert "bobs own" not in html.words
    assert "Review desk" not in html.words


def test_the_review_desk_is_linked_for_those_who_may_enter_it(alice, hers):
    alice.is_staff = True
    alice.save()
    assert "Review desk" in Html(hers.get("/")).words


def test_the_demo_says_that_it_is_one(alice, hers, settings):
    assert "Demo" not in Html(hers.get("/")).words
    settings.DEMO = True
    assert "Demo" in Html(hers.get("/")).words


def test_a_frame_that_shows_nothing_of_it_costs_nothing(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert client.get("/sign-in/").status_code == 200


# Signing in and out -----------------------------------------------------------------------------


@pytest.fixture
def password(alice):
    alice.set_password("correct horse")
    alice.save()
    return {"username": "alice", "password": "correct horse"}


def test_sign_in_and_out(client, password):
    html = Html(client.get("/sign-in/?next=/history/"))
    check(html)
    assert "logged and may be reviewed" in html.words
    response = client.post("/sign-in/", password | {"next": "/history/"})
    assert (response.status_code, response["Location"]) == (302, "/history/")
    assert client.get("/sign-in/").status_code == 302
    assert client.get("/sign-out/").status_code == 302
    assert client.get("/history/").status_code == 200  # a link signs nobody out
    response = client.post("/sign-out/")
    assert (response.status_code, response["Location"]) == (302, "/sign-in/")
    assert client.get("/history/").status_code == 302


@pytest.mark.parametrize(
    "next",
    [
        "https://evil.example/",
        "//evil.example/",
        "javascript:alert(1)",
        "/\\evil.example",
        "https:evil.example",
        " //evil.example",
    ],
)
def test_sign_in_leads_nowhere_else(client, password, next):
    response = client.post("/sign-in/", password | {"next": next})
    assert response["Location"] == "/"


@pytest.mark.parametrize("wrong", [{"password": "wrong"}, {"username": "nobody"}, {"password": ""}])
def test_a_wrong_password_says_no_more_than_that(client, password, wrong):
    response = client.post("/sign-in/", password | wrong)
    assert response.status_code == 200
    html = Html(response)
    check(html)
    assert "do not match" in html.words or wrong == {"password": ""}
    assert "_auth_user_id" not in client.session


def test_a_deactivated_account_is_out(alice, hers, client, password):
    alice.is_active = False
    alice.save()
    assert hers.get("/").status_code == 302
    assert "do not match" in Html(client.post("/sign-in/", password)).words
