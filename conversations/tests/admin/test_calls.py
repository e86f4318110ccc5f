"""Files and single calls of the review desk."""

import base64

import orjson
import pytest
from django.core.files.storage import default_storage

from conversations import record
from conversations.admin.call_fields import GROUPS, PAYLOAD
from conversations.models import (
    Attachment,
    Snapshot,
)
from conversations.record import CallRequest, attachments, rebuild
from conversations.tests.admin.desk import (
    CALLS,
    CONVERSATIONS,
    PNG,
    page_of,
    read,
    text,
    transcript_of,
)
from conversations.tests.calls import turn, user

pytestmark = pytest.mark.django_db


# Files --------------------------------------------------------------------------------------------


def test_an_image_is_shown_from_our_own_storage(desk, call):
    file = Attachment.objects.get()
    address = f"{CONVERSATIONS}{call.conversation_id}/a/{file.pk}"
    assert f'<img src="{address}"' in desk.get(transcript_of(call)).content.decode()
    response, body = read(desk, address)
    assert body == PNG
    assert response["content-type"] == "image/png"
    assert response["content-security-policy"] == "sandbox; default-src 'none'"
    assert response["x-content-type-options"] == "nosniff"
    assert "no-store" in response["cache-control"]
    assert response["content-disposition"].startswith("inline")


def test_a_file_is_what_its_bytes_say_and_no_page(desk, alice):
    html = b"<html><script>alert(1)</script>" * 100
    url = "data:image/png;base64," + base64.b64encode(html).decode()
    call = turn(alice, [user([{"type": "image_url", "image_url": {"url": url}}])], "ok")
    response, _ = read(
        desk, f"{CONVERSATIONS}{call.conversation_id}/a/{Attachment.objects.get().pk}"
    )
    assert response["content-type"] == "application/octet-stream"
    assert response["content-disposition"].startswith("attachment")


def test_files_are_reached_through_their_own_conversation_or_call_only(desk, alice, call):
    file = Attachment.objects.get()
    other = turn(alice, [user("no files here")], "none")
    refused = record.refuse(
        CallRequest(
            owner=alice.pk, kind="chat", model="m", body=rebuild.rebuild_request(call), sent=b"{}"
        ),
        "blocked",
        "Not this.",
    )
    loose = Attachment.objects.get(conversation=None)
    stranger = record.refuse(
        CallRequest(owner=alice.pk, kind="chat", model="m", body={"model": "m"}, sent=b"{}"),
        "blocked",
        "Not this.",
    )
    assert desk.get(f"{CONVERSATIONS}{other.conversation_id}/a/{file.pk}").status_code == 404
    assert desk.get(f"{CONVERSATIONS}{other.conversation_id}/a/{loose.pk}").status_code == 404
    assert read(desk, f"{CALLS}{refused}/a/{loose.pk}")[1] == PNG
    assert (
        f"{CALLS}{refused}/a/{loose.pk}" in desk.get(f"{CALLS}{refused}/change/").content.decode()
    )
    assert desk.get(f"{CALLS}{refused}/a/{file.pk}").status_code == 404
    assert desk.get(f"{CALLS}{stranger}/a/{loose.pk}").status_code == 404
    assert desk.get(f"{CALLS}{call.id}/a/{file.pk}").status_code == 404


def test_a_file_that_storage_lost_takes_no_page_down(desk, call):
    file = Attachment.objects.get()
    default_storage.delete(attachments.storage_name(bytes(file.sha256)))
    assert desk.get(f"{CONVERSATIONS}{call.conversation_id}/a/{file.pk}").status_code == 404
    assert desk.get(transcript_of(call)).status_code == 200
    assert desk.get(page_of(call)).status_code == 200
    response = desk.get(f"{CALLS}{call.id}/request.json", follow=True)
    assert "one of its files is missing from storage" in text(response)


# One call -----------------------------------------------------------------------------------------


def test_every_column_of_a_call_is_on_its_page(desk, alice):
    named = {name for names in GROUPS.values() for name in names}
    assert named | set(PAYLOAD) | {"attempts"} == {
        field.name for field in Snapshot._meta.concrete_fields
    }
    call = turn(
        alice,
        [user("hi")],
        "hello",
        user_agent="curl/8",
        address="10.1.2.3",
        key="gw-12345678",
        end_user="someone",
    )
    shown = text(desk.get(page_of(call)))
    for value in (
        call.id,
        "curl/8",
        "10.1.2.3",
        "gw-12345678",
        "someone",
        bytes(call.commitment).hex(),
        call.head_id,
        call.reply_id,
        "not sealed yet",
    ):
        assert str(value) in shown


def test_a_calls_request_and_reply_are_shown_and_downloaded_whole(desk, call):
    page = desk.get(page_of(call))
    request = rebuild.rebuild_request(call)
    shown = orjson.loads(page.context["payloads"][0][1])
    assert shown["messages"][0]["content"][0] == request["messages"][0]["content"][0]
    assert shown["messages"][0]["content"][1]["image_url"]["url"].startswith(
        "data:image/png;base64,[file with sha256 "
    )
    assert orjson.loads(page.context["payloads"][1][1]) == rebuild.rebuild_response(call)
    for name, expected in (("request", request), ("response", rebuild.rebuild_response(call))):
        response = desk.get(f"{CALLS}{call.id}/{name}.json")
        assert orjson.loads(response.content) == expected
        assert response["content-disposition"] == f'attachment; filename="{name}-{call.id}.json"'
        assert "no-store" in response["cache-control"]


def test_a_refused_call_shows_what_was_asked_and_why_not(desk, alice):
    id = record.refuse(
        CallRequest(
            owner=alice.pk,
            kind="chat",
            model="m",
            body={"model": "m", "messages": [user("let me in")]},
            sent=b"{}",
        ),
        "blocked",
        "Not this.",
    )
    shown = text(desk.get(f"{CALLS}{id}/change/"))
    assert "let me in" in shown
    assert "Not this. blocked" in shown
    assert "not part of a conversation" in shown
    assert "Nothing was received." in shown
    assert desk.get(f"{CALLS}{id}/response.json").status_code == 404
    assert "blocked" in text(desk.get(CALLS))
