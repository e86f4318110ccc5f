"""Under PSEUDONYMS a reader learns from no filter, total or order what they know of a person.

Whatever a form takes is asked with all that identifies zelda, and with the same of a person who
does not exist: the answers are the same.
"""

import re
from collections.abc import Iterator
from urllib.parse import unquote

import pytest
from django import forms
from django.contrib import admin
from django.db import transaction
from django.template import engines
from django.urls import reverse

from conversations.admin.changelist import EvidenceAdmin
from conversations.models import Conversation, Review, Snapshot, User
from conversations.tests.calls import person
from conversations.tests.cast import client_of
from llmgateway.tests.pseudonyms.zelda import MARKS, PERSONAL, WHO
from proxy.models import ApiKey

pytestmark = pytest.mark.django_db
NOBODY = "nobod7"  # as long as the beginning of the other's
LISTS = {
    model._meta.model_name: made.filter_form
    for model, made in admin.site._registry.items()
    if isinstance(made, EvidenceAdmin)
}
ASKED = [
    (name, field)
    for name, form in LISTS.items()
    for field, kind in form.base_fields.items()
    if type(kind) is forms.CharField  # others take what they offer, and nothing else
]
OF_PEOPLE = ("user", "source", "department")


@pytest.fixture
def lead(call):
    return client_of("lea", "Lead")


def clues() -> Iterator[tuple[str, str]]:
    """What identifies zelda, and the same of nobody."""
    zelda = User.objects.get(username=WHO)
    key = ApiKey.objects.get(owner=zelda)
    beginning = WHO[:-2]
    for value in (WHO, beginning, *PERSONAL.values(), f"u{WHO}", f"gw-{WHO}", f"session-{WHO}"):
        yield value, value.replace(beginning, NOBODY)
    yield str(zelda.pk), str(zelda.pk + 1_000_000)
    yield key.prefix, "gw-00000000"
    yield "198.51.100.77", "198.51.100.78"


def reply(client, path: str, value: str) -> list:
    """What a page says: its status, its errors, what it counts and where it leads."""
    response = client.get(path)
    page = (response.context or {}).get("cl")
    echo = re.compile(rf"(?<=[ “:=]){re.escape(value)}(?![\w-])")
    said = [response.status_code, echo.sub("", unquote(response.headers.get("Location", "")))]
    if page:
        errors = [echo.sub("", str(each)) for each in page.filter.errors.values()]
        said += [page.result_count, errors, echo.sub("", page.filter.words())]
    elif response.streaming:
        said.append(response.getvalue().count(b"\n"))
    elif response.context and "count" in response.context:
        said.append(response.context["count"])
    return said


@pytest.fixture
def unrendered(monkeypatch):
    """Lists whose page is empty: what they count and refuse is in their context."""
    empty = engines["django"].from_string("")
    monkeypatch.setattr(EvidenceAdmin, "change_list_template", empty)


@pytest.mark.parametrize(("name", "field"), ASKED)
def test_what_is_known_of_a_person_finds_no_more_than_what_is_of_nobody(
    lead, unrendered, name, field
):
    """Looking at the trail adds to it, so each is asked of it as it was."""
    base, kind = f"/admin/conversations/{name}/", f"{name}s".replace("snapshot", "call")
    paths = [f"{base}?since=&"]
    if field in OF_PEOPLE:
        paths += [f"{base}csv/?since=&", f"/admin/exports/new/?of={kind}&"]
    for known, unknown in clues():
        for prefix in ("", "user:", "id:") if field == "q" else ("",):
            for path in paths:
                answers = []
                for value in (known, unknown):
                    with transaction.atomic():
                        answers.append(reply(lead, f"{path}{field}={prefix}{value}", value))
                        transaction.set_rollback(True)
                assert answers[0] == answers[1], (path, known)


def test_the_walk_finds_a_person_where_people_have_names(lead, unrendered, settings):
    settings.PSEUDONYMS = False
    path = "/admin/conversations/snapshot/?since=&user="
    assert reply(lead, path + WHO, WHO) != reply(lead, path + NOBODY, NOBODY)
    assert {"q", "user", "department", "job_title", "source", "about", "who"} <= {
        field for _, field in ASKED
    }


def test_no_order_and_no_facet_names_anybody(lead):
    for name in LISTS:
        for query in ("o=1", "o=-2.3", "_facets=True", "all=", "p=1", "o=2&_facets=True"):
            response = lead.get(f"/admin/conversations/{name}/?since=&{query}")
            assert not MARKS.search(response.getvalue()), (name, query)


def test_programs_get_one_answer_for_every_name(lead):
    said = {
        (response.status_code, response.json()["error"]["message"])
        for pair in clues()
        for value in pair
        for response in [lead.get("/api/export.csv", {"purpose": "x", "user": value})]
    }
    assert said == {(400, "There is no such user name.")}


# Accounts -----------------------------------------------------------------------------------------


@pytest.fixture
def both(call):
    """Who administers accounts and keys, and reads content under aliases."""
    return client_of("both", "Lead", "Gateway admin", is_superuser=True)


def test_who_is_on_record_is_not_told_by_name(both, settings):
    person("quiet")  # has never called
    accounts = "/admin/conversations/user/{}/delete/"
    said = []
    for name in (WHO, "quiet"):
        account = User.objects.get(username=name)
        page = both.get(accounts.format(account.pk)).content.decode()
        said.append(f"the records of {name}" in page)
        both.post(accounts.format(account.pk), {"post": "yes"})
        assert User.objects.filter(pk=account.pk).exists()
    assert said == [True, True]
    settings.PSEUDONYMS = False
    account = User.objects.get(username="quiet")
    assert both.post(accounts.format(account.pk), {"post": "yes"}).status_code == 302


def test_when_a_key_was_used_is_not_shown_beside_its_owner(both, settings):
    listed = reverse("admin:proxy_apikey_changelist")
    key = reverse("admin:proxy_apikey_change", args=[ApiKey.objects.get().pk])
    for path in (listed, key):
        assert "ast used" not in both.get(path).content.decode()
        settings.PSEUDONYMS = False
        assert "ast used" in both.get(path).content.decode()
        settings.PSEUDONYMS = True


# Departments of few -------------------------------------------------------------------------------


def people_of(department: str, number: int) -> None:
    for each in range(number):
        User.objects.create_user(f"{department}{each}", department=department)


@pytest.mark.parametrize("others", [0, 3, 4])
def test_a_sample_is_drawn_of_five_people_or_more(lead, settings, others):
    department = PERSONAL["department"]
    people_of(department, others)
    drawn = "/admin/conversations/samplingpolicy/add/"
    form = {"percent": "100", "department": department, "model": "", "active": "on"}
    response = lead.post(drawn, form)
    assert response.status_code == (302 if others == 4 else 200)
    if others < 4:
        nobodys = lead.post(drawn, form | {"department": "None such"})
        assert errors_of(response) == errors_of(nobodys)
        settings.PSEUDONYMS = False
        assert lead.post(drawn, form).status_code == 302


def errors_of(response) -> list[str]:
    return [str(each) for each in response.context["adminform"].form.errors.values()]


@pytest.mark.parametrize(("others", "taken"), [(0, False), (4, True)])
def test_an_assignment_tells_no_department_of_few(lead, call, others, taken):
    people_of(PERSONAL["department"], others)
    client_of("near", "Reviewer", reviews_departments=[PERSONAL["department"]])
    lead.post(f"/admin/queue/{call.conversation_id}/assign/", {"to": "near"})
    assert (Review.objects.get().assignee is not None) == taken


def test_a_job_title_is_shown_of_five_who_are_there(lead, call):
    people_of(PERSONAL["department"], 4)
    User.objects.filter(department=PERSONAL["department"]).update(job_title="Baker")
    listed = "/admin/conversations/conversation/?since="
    assert "Baker" in lead.get(listed).content.decode()
    User.objects.filter(username__endswith="3").update(is_active=False)
    assert "Baker" not in lead.get(listed).content.decode()
    assert Conversation.objects.count() == Snapshot.objects.exclude(conversation=None).count() == 1
