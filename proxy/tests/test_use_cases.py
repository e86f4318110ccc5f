"""Use cases: chosen on the page, kept on the server, on record as what they were."""

import pytest
from django.test import Client

from conversations.models import AuditEvent, Message, Snapshot
from conversations.proof import sealing
from conversations.record import rebuild
from conversations.search import find
from conversations.tests.calls import assistant, person, turn, user
from conversations.tests.html import Html, check
from proxy.models import UseCase, use_case

pytestmark = pytest.mark.django_db
PROMPT = "You are a marmot. Whistle at eagles."


@pytest.fixture(autouse=True)
def sent(settings, server):
    """The messages that reached the upstream, in order."""
    settings.LLM_ENDPOINT = f"{server.url}/v1/chat/completions"
    server.seen.clear()
    return lambda: [
        seen["body"]["messages"]
        for seen in server.seen
        if seen["path"].endswith("/chat/completions")
    ]


@pytest.fixture(autouse=True)
def read_anew(monkeypatch):
    """What a process read some seconds ago is as good as forgotten."""
    for age in ("fresh", "oldest"):
        monkeypatch.setattr(use_case.cached, age, -1.0)


@pytest.fixture
def marmot() -> UseCase:
    return UseCase.objects.create(name="Marmot", description="whistles", prompt=PROMPT, order=9)


def ask(client: Client, message: str, path: str = "/", **form) -> Snapshot:
    response = client.post(path, {"message": message, "model": "gpt-4o"} | form)
    assert response.status_code == 303, Html(response).words
    assert b"".join(response) == b""
    return Snapshot.objects.filter(kind="chat").latest("id")


def composer(client: Client, path: str) -> tuple[Html, list[tuple[str, str]]]:
    """The page, and the use cases that it offers: (value, whether it is chosen)."""
    html = Html(client.get(path))
    check(html)
    values = [
        option
        for option in html.all("option")
        if option["value"] == "" or option["value"].isdigit()
    ]
    return html, [(option["value"], "selected" in option) for option in values]


# Choosing ---------------------------------------------------------------------------------------


def test_three_are_offered_to_begin_with(hers):
    html, offered = composer(hers, "/")
    assert "Default assistant" in html.words
    assert "Coding assistant: writes, explains and reviews code" in html.words
    assert "Security investigator" in html.words
    assert len(offered) == 3
    assert UseCase.objects.get(order=1).preamble == []


def test_its_prompt_goes_ahead_and_is_on_record(hers, marmot, sent):
    call = ask(hers, "An eagle!", use_case=marmot.pk)
    assert sent() == [[{"role": "system", "content": PROMPT}, user("An eagle!")]]
    assert call.use_case == "Marmot"
    assert rebuild.rebuild_request(call)["messages"] == sent()[0]
    assert call.conversation.title == "An eagle!"


def test_the_prompt_is_on_no_page_of_its_owner(hers, alice, marmot):
    call = ask(hers, "An eagle!", use_case=marmot.pk)
    while sealing.seal():
        pass
    root = call.conversation_id
    [hit] = find.find_hits("marmot", find.Scope()).hits
    assert hit.conversation == root, "a reviewer's search reads all that was sent"
    prompt = Message.objects.get(role="system")
    paths = [
        "/",
        f"/c/{root}/",
        f"/c/{root}/?at={prompt.id}",
        f"/c/{root}/edit/{call.head_id}/",
        f"/c/{root}/export.md",
        f"/c/{root}/export.json",
    ]
    for path in [
        *paths,
        "/history/",
        "/history/?q=whistle",
        "/api/history",
        "/api/history_v2",
        f"/api/conversations/{root}",
    ]:
        response = hers.get(path)
        assert response.status_code == 200, path
        assert "eagles" not in response.getvalue().decode(), path
    assert "gpt-4o · Marmot · " in Html(hers.get(f"/c/{root}/")).words
    for words, count in (("whistle", 0), ("eagle", 1)):
        scope = find.Scope(owners=[alice.pk], for_owner=True)
        assert len(find.find_hits(words, scope).hits) == count


def test_a_programs_system_prompt_is_still_its_owners_to_read(hers, alice):
    root = turn(alice, [{"role": "system", "content": PROMPT}, user("q")], "a").conversation_id
    assert "eagles" in Html(hers.get(f"/c/{root}/")).words


def test_a_reviewer_reads_the_prompt_and_the_name(hers, marmot):
    call = ask(hers, "An eagle!", use_case=marmot.pk)
    rita = person("rita")
    rita.is_staff = True
    rita.save()
    rita.groups.add(*rita.groups.model.objects.filter(name="Reviewer"))
    client = Client()
    client.force_login(rita)
    page = client.get(f"/admin/conversations/snapshot/{call.id}/change/").content.decode()
    assert "Whistle at eagles." in page
    assert "Marmot" in page
    for words, found in (("Marmot", True), ("Bear", False)):
        response = client.get("/admin/conversations/snapshot/", {"use_case": words})
        assert (
            f"/admin/conversations/snapshot/{call.id}/change/" in response.content.decode()
        ) == found
        assert f"use case {words}" in Html(response).words


@pytest.mark.parametrize("chosen", ["999999999", "x", "-1", "1 OR 1"])
def test_one_that_is_not_offered_is_refused_and_nothing_is_sent(hers, sent, chosen):
    response = hers.post(
        "/", {"message": "my long question", "model": "gpt-4o", "use_case": chosen}
    )
    assert response.status_code == 400
    html = Html(response)
    check(html)
    assert "This use case is no longer offered. Choose another." in html.words
    assert "my long question" in html.words
    assert sent() == []
    assert not Snapshot.objects.exists()


def test_without_any_there_is_nothing_to_choose(hers, sent):
    UseCase.objects.update(enabled=False)
    assert composer(hers, "/")[1] == []
    assert ask(hers, "q").use_case == ""
    assert sent() == [[user("q")]]


def test_one_without_a_prompt_has_a_name_all_the_same(hers, sent):
    assert ask(hers, "q", use_case=UseCase.objects.get(order=1).pk).use_case == "Default assistant"
    assert sent() == [[user("q")]]


def test_the_choice_is_remembered(hers, marmot):
    assert composer(hers, "/")[1][-1] == (str(marmot.pk), False)
    ask(hers, "q", use_case=marmot.pk)
    assert composer(hers, "/")[1][-1] == (str(marmot.pk), True)


def chosen(html: Html, value: str) -> bool:
    [option] = html.all("option", value=value)
    return "selected" in option


def test_a_model_of_its_own_is_chosen_along_with_it(hers, marmot):
    """At once for the first one; for the others the page chooses it with them."""
    UseCase.objects.filter(pk=marmot.pk).update(model="gpt-4o-mini", order=0)
    html, _ = composer(hers, "/")
    assert chosen(html, "gpt-4o-mini")
    assert [option["data-model"] for option in html.all("option") if "data-model" in option] == [
        "gpt-4o-mini"
    ]
    ask(hers, "q", use_case=marmot.pk)  # and gpt-4o, which comes before it
    html, _ = composer(hers, "/")
    assert chosen(html, str(marmot.pk))
    assert chosen(html, "gpt-4o")


def test_a_model_that_the_person_may_not_use_is_not_chosen(hers, marmot):
    UseCase.objects.filter(pk=marmot.pk).update(model="somebody-elses", order=0)
    html, _ = composer(hers, "/")
    assert not html.all("option", value="somebody-elses")


# What follows -----------------------------------------------------------------------------------


def test_a_conversation_goes_on_with_its_use_case(hers, marmot, sent):
    first = ask(hers, "first", use_case=marmot.pk)
    path = f"/c/{first.conversation_id}/"
    _, offered = composer(hers, path)
    assert [value for value, chosen in offered if chosen] == [str(marmot.pk)]
    assert "" not in dict(offered)
    second = ask(hers, "second", path, use_case=marmot.pk, parent=first.reply_id)
    assert sent()[1] == [
        {"role": "system", "content": PROMPT},
        user("first"),
        assistant(first.reply.text),
        user("second"),
    ]
    assert second.preamble_id == first.preamble_id


def test_it_can_be_changed_on_the_way(hers, marmot, sent):
    first = ask(hers, "first", use_case=marmot.pk)
    path = f"/c/{first.conversation_id}/"
    second = ask(
        hers, "second", path, use_case=UseCase.objects.get(order=1).pk, parent=first.reply_id
    )
    assert sent()[1] == [user("first"), assistant(first.reply.text), user("second")]
    assert second.conversation_id == first.conversation_id
    words = composer(hers, path)[0].words
    assert "gpt-4o · Marmot" in words
    assert "gpt-4o · Default assistant" in words


@pytest.mark.parametrize("gone", [{"name": "Groundhog"}, {"enabled": False}, None])
def test_one_that_is_gone_can_be_kept(hers, marmot, sent, gone):
    first = ask(hers, "first", use_case=marmot.pk)
    path = f"/c/{first.conversation_id}/"
    rows = UseCase.objects.filter(pk=marmot.pk)
    rows.update(**gone) if gone else rows.delete()
    html, offered = composer(hers, path)
    assert offered[0] == ("", True) or not any(chosen for _, chosen in offered), (
        "the first is shown as chosen"
    )
    assert "Marmot" in html.words
    second = ask(hers, "second", path, use_case="", parent=first.reply_id)
    assert (second.use_case, second.preamble_id) == ("Marmot", first.preamble_id)
    assert sent()[1][0]["content"] == PROMPT


def test_a_changed_prompt_holds_for_the_next_question_and_the_record_stays(hers, marmot, sent):
    first = ask(hers, "first", use_case=marmot.pk)
    UseCase.objects.filter(pk=marmot.pk).update(prompt="Be a bear.")
    ask(hers, "second", f"/c/{first.conversation_id}/", use_case=marmot.pk, parent=first.reply_id)
    assert [messages[0]["content"] for messages in sent()] == [PROMPT, "Be a bear."]
    assert (
        rebuild.rebuild_request(Snapshot.objects.get(id=first.id))["messages"][0]["content"]
        == PROMPT
    )


@pytest.mark.parametrize("route", ["again/", "edit/{message}/"])
def test_again_and_edit_keep_it(hers, marmot, sent, route):
    first = ask(hers, "first", use_case=marmot.pk)
    path = f"/c/{first.conversation_id}/{route.format(message=first.head_id)}"
    second = ask(hers, "in other words", path, call=first.id, use_case="")
    assert second.use_case == "Marmot"
    assert sent()[1][0] == sent()[0][0]


def test_a_programs_own_prompt_is_kept_unless_another_is_chosen(hers, alice, marmot, sent):
    call = turn(alice, [{"role": "system", "content": "Be terse."}, user("q")], "a")
    path = f"/c/{call.conversation_id}/"
    assert "Custom instructions of this conversation" in composer(hers, path)[0].words
    ask(hers, "and?", path, use_case="", parent=call.reply_id)
    ask(hers, "and?", path, use_case=marmot.pk, parent=call.reply_id)
    assert [messages[0]["content"] for messages in sent()] == ["Be terse.", PROMPT]


# In the admin -----------------------------------------------------------------------------------


def test_admins_edit_them_and_each_change_is_an_audit_event(hers, admin):
    fields = {
        "name": "Editor",
        "description": "mends texts",
        "prompt": "Mend it.",
        "order": 4,
        "enabled": "on",
    }
    assert admin.post("/admin/proxy/usecase/add/", fields).status_code == 302
    made = UseCase.objects.get(name="Editor")
    assert "Editor: mends texts" in composer(hers, "/")[0].words
    assert (
        admin.post(
            f"/admin/proxy/usecase/{made.pk}/change/", fields | {"prompt": "Mend it well."}
        ).status_code
        == 302
    )
    assert admin.post(f"/admin/proxy/usecase/{made.pk}/delete/", {"post": "yes"}).status_code == 302
    events = AuditEvent.objects.filter(kind="usecase").order_by("id")
    assert [(event.action, event.actor_name, event.subject) for event in events] == [
        (name, "root", str(made.pk)) for name in ("added", "changed", "deleted")
    ]
    assert "Mend" not in "".join(event.detail for event in events)


def test_what_cannot_be_recorded_is_not_changed(admin, marmot, monkeypatch):
    def broken(self, **kwargs):
        from django.db import DatabaseError

        raise DatabaseError

    monkeypatch.setattr(AuditEvent, "save", broken)
    admin.raise_request_exception = False
    response = admin.post(f"/admin/proxy/usecase/{marmot.pk}/change/", {"name": "Bear", "order": 1})
    assert response.status_code >= 500
    assert UseCase.objects.get(pk=marmot.pk).name == "Marmot"
