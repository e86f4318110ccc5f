"""Images on pages: sent, recorded, priced, failed; and a stranger sees none of them."""

from decimal import Decimal
from uuid import uuid4

import orjson
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from conversations import record
from conversations.models import Attachment, Snapshot, UsagePolicy
from conversations.record import CallRequest, rebuild
from conversations.tests.calls import turn, user
from conversations.tests.html import Html, check
from proxy import user_token
from proxy.pages import image_asking, images
from proxy.upstreams import catalogue

pytestmark = pytest.mark.django_db

SMALL = "dall-e-2 256x256"


@pytest.fixture(autouse=True)
def sent(settings, server):
    """What reached the upstream's images, in order."""
    settings.LLM_ENDPOINT = f"{server.url}/v1/chat/completions"
    server.seen.clear()
    return lambda: [seen for seen in server.seen if seen["path"].endswith("/images/generations")]


def make(
    client: Client, prompt: str = "a lighthouse", kind: str = SMALL, count: object = 1
) -> Snapshot:
    response = client.post("/images/", {"prompt": prompt, "kind": kind, "count": count})
    assert response.status_code == 303, Html(response).words
    assert b"".join(response) == b""
    call = Snapshot.objects.latest("id")
    assert response["Location"] == f"/images/{call.id}/"
    return call


def shown(client: Client, path: str) -> Html:
    response = client.get(path)
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    html = Html(response)
    check(html)
    return html


def under_way(owner) -> record.Call:
    said = [user("a lighthouse")]
    body = {"model": "dall-e-2", "prompt": "a lighthouse", "n": 2, "size": "256x256"}
    return record.open(
        CallRequest(
            owner=owner.pk,
            kind="image",
            model="dall-e-2",
            body=body,
            messages=said,
            sent=orjson.dumps(body),
        )
    )


# Made -------------------------------------------------------------------------------------------


def test_the_form_says_what_each_size_costs(hers):
    html = shown(hers, "/images/")
    assert "1024x1024 · $0.0200 each 512x512 · $0.0180 each 256x256 · $0.0160 each" in html.words
    assert "1024x1024 · about $0.0422 each" in html.words
    assert html.all("a", href="/images/", **{"aria-current": "page"})
    assert "Logged and reviewed" in html.words


def test_only_what_the_upstream_lists_is_offered_if_it_lists_any(hers, monkeypatch):
    monkeypatch.setattr(
        catalogue, "list_models", lambda *_: [{"id": "gpt-4o"}, {"id": "gpt-image-1"}]
    )
    assert list(image_asking.list_prices(0)) == ["gpt-image-1"]
    response = hers.post("/images/", {"prompt": "a", "kind": SMALL, "count": 1})
    assert response.status_code == 400
    assert str(images.NOT_OFFERED) in Html(response).words


def test_where_none_is_offered_the_page_says_so(hers, monkeypatch, sent):
    monkeypatch.setattr(image_asking, "list_prices", lambda *_: {})
    html = shown(hers, "/images/")
    assert "No model that you may use creates images" in html.words
    assert not html.all("textarea")
    assert hers.post("/images/", {"prompt": "a", "kind": SMALL, "count": 1}).status_code == 400
    assert sent() == []


def test_images_are_made_kept_and_shown(hers, alice, sent):
    call = make(hers, "a <b>lighthouse</b>\r\nat dusk", count=2)
    assert (call.status, call.kind, call.owner, call.cost) == (
        "ok",
        "image",
        alice,
        Decimal("0.032"),
    )
    body = {
        "model": "dall-e-2",
        "prompt": "a <b>lighthouse</b>\nat dusk",
        "n": 2,
        "size": "256x256",
        "response_format": "b64_json",
    }
    assert [seen["body"] for seen in sent()] == [body] == [rebuild.rebuild_request(call)]
    html = shown(hers, f"/images/{call.id}/")
    assert "a <b>lighthouse</b> at dusk" in html.words
    assert "dall-e-2 256x256 · $0.0320" in html.words
    pictures = html.all("img")
    assert [picture["alt"] for picture in pictures] == ["a <b>lighthouse</b>\nat dusk"] * 2
    assert [link["href"] for link in html.all("a") if "download" in link] == [
        picture["src"] for picture in pictures
    ]
    for file, picture in zip(Attachment.objects.order_by("id"), pictures, strict=True):
        assert picture["src"] == f"/c/{call.conversation_id}/a/{file.pk}"
        response = hers.get(picture["src"])
        assert b"".join(response).startswith(b"\x89PNG")
        assert (response["Content-Type"], response["X-Content-Type-Options"]) == (
            "image/png",
            "nosniff",
        )
        assert "no-store" in response["Cache-Control"]
        assert response["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert f"/images/{call.id}/" in {link["href"] for link in shown(hers, "/images/").all("a")}


def test_a_model_that_counts_tokens_is_recorded_at_what_it_counted(hers, sent):
    call = make(hers, kind="gpt-image-1 1024x1024")
    assert sent()[0]["body"] == {
        "model": "gpt-image-1",
        "prompt": "a lighthouse",
        "n": 1,
        "size": "1024x1024",
        "quality": "medium",
    }
    said_before = image_asking.list_prices(0)["gpt-image-1"]["1024x1024"]
    assert 0 <= call.cost - said_before < Decimal("0.001")


def test_another_like_it_begins_with_the_same_words(hers):
    call = make(hers, "a harbour", count=3)
    html = shown(hers, f"/images/?like={call.id}")
    assert "a harbour" in html.words
    assert html.all("option", value=SMALL)[0].keys() == {"value", "selected"}
    assert html.all("input", name="count")[0]["value"] == "3"
    assert len(html.all("option", selected=None)) == 1


def test_a_page_of_images_under_way_looks_again_by_itself(hers, alice):
    call = under_way(alice)
    response = hers.get(f"/images/{call.id}/?live=3")
    assert response["Retry-After"] == "2"
    html = Html(response)
    assert "Creating 2 images…" in html.words
    assert html.all("meta", content=f"2; url=/images/{call.id}/?live=4")
    assert "In progress" in shown(hers, "/images/").words
    done = make(hers)
    response = hers.get(f"/images/{done.id}/")
    assert "Retry-After" not in response
    assert not Html(response).all("meta", **{"http-equiv": "refresh"})


def test_twelve_calls_a_page_in_a_few_queries(hers, sent):
    calls = [make(hers, f"boat {n}") for n in range(14)]
    with CaptureQueriesContext(connection) as queries:
        html = shown(hers, "/images/")
    assert len(queries) <= 10
    listed = [link["href"] for link in html.all("a") if link["href"].startswith("/images/0")]
    assert listed == [f"/images/{call.id}/" for call in reversed(calls[2:])]
    [older] = [link["href"] for link in html.all("a", rel="next")]
    html = shown(hers, older)
    assert [link["href"] for link in html.all("a") if link["href"].startswith("/images/0")] == [
        f"/images/{call.id}/" for call in reversed(calls[:2])
    ]
    assert not html.all("a", rel="next")


# Not made ---------------------------------------------------------------------------------------


def test_what_the_provider_refuses_can_be_edited_but_not_retried(hers):
    call = make(hers, "!400 something")
    assert (call.status, call.error_code) == ("failed", "content_policy_violation")
    html = shown(hers, f"/images/{call.id}/")
    assert "refused this" in html.words
    assert " ".join(call.error.split()) in html.words
    assert html.all("a", href=f"/images/?like={call.id}")
    assert "Retry" not in html.words


@pytest.mark.parametrize("word", ["!down", "!500", "!429", "!garbage", "!html", "!401"])
def test_a_failure_is_named_and_retried(hers, sent, word):
    call = make(hers, f"{word} a boat", count=2)
    assert (call.status, call.cost) == ("failed", None)
    html = shown(hers, f"/images/{call.id}/")
    assert f"No answer. {' '.join(call.error.split())}" in html.words
    again = make(
        hers, *[html.all("input", name=name)[0]["value"] for name in ("prompt", "kind", "count")]
    )
    assert again.id != call.id
    assert {seen["body"]["n"] for seen in sent()} == {2}
    assert "No answer" in shown(hers, "/images/").words


def test_the_upstreams_images_may_be_none(hers, monkeypatch):
    monkeypatch.setattr("proxy.outcome.read_pictures", lambda *_: [])
    assert "The model returned no image." in shown(hers, f"/images/{make(hers).id}/").words


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"prompt": " "}, "Describe the image first."),
        ({"prompt": "a\0b"}, "Null characters"),
        ({"prompt": "x" * (images.LONGEST + 1)}, "at most 4000"),
        ({"kind": "dall-e-2 1x1"}, str(images.NOT_OFFERED)),
        ({"kind": "dall-e-3 1024x1024"}, str(images.NOT_OFFERED)),
        ({"kind": ""}, "Choose a model and a size."),
        ({"count": "0"}, "At least 1."),
        ({"count": "11"}, "At most 10."),
        ({"count": ""}, "Enter the number of images."),
        ({"count": "1.5"}, "Enter a whole number."),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_sent(hers, sent, wrong, words):
    response = hers.post(
        "/images/", {"prompt": "my long prompt", "kind": SMALL, "count": 1} | wrong
    )
    assert response.status_code == 400
    html = Html(response)
    check(html)
    assert words in html.words
    assert "prompt" in wrong or "my long prompt" in html.words
    assert sent() == []
    assert not Snapshot.objects.exists()


def test_what_is_not_let_through_is_recorded_and_stays_in_the_form(hers, alice, settings, sent):
    def refused(status: int, words: str) -> str:
        response = hers.post("/images/", {"prompt": "my long prompt", "kind": SMALL, "count": 1})
        assert response.status_code == status
        html = Html(response)
        check(html)
        assert words in html.words
        assert "my long prompt" in html.words
        call = Snapshot.objects.latest("id")
        assert (call.status, call.conversation, orjson.loads(call.params)["prompt"]) == (
            "refused",
            None,
            "my long prompt",
        )
        assert hers.get(f"/images/{call.id}/").status_code == 404
        return call.error_code

    settings.OPEN_CALLS = 0
    assert refused(503, "Not sent. Too many calls are open.") == "overloaded"
    settings.OPEN_CALLS = 80
    UsagePolicy(text="Be kind.").publish()
    assert refused(403, "Accept the usage policy first.") == "policy_not_accepted"
    UsagePolicy.objects.current().accept(alice)
    settings.LLM_ENDPOINT = ""
    assert refused(502, "LLM_ENDPOINT is not set") == "upstream_missing"
    assert sent() == []


def test_a_record_that_cannot_be_written_lets_nothing_through(hers, monkeypatch, sent):
    def broken(asked):
        raise RuntimeError("canary")

    monkeypatch.setattr(record, "open", broken)
    response = hers.post("/images/", {"prompt": "a", "kind": SMALL, "count": 1})
    assert response.status_code == 503
    assert "Nothing is sent that is not recorded." in Html(response).words
    assert sent() == []


# Whose ------------------------------------------------------------------------------------------


def test_a_stranger_sees_nothing(hers, his, alice):
    call = make(hers)
    [picture] = shown(hers, f"/images/{call.id}/").all("img")
    for path in (
        f"/images/{call.id}/",
        f"/images/?like={call.id}",
        picture["src"],
        f"/images/{uuid4()}/",
    ):
        assert his.get(path).status_code == 404
    assert str(call.id) not in his.get("/images/").content.decode()
    assert Client().get("/images/")["Location"].startswith("/sign-in/")
    chat = turn(alice, [user("q")], "a")
    assert hers.get(f"/images/{chat.id}/").status_code == 404


def test_what_was_removed_is_gone_from_the_pages(hers):
    call = make(hers)
    [picture] = shown(hers, f"/images/{call.id}/").all("img")
    call.conversation.hide()
    assert (
        hers.get(f"/images/{call.id}/").status_code == hers.get(picture["src"]).status_code == 404
    )
    assert str(call.id) not in hers.get("/images/").content.decode()


def test_edit_on_the_conversations_page_leads_to_the_images(hers):
    call = make(hers)
    response = hers.get(f"/c/{call.conversation_id}/edit/{call.head_id}/")
    assert (response.status_code, response["Location"]) == (302, f"/images/?like={call.id}")


def test_retry_on_the_conversations_page_leads_to_the_images(hers):
    call = make(hers, "!down")
    response = hers.post(f"/c/{call.conversation_id}/again/", {"call": call.id})
    assert response["Location"] == f"/images/{call.id}/"


def test_a_persons_own_token_goes_along_to_the_upstreams_origin_only(hers, settings, sent, server):
    settings.ALLOW_USER_TOKENS, settings.LLM_API_AUTHORIZATION = True, "Bearer ours"
    hers.post("/token/", {"token": "sk-own"})
    make(hers)
    make(hers, "!401 a boat")
    assert (
        "Your token was refused"
        in shown(hers, f"/images/{Snapshot.objects.latest('id').id}/").words
    )
    settings.LLM_ENDPOINT, settings.LLM_IMG_ENDPOINT = (
        "http://127.0.0.1:9/v1/chat/completions",
        f"{server.url}/v1/images/generations",
    )
    make(hers)
    settings.LLM_API_AUTHORIZATION, settings.LLM_IMG_ENDPOINT = "", ""
    settings.LLM_ENDPOINT = f"{server.url}/v1/chat/completions"
    hers.cookies.pop(user_token.COOKIE)
    response = hers.post("/images/", {"prompt": "a", "kind": SMALL, "count": 1})
    assert response.status_code == 400
    assert user_token.MISSING in Html(response).words
    assert [seen["headers"]["authorization"] for seen in sent()] == [
        "Bearer sk-own",
        "Bearer sk-own",
        "Bearer ours",
    ]


def test_in_front_of_another_gateway_that_one_makes_them(hers, settings, server, sent):
    settings.LLM_ENDPOINT, settings.LLM_GATEWAY_URL = "", f"{server.url}/v1/chat/completions"
    assert make(hers).status == "ok"
    assert len(sent()) == 1
    settings.LLM_GATEWAY_URL = f"{server.url}/classic"
    make(hers)
    assert server.seen[-1]["path"] == "/classic/image_gen"
