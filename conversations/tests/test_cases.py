"""Cases: who opens them, what each member sees, and that what is in them stays."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, connection, transaction
from django.test import Client

from conversations.admin import case as pages
from conversations.models import AuditEvent, Case, CaseEntry, CaseMember, Conversation, Seal, User
from conversations.people.identity import alias
from conversations.proof import sealing
from conversations.tests.calls import person
from conversations.tests.cast import client_of
from conversations.tests.reviews import talk

pytestmark = pytest.mark.django_db
CASES = "/admin/cases/"


def act(client: Client, case: Case, what: str, **fields: Any) -> list[str]:
    """What the page says after a change."""
    response = client.post(f"{CASES}{case.pk}/{what}/", fields, follow=True)
    assert response.status_code == 200
    return [str(message) for message in response.context["messages"]]


def shown(client: Client, case: Case, query: str = "") -> str:
    response = client.get(f"{CASES}{case.pk}/{query}")
    assert response.status_code == 200
    return response.content.decode()


@pytest.fixture
def inquiry(desk) -> Case:
    desk.post(f"{CASES}new/", {"name": "Project Larch", "purpose": "a leak of prices"})
    return Case.objects.get()


def test_an_inquiry_from_its_opening_to_its_fortieth_conversation(desk, inquiry, rita):
    talks = [talk(text=f"matter {n}") for n in range(3)]
    assert (inquiry.name, inquiry.made_by) == ("Project Larch", rita)
    for each in talks:
        assert act(desk, inquiry, "link", conversation=each.pk) == []
    assert act(desk, inquiry, "note", text="asked the team\nfor its list") == []
    assert act(desk, inquiry, "unlink", conversation=talks[1].pk, text="another matter") == []
    page = shown(desk, inquiry)
    assert "matter 0" in page
    assert "matter 2" in page
    assert "matter 1" not in page
    assert "asked the team\nfor its list" in page
    assert act(desk, inquiry, "link", conversation=talks[1].pk) == []
    assert "matter 1" in shown(desk, inquiry)
    assert "Project Larch" in desk.get(CASES).content.decode()
    assert [entry.kind for entry in CaseEntry.objects.order_by("id")] == [
        *["linked"] * 3,
        "note",
        "unlinked",
        "linked",
    ]


def test_a_conversation_is_added_from_its_own_page(desk, inquiry):
    talked = talk(text="to be added")
    transcript = desk.get(f"/admin/conversations/conversation/{talked.pk}/change/")
    choose = f"{CASES}of/{talked.pk}/"
    assert f'href="{choose}"' in transcript.content.decode()
    page = desk.get(choose).content.decode()
    assert f'action="{CASES}{inquiry.pk}/link/"' in page
    assert f"{CASES}new/?conversation={talked.pk}" in page
    address = f"https://gateway.example/admin/conversations/conversation/{talked.pk}/change/?of=all"
    act(desk, inquiry, "link", conversation=address)
    assert "linked already" in desk.get(choose).content.decode()
    made = {"name": "Second", "purpose": "another inquiry"}
    desk.post(f"{CASES}new/?conversation={talked.pk}", made)
    assert "to be added" in shown(desk, Case.objects.get(name="Second"))


REFUSED: list[tuple[str, dict[str, str], str]] = [
    ("note", {"text": "  "}, "Write a note first."),
    ("note", {"text": "nul\0"}, "That was not understood. Try again with less text."),
    ("note", {"text": "x" * 10_001}, "That was not understood. Try again with less text."),
    ("link", {"conversation": "nonsense"}, "There is no conversation with that id."),
    ("link", {"conversation": "unknown"}, "There is no conversation with that id."),
    ("link", {"conversation": "linked"}, "This conversation is linked already."),
    ("link", {"conversation": "own"}, "This is your own conversation, so another reviewer"),
    ("unlink", {"conversation": "linked"}, "Enter a reason to remove a conversation."),
    ("unlink", {"conversation": "free", "text": "why"}, "This conversation is not linked."),
    ("join", {"user": "alice"}, "There is no reviewer with that name."),
    ("join", {"user": "nobody"}, "There is no reviewer with that name."),
    ("join", {"user": "rita"}, "rita is a member already."),
    ("leave", {"user": "rita"}, "The last member of a case stays."),
    ("leave", {"user": "nobody"}, "There is no member with that name."),
]


def test_what_may_not_be_is_said_and_not_done(desk, inquiry):
    known = {
        "linked": talk(text="linked").pk,
        "free": talk(text="free").pk,
        "own": talk("rita", "own").pk,
        "unknown": "01981c10-0000-7000-8000-000000000000",
    }
    act(desk, inquiry, "link", conversation=known["linked"])
    before = CaseEntry.objects.count(), CaseMember.objects.count()
    for what, fields, says in REFUSED:
        [said] = act(desk, inquiry, what, **{name: known.get(v, v) for name, v in fields.items()})
        assert said.startswith(says), (what, fields)
        assert (CaseEntry.objects.count(), CaseMember.objects.count()) == before, (what, fields)


@pytest.mark.parametrize("fields", [{}, {"name": "x"}, {"name": " ", "purpose": " "}])
def test_a_case_has_a_name_and_a_purpose(desk, fields):
    assert desk.post(f"{CASES}new/", fields).status_code == 400
    assert not Case.objects.exists()


# Who sees what ------------------------------------------------------------------------------------


def everything(case: Case, conversation: Conversation) -> list[tuple[str, dict[str, str]]]:
    """Each address of cases, and what its form sends."""
    one = f"{CASES}{case.pk}/"
    linked = {"conversation": str(conversation.pk), "text": "because"}
    return [
        (CASES, {}),
        (f"{CASES}of/{conversation.pk}/", {}),
        (one, {}),
        (f"{one}note/", {"text": "mine"}),
        (f"{one}link/", linked),
        (f"{one}unlink/", linked),
        (f"{one}join/", {"user": "gus"}),
        (f"{one}leave/", {"user": "rita"}),
    ]


@pytest.fixture
def secret(desk, inquiry) -> Conversation:
    talked = talk(text="secret matter")
    act(desk, inquiry, "link", conversation=talked.pk)
    act(desk, inquiry, "note", text="secret note")
    return talked


@pytest.mark.parametrize(
    ("groups", "fields"),
    [
        (["Auditor", "Records manager", "Gateway admin"], {"is_superuser": True}),
        ([], {}),
        (["Reviewer"], {}),
        (["Lead"], {"reviews_departments": ["Legal"]}),
    ],
)
def test_others_than_members_find_and_change_nothing(inquiry, secret, groups, fields):
    client = client_of("gus", *groups, **fields)
    before = CaseEntry.objects.count(), CaseMember.objects.count()
    for path, values in everything(inquiry, secret):
        for response in (client.get(path), client.post(path, values)):
            page = response.content.decode()
            assert "Larch" not in page, path
            assert "secret note" not in page, path
            if groups != ["Reviewer"]:
                assert "secret matter" not in page, path
    assert (CaseEntry.objects.count(), CaseMember.objects.count()) == before


def test_a_lead_of_all_departments_opens_every_case(inquiry, secret):
    lead = client_of("lea", "Lead")
    assert "Larch" in lead.get(CASES).content.decode()
    assert "secret note" in shown(lead, inquiry)


def test_a_member_reads_what_the_member_s_own_rights_allow(desk, inquiry, secret):
    User.objects.filter(username="alice").update(department="Finance")
    legal = client_of("lena", "Reviewer", reviews_departments=["Legal"])
    assert act(desk, inquiry, "join", user="lena") == []
    page = shown(legal, inquiry)
    assert "secret note" in page
    assert "secret matter" not in page
    assert str(secret.pk) not in page
    assert "One more conversation is linked that you may not read." in page
    assert act(legal, inquiry, "unlink", conversation=secret.pk, text="mine") == [
        "There is no conversation with that id."
    ]
    act(desk, inquiry, "leave", user="lena")
    assert legal.get(f"{CASES}{inquiry.pk}/").status_code == 404


def test_no_member_sees_the_own_conversation_in_a_case(desk, inquiry):
    own = talk("otto", "what otto asked")
    act(desk, inquiry, "link", conversation=own.pk)
    otto = person("otto")
    User.objects.filter(pk=otto.pk).update(is_staff=True)
    otto.groups.add(Group.objects.get(name="Reviewer"))
    assert act(desk, inquiry, "join", user="otto") == []
    client = Client()
    client.force_login(otto)
    page = shown(client, inquiry)
    assert "what otto asked" not in page
    assert "One more conversation is linked that you may not read." in page


def test_under_aliases_a_case_names_no_person(desk, inquiry, secret, settings):
    settings.PSEUDONYMS = True
    page = shown(desk, inquiry)
    assert alias(person("alice").pk) in page
    assert "alice" not in page


def test_a_case_is_a_list_and_one_export_to_those_who_may_open_it(desk, inquiry, secret, rita):
    talk(text="of no case")
    own = talk("rita", "rita's own")
    act(client_of("lea", "Lead"), inquiry, "link", conversation=own.pk)
    query = f"since=&case={inquiry.pk}"
    page = shown(desk, inquiry).replace("&amp;", "&")
    listed = f"/admin/conversations/conversation/?{query}"
    export = f"/admin/exports/new/?of=conversations&{query}"
    assert f'href="{listed}"' in page
    assert f'href="{export}"' in page
    titles = [row.title for row in desk.get(listed).context["cl"].result_list]
    assert titles == ["secret matter"]
    assert desk.get(export).context["count"] == 1
    assert f'name="case" value="{inquiry.pk}"' in desk.get(listed).content.decode()
    stranger = client_of("gus", "Reviewer")
    assert list(stranger.get(listed).context["cl"].result_list) == []
    assert stranger.get(export).context["count"] == 0
    assert desk.get(f"{listed}x").context["cl"].filter.errors


# Evidence -----------------------------------------------------------------------------------------


def test_each_reading_and_change_is_on_the_trail_without_its_words(desk, inquiry, secret):
    def changes() -> int:
        return CaseEntry.objects.count() + CaseMember.objects.count()

    for path, values in everything(inquiry, secret):
        before, so_far = AuditEvent.objects.count(), changes()
        change = path.rstrip("/").rpartition("/")[2] in ("note", "link", "unlink", "join", "leave")
        assert (desk.post(path, values) if change else desk.get(path)).status_code < 400
        expected = abs(changes() - so_far) or 1  # a refused change shows the page
        assert AuditEvent.objects.count() == before + expected, path
    for event in AuditEvent.objects.all():
        for words in ("Larch", "secret", "prices", "mine", "because"):
            assert words not in event.detail + event.terms
    about = AuditEvent.objects.about(secret.pk).filter(kind="caseentry")
    assert about.count() == 2


def test_a_page_that_cannot_be_recorded_is_not_shown(inquiry, secret, desk):
    desk.raise_request_exception = False
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            "ALTER TABLE conversations_auditevent "
            "ADD CONSTRAINT none_fits CHECK (action IS NULL) NOT VALID"
        )
    entries = CaseEntry.objects.count()
    for path, values in everything(inquiry, secret):
        for method in (desk.get, desk.post):
            with transaction.atomic():
                response = method(path, values)
                transaction.set_rollback(True)
            assert b"secret" not in response.content, path
            assert b"Larch" not in response.content, path
    assert CaseEntry.objects.count() == entries


@pytest.mark.parametrize("model", [Case, CaseEntry])
def test_what_is_in_a_case_is_sealed_and_stays(inquiry, secret, model):
    with pytest.raises(IntegrityError, match="evidence"), transaction.atomic():
        model.objects.update(made=datetime.now(UTC))
    with pytest.raises(IntegrityError, match="evidence"), transaction.atomic():
        connection.cursor().execute(f"DELETE FROM {model._meta.db_table}")
    while sealing.seal():
        pass
    sealed = Seal.objects.filter(kind=model._meta.model_name).values_list("subject", flat=True)
    assert set(sealed) == set(model.objects.values_list("pk", flat=True))


def test_only_a_link_names_a_conversation(inquiry, secret, rita):
    for kind, conversation in (("note", secret), ("linked", None), ("unlinked", None)):
        with pytest.raises(IntegrityError), transaction.atomic():
            CaseEntry.objects.create(
                case=inquiry, author=rita, kind=kind, conversation=conversation
            )


def test_a_case_of_any_size_costs_eight_queries_a_page(
    desk, inquiry, monkeypatch, django_assert_max_num_queries
):
    monkeypatch.setattr(pages, "SHOWN", 2)
    for n in range(5):
        act(desk, inquiry, "link", conversation=talk(text=f"matter {n}").pk)
        act(desk, inquiry, "note", text=f"note {n}")
    for name, what in (("links", "matter"), ("notes", "note")):
        seen, query = [], ""
        while True:
            with django_assert_max_num_queries(8):
                page = shown(desk, inquiry, query)
            seen += re.findall(rf">({what} \d)<", page)
            following = re.search(rf'href="(\?{name}=[^"]+)"', page)
            if not following:
                break
            query = following[1]
        assert seen == [f"{what} {n}" for n in (4, 3, 2, 1, 0)]
