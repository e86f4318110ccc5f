"""The queue at its URLs: by forms alone, as each who may and may not."""

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from conversations import review
from conversations.models import AuditEvent, Conversation, Decision, Review, User
from conversations.tests.calls import person
from conversations.tests.test_review import talk, waiting

pytestmark = pytest.mark.django_db
QUEUE = "/admin/queue/"


def client_of(name: str, *groups: str) -> Client:
    someone = User.objects.get_or_create(username=name, defaults={"is_staff": True})[0]
    someone.groups.set(Group.objects.filter(name__in=groups))
    client = Client()
    client.force_login(someone)
    return client


@pytest.fixture
def rita() -> Client:
    return client_of("rita", "Reviewer")


def act(client: Client, conversation: Conversation, what: str, **fields):
    return client.post(f"{QUEUE}{conversation.pk}/{what}/", fields, follow=True)


def said(response) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def test_claim_next_read_decide_and_on_to_the_next(rita):
    first, second = talk(text="first"), talk(text="second")
    waiting(first, second)
    page = rita.get(QUEUE).content.decode()
    assert "first" in page
    assert "second" in page
    opened = rita.post(f"{QUEUE}next/", {"of": "free"}, follow=True)
    assert opened.redirect_chain[-1][0] == f"{reverse('admin:conversations_conversation_change', args=[first.pk])}?of=free"
    assert "You hold it" in opened.content.decode()
    on = act(rita, first, "decide", disposition="no_issue", seen=review.newest(first), note="read it", next="1", of="free")
    assert str(second.pk) in on.redirect_chain[-1][0]
    assert Decision.objects.get().note == "read it"
    over = act(rita, second, "decide", disposition="false_positive", seen=review.newest(second), next="1", of="free")
    assert said(over) == ["Decided: false positive.", "Nothing of these waits for you."]
    assert not Review.objects.waiting().exists()
    assert "read it" in rita.get(reverse("admin:conversations_conversation_change", args=[first.pk])).content.decode()


def test_what_may_not_be_is_said_and_not_done(rita):
    talked, own = talk(), talk("rita")
    assert "Choose what it comes to." in said(act(rita, talked, "decide", disposition="fine", seen=review.newest(talked)))
    assert "Choose what it comes to." in said(act(rita, talked, "decide", disposition="no_issue", seen="nonsense"))
    assert "A violation needs a reason." in said(act(rita, talked, "decide", disposition="violation", seen=review.newest(talked)))
    assert "somebody else reviews it" in said(act(rita, own, "decide", disposition="no_issue", seen=review.newest(own)))[0]
    assert "your own conversation" in rita.get(reverse("admin:conversations_conversation_change", args=[own.pk])).content.decode()
    act(client_of("rolf", "Reviewer"), talked, "claim")
    assert said(act(rita, talked, "claim")) == ["rolf is reviewing this conversation."]
    assert rita.post(f"{QUEUE}{talked.pk}/assign/", {"to": "rolf"}).status_code == 403
    assert rita.post(f"{QUEUE}no-issue/", {"conversation": str(talked.pk), "reason": "x"}).status_code == 403
    assert rita.post(f"{QUEUE}{talked.pk}/nonsense/").status_code == 404
    assert rita.post(f"{QUEUE}01981c10-0000-7000-8000-000000000000/claim/").status_code == 404
    assert not Decision.objects.exists()


def test_a_lead_assigns_and_decides_about_many(rita):
    talks = [talk(text=f"matter {n}") for n in range(3)]
    waiting(*talks)
    lea = client_of("lea", "Lead")
    assert said(act(lea, talks[0], "assign", to="rita")) == ["Assigned to rita."]
    assert said(act(lea, talks[1], "assign", to=person("alice").username)) == ["alice does not review."]
    assert said(act(lea, talks[1], "assign", to="nobody")) == ["Nobody has that name."]
    mine = rita.get(QUEUE, {"of": "mine"}).content.decode()
    assert "matter 0" in mine
    assert "matter 1" not in mine
    done = lea.post(f"{QUEUE}no-issue/", {"conversation": [str(each.pk) for each in talks] + ["nonsense"], "reason": "routine"}, follow=True)
    assert said(done) == ["No issue: 2 decided. 1 were left: your own, or in somebody's hands."]
    assert Decision.objects.filter(reason="routine").count() == 2


@pytest.mark.parametrize("groups", [(), ("Auditor",), ("Gateway admin",), ("Records manager",)])
def test_others_see_and_do_nothing(groups):
    talked = talk(text="secret matter")
    waiting(talked)
    client = client_of("gus", *groups)
    client.get(QUEUE)
    User.objects.filter(username="gus").update(is_superuser=True)
    for answer in (client.get(QUEUE), client.post(f"{QUEUE}next/"), *(client.post(f"{QUEUE}{talked.pk}/{what}/") for what in ("claim", "decide", "release"))):
        assert answer.status_code == 403
        assert "secret matter" not in answer.content.decode()
    assert Client().get(QUEUE).status_code == 302
    assert Review.objects.get().assignee is None


def test_get_changes_nothing_and_eight_queries_show_the_queue(rita, django_assert_max_num_queries):
    talks = [talk(text=str(n)) for n in range(5)]
    waiting(*talks)
    for path in ("next/", "no-issue/", f"{talks[0].pk}/claim/"):
        assert rita.get(QUEUE + path).status_code == 405
    with django_assert_max_num_queries(10):
        rita.get(QUEUE)
    assert AuditEvent.objects.filter(action="list", detail__contains="review queue").count() == 1
