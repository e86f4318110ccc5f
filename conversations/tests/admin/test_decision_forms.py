"""Decision forms: what they ask for, what became of the page that shows them, and lists of many."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.core import signing
from django.utils import timezone

from conversations.models import AuditEvent, Conversation, Decision, Review, User
from conversations.tests.calls import turn, user
from conversations.tests.cast import client_of
from conversations.tests.reviews import (
    QUEUE,
    messages_of,
    open_form,
    post_decision,
    shown_list,
    talk,
    transcript_of,
    waiting,
)

pytestmark = pytest.mark.django_db
TOMORROW = str(timezone.localdate() + timedelta(days=1))
YESTERDAY = str(timezone.localdate() - timedelta(days=1))
NEEDS_DATE = "A request for information needs the reviewer who is asked, and a date."
NEEDS_LEAD = "An escalation needs a reason and the Lead it goes to."


@pytest.fixture
def lea(db):
    return client_of("lea", "Lead")


@pytest.fixture
def cast(lea):
    client_of("rolf", "Reviewer")
    client_of("legal", "Lead", reviews_departments=["Legal"])
    client_of("ada", "Auditor")
    gone = User.objects.create_user("gone", is_active=False)
    gone.groups.add(Group.objects.get(name="Lead"))


# What a decision asks for -------------------------------------------------------------------------


ASKS_FOR = [
    ({"disposition": "violation"}, "A violation needs a reason."),
    ({"disposition": "violation", "reason": " \t"}, "A violation needs a reason."),
    ({"disposition": "escalated"}, NEEDS_LEAD),
    ({"disposition": "escalated", "reason": "a client"}, NEEDS_LEAD),
    ({"disposition": "escalated", "addressee": "lea"}, NEEDS_LEAD),
    (
        {"disposition": "escalated", "addressee": "rolf", "reason": "a client"},
        "rolf is not a Lead.",
    ),
    (
        {"disposition": "escalated", "addressee": "gone", "reason": "a client"},
        "There is no user with that name.",
    ),
    (
        {"disposition": "escalated", "addressee": "legal", "reason": "a client"},
        "legal may not read conversations of this department.",
    ),
    ({"disposition": "needs_information"}, NEEDS_DATE),
    ({"disposition": "needs_information", "addressee": "rolf"}, NEEDS_DATE),
    ({"disposition": "needs_information", "until": TOMORROW}, NEEDS_DATE),
    (
        {"disposition": "needs_information", "addressee": "rolf", "until": YESTERDAY},
        "Choose a date from today on.",
    ),
    (
        {"disposition": "needs_information", "addressee": "rolf", "until": "soon"},
        "Enter a valid date.",
    ),
    (
        {"disposition": "needs_information", "addressee": "ada", "until": TOMORROW},
        "ada is not a reviewer.",
    ),
    (
        {"disposition": "needs_information", "addressee": "alice", "until": TOMORROW},
        "alice is not a reviewer.",
    ),
]


def test_what_is_missing_is_said_and_nothing_decided(desk, cast):
    conversation = talk()
    form = open_form(desk, conversation)
    for fields, said in ASKS_FOR:
        assert messages_of(post_decision(desk, conversation, form, **fields)) == [said], fields
        assert not Decision.objects.exists(), fields


def test_no_conversation_is_handed_on_to_its_owner(desk, cast):
    own = talk("rolf")
    asked = {"disposition": "needs_information", "addressee": "rolf", "until": TOMORROW}
    assert messages_of(post_decision(desk, own, **asked)) == ["rolf owns this conversation."]


@pytest.mark.parametrize("disposition", ["escalated", "needs_information"])
def test_under_pseudonyms_a_refusal_does_not_tell_whose_it_is(settings, desk, cast, disposition):
    settings.PSEUDONYMS, settings.PSEUDONYM_KEY = True, "k" * 40
    own = talk("lea")
    form = open_form(desk, own)
    for name in ("lea", "legal", "nobody at all", "ada"):
        asked = {"disposition": disposition, "addressee": name, "until": TOMORROW, "reason": "r"}
        [said] = messages_of(post_decision(desk, own, form, **asked))
        assert said == "This conversation cannot be assigned to that user."
    tries = AuditEvent.objects.filter(action="assignment", detail__contains="refused")
    assert tries.count() == 4
    assert not Decision.objects.exists()


def test_what_is_handed_on_waits_for_whom_it_goes_to(desk, cast, rita):
    escalated, asked = talk(text="one"), talk(text="two")
    reason = "names a client"
    post_decision(desk, escalated, disposition="escalated", addressee="lea", reason=reason)
    post_decision(
        desk, asked, disposition="needs_information", addressee="rolf", until=TOMORROW, note="who?"
    )
    rows = {each.conversation: each for each in Review.objects.select_related("assignee")}
    assert [
        (rows[each].state, rows[each].source, str(rows[each].assignee), rows[each].lease)
        for each in (escalated, asked)
    ] == [("waiting", "escalated", "lea", None), ("waiting", "information", "rolf", None)]
    day = timezone.localdate() + timedelta(days=1)
    assert timezone.localtime(rows[asked].due).date() == day + timedelta(days=1)
    page = desk.get(transcript_of(asked)).content.decode()
    assert f"Asked of rolf, needed by {TOMORROW}" in page
    assert "waits for information" in desk.get(QUEUE, {"of": "all"}).content.decode()
    [event] = AuditEvent.objects.about(asked.pk).doing("decision")
    assert '"to": "rolf"' in event.detail


def test_whom_and_when_of_another_choice_are_left_out(desk, cast):
    post_decision(desk, talk(), addressee="lea", until=TOMORROW)
    decision = Decision.objects.get()
    assert (decision.disposition, decision.addressee, decision.until) == ("no_issue", None, None)
    assert Review.objects.get().state == "decided"


@pytest.mark.parametrize(
    ("between", "after"),
    [
        (None, "no_issue"),
        (None, "false_positive"),
        ("escalated", "no_issue"),
        ("needs_information", "false_positive"),
    ],
)
def test_a_violation_is_set_aside_by_a_lead_with_a_reason(desk, cast, lea, between, after):
    conversation = talk()
    post_decision(desk, conversation, disposition="violation", reason="a client")
    if between:
        handed = {"addressee": "lea", "until": TOMORROW, "reason": "r"}
        post_decision(desk, conversation, disposition=between, **handed)
        Review.objects.update(source="chosen", assignee=None)
    aside = "Only a Lead can set that aside"
    assert aside in messages_of(post_decision(desk, conversation, disposition=after, reason="r"))[0]
    assert aside in messages_of(post_decision(lea, conversation, disposition=after))[0]
    Review.objects.update(state="waiting", assignee=None)
    form = {"conversation": [str(conversation.pk)], "reason": "routine", "shown": shown_list(lea)}
    lea.post(f"{QUEUE}no-issue/", form)
    assert not Decision.objects.filter(disposition=after).exists()
    post_decision(lea, conversation, disposition=after, reason="quoted from the press")
    assert Decision.objects.filter(disposition=after).exists()


# A page that is no longer what it was -------------------------------------------------------------


def test_who_comes_second_is_told_what_was_decided_meanwhile(desk, lea):
    conversation = talk()
    first, second = open_form(lea, conversation), open_form(desk, conversation)
    post_decision(lea, conversation, first, disposition="violation", reason="a client")
    [said] = messages_of(post_decision(desk, conversation, second))
    assert "lea decided: violation" in said
    assert "Your decision was not saved." in said
    assert Decision.objects.get().disposition == "violation"
    post_decision(lea, conversation, disposition="no_issue", reason="quoted")
    assert Decision.objects.count() == 2


def test_of_two_pages_of_one_reviewer_the_second_is_stale(desk):
    conversation = talk()
    one, two = open_form(desk, conversation), open_form(desk, conversation)
    post_decision(desk, conversation, one)
    for form, fields in ((two, {}), (one, {"disposition": "false_positive"}), (one, {"note": "x"})):
        [said] = messages_of(post_decision(desk, conversation, form, **fields))
        assert "you decided: no issue" in said
    assert Decision.objects.count() == 1


def test_a_conversation_that_went_on_is_read_again(desk):
    conversation = talk()
    form = open_form(desk, conversation)
    turn(conversation.owner, [user("more")], "yes", root=conversation.pk)
    [said] = messages_of(post_decision(desk, conversation, form))
    assert "has continued since you opened it" in said
    assert not Decision.objects.exists()


@pytest.mark.parametrize("following", [{}, {"next": "1"}], ids=["stays", "goes on"])
def test_one_form_sent_thrice_is_one_decision_and_one_claim(desk, following):
    talks = [talk(text=f"matter {number}") for number in range(4)]
    waiting(*talks)
    form = open_form(desk, talks[0])
    ends = []
    for _ in range(3):
        answer = post_decision(desk, talks[0], form, **following)
        assert messages_of(answer) == ["Decided: no issue."]
        ends.append(answer.redirect_chain[-1][0])
    assert len(set(ends)) == 1
    assert Decision.objects.count() == 1
    assert AuditEvent.objects.doing("decision").count() == 1
    assert Review.objects.exclude(assignee=None).count() == len(following)


# Many at once -------------------------------------------------------------------------------------


def went_on(conversation: Conversation) -> None:
    turn(conversation.owner, [user("more")], "yes", root=conversation.pk)


def decided(conversation: Conversation) -> None:
    post_decision(client_of("rolf", "Reviewer"), conversation, disposition="false_positive")


def claimed(conversation: Conversation) -> None:
    client_of("rolf", "Reviewer").post(f"{QUEUE}{conversation.pk}/claim/")


@pytest.mark.parametrize("happens", [went_on, decided, claimed])
def test_what_happened_after_the_list_was_shown_is_left_out(lea, happens):
    same, other, hidden = (talk(text=text) for text in ("same", "other", "hidden"))
    waiting(same, other)
    shown = shown_list(lea)
    happens(other)
    waiting(hidden)
    form = {"conversation": [each.pk for each in (same, other, hidden)], "reason": "routine"}
    for _ in range(3):
        answer = lea.post(f"{QUEUE}no-issue/", form | {"shown": shown}, follow=True)
    assert "Decided as “no issue”: 0. Skipped: 3" in messages_of(answer)[0]
    decision = Decision.objects.get(reason="routine")
    assert decision.conversation == same
    assert decision.coverage == "decided from a list, without opening it"
    [listed] = decision.pages
    assert AuditEvent.objects.get(pk=listed).action == "list"
    assert decision.seen == list(same.snapshots.values_list("id", flat=True))


def test_a_list_is_of_whom_it_was_shown_to(lea):
    one = talk()
    waiting(one)
    of_another = shown_list(client_of("lena", "Lead"))
    forged = signing.dumps(["0" * 32, {one.pk.hex: [1, None]}])
    for shown in ("", "nonsense", of_another, forged, shown_list(lea)[:-1]):
        form = {"conversation": [str(one.pk)], "reason": "routine", "shown": shown}
        answer = lea.post(f"{QUEUE}no-issue/", form, follow=True)
        assert messages_of(answer) == ["Open the list again, then select and decide."]
    assert not Decision.objects.exists()
