"""A decision covers what its maker was shown, and says in itself how much that is."""

import random
from uuid import UUID, uuid4

import pytest

from conversations.admin import snapshot, transcript
from conversations.models import AuditEvent, Conversation, Decision, Review, User
from conversations.people import audit
from conversations.reading import portions
from conversations.tests.calls import assistant, person, turn, user
from conversations.tests.cast import client_of
from conversations.tests.reviews import (
    QUEUE,
    decide,
    messages_of,
    open_form,
    post_decision,
    talk,
    transcript_of,
    waiting,
)

pytestmark = pytest.mark.django_db
UNOPENED = "Open this conversation and read it, then decide."


def grow(conversation: Conversation, messages: int, *, after: list[dict] | None = None) -> None:
    """Let it go on by so many messages, half of them questions, in one call."""
    line = list(after or [])
    for number in range(messages - 1):
        text = f"{uuid4()}"
        line.append(assistant(text) if number % 2 else user(text))
    turn(conversation.owner, line, "the end", root=conversation.pk)


@pytest.fixture
def long() -> Conversation:
    """Of 152 messages: 126 in the newest branch, 26 that it has not in the other."""
    alice, line = person("alice"), [user("hi")]
    conversation = turn(alice, line, "hello").conversation
    line.append(assistant("hello"))
    grow(conversation, 26 - 0, after=line)
    grow(conversation, 124, after=line)
    waiting(conversation)
    return conversation


def standing(conversation: Conversation) -> tuple[str, str]:
    row = Review.objects.get(conversation=conversation)
    return row.state, row.source


def test_the_first_page_of_two_branches_is_decided_in_part_and_stays_in_the_queue(desk, long):
    assert long.messages.count() == 152
    [said] = messages_of(post_decision(desk, long))
    assert "Decided in part: no issue, about 100 of 152 messages, 1 of 2 branches." in said
    decision = Decision.objects.get()
    assert decision.coverage == "100 of 152 messages, 1 of 2 branches"
    assert (decision.shown, decision.messages, decision.opened, decision.branches) == (
        100,
        152,
        1,
        2,
    )
    assert len(decision.uncovered) == 52
    assert decision.pages == [decision.page]
    assert standing(long) == ("waiting", "part")
    assert "decided in part" in desk.get(QUEUE).content.decode()
    page = desk.get(transcript_of(long)).content.decode()
    assert "100 of 152 messages, 1 of 2 branches (in part)" in page
    assert "You have opened 100 of 152 messages, 1 of 2 branches." in page
    assert "52 messages are in no decision" in page


def test_the_way_through_what_is_unread_ends_with_a_decision_about_all(desk, long):
    opened = []
    page = desk.get(transcript_of(long))
    while unread := page.context["review"]["unread"]:
        opened.append(unread)
        page = desk.get(unread)
    assert len(opened) == 2, "the second page, and the other branch"
    post_decision(desk, long)
    decision = Decision.objects.get()
    assert decision.coverage == "152 of 152 messages, 2 of 2 branches"
    assert decision.uncovered == []
    assert len(decision.pages) == 3
    assert standing(long) == ("decided", "sampled")


def links_of(response) -> list[str]:
    """The pages that the transcript leads to: earlier, later, other versions."""
    shown = response.context["transcript"]
    line = f"&at={shown.at}" if shown.at else ""
    pages = [f"?from={each}{line}" for each in (shown.earlier, shown.later) if each is not None]
    return pages + [
        f"?at={version.message.id}" for each in shown.turns for version in each.versions
    ]


@pytest.mark.parametrize("seed", range(8))
def test_whatever_pages_are_opened_those_are_covered_and_no_others(desk, monkeypatch, seed):
    """A tree that grew at random, and a walk of some steps through its pages."""
    monkeypatch.setattr(transcript, "PAGE", 3)
    dice = random.Random(seed)
    conversation = talk()
    lines = [[user("hi"), assistant("hello")]]
    for number in range(6):
        line = dice.choice(lines)
        line = line[: dice.randrange(0, len(line) + 1, 2)]
        system = [{"role": "system", "content": f"be kind {dice.randrange(2)}"}]
        asked = [*line, user(f"question {number}")]
        turn(conversation.owner, system + asked, f"answer {number}", root=conversation.pk)
        lines.append([*asked, assistant(f"answer {number}")])
    page = desk.get(transcript_of(conversation))
    shown: set[UUID] = set()
    for _ in range(dice.randrange(1, 12)):
        for each in page.context["transcript"].turns:
            shown |= {each.message.id, *(node.message.id for node in each.prompt)}
        page = desk.get(transcript_of(conversation) + dice.choice(links_of(page)))
    for each in page.context["transcript"].turns:
        shown |= {each.message.id, *(node.message.id for node in each.prompt)}
    form = {"page": str(page.context["review"]["form"].initial["page"])}
    post_decision(desk, conversation, form)
    decision, every = (
        Decision.objects.get(),
        set(conversation.messages.values_list("id", flat=True)),
    )
    assert set(decision.uncovered) == every - shown
    assert (decision.shown, decision.messages) == (len(shown), len(every))
    assert standing(conversation)[0] == ("decided" if shown == every else "waiting")


# What is no opening -------------------------------------------------------------------------------


def of_nobody(conversation: Conversation) -> UUID:
    return uuid4()


def of_another_reviewer(conversation: Conversation) -> UUID:
    return audit.record(
        User.objects.create_user("rolf"),
        AuditEvent.Action.TRANSCRIPT,
        conversation,
        **SHOWN,
    ).pk


def of_another_conversation(conversation: Conversation) -> UUID:
    rita = User.objects.get(username="rita")
    return audit.record(rita, AuditEvent.Action.TRANSCRIPT, talk(text="other"), **SHOWN).pk


def of_an_older_version(conversation: Conversation) -> UUID:
    rita = User.objects.get(username="rita")
    shown = {"at": None, "first": 0, "length": 2}
    return audit.record(rita, AuditEvent.Action.TRANSCRIPT, conversation, **shown).pk


def of_a_list(conversation: Conversation) -> UUID:
    rita = User.objects.get(username="rita")
    return audit.record(rita, AuditEvent.Action.LIST, of="review queue", which="free", rows=1).pk


SHOWN = {"first": 0, "end": 2, "line": None, "cut": [], "prompts": [], "calls": 1, "decision": None}


@pytest.mark.parametrize(
    "event",
    [of_nobody, of_another_reviewer, of_another_conversation, of_an_older_version, of_a_list],
)
def test_who_has_not_opened_it_decides_nothing(desk, event):
    conversation = talk()
    refused = post_decision(desk, conversation, {"page": str(event(conversation))})
    assert messages_of(refused) == [UNOPENED]
    assert not Decision.objects.exists()


# Texts that have no room on a page ----------------------------------------------------------------


def test_a_message_that_is_cut_is_covered_by_its_call_or_by_its_download(
    desk, rita, alice, monkeypatch
):
    monkeypatch.setattr(transcript, "SHOWN", 1000)
    monkeypatch.setattr(portions.cut_pieces, "__defaults__", (1000,))
    call = turn(alice, [user("long " * 500)], "short")
    unread = desk.get(transcript_of(call.conversation)).context["review"]["unread"]
    assert unread == f"/admin/conversations/snapshot/{call.id}/change/"
    post_decision(desk, call.conversation)
    decision = Decision.objects.get()
    assert decision.coverage == "1 of 2 messages, 1 of 1 branch"
    monkeypatch.setattr(snapshot, "SHOWN", 1000)
    desk.get(unread)
    assert len(desk.get(transcript_of(call.conversation)).context["review"]["coverage"].uncovered)
    assert desk.get(f"/admin/conversations/snapshot/{call.id}/request.json").status_code == 200
    page = desk.get(transcript_of(call.conversation))
    assert page.context["review"]["coverage"].uncovered == []
    AuditEvent.objects.doing("export")
    monkeypatch.setattr(snapshot, "SHOWN", 10_000)
    rolf = client_of("rolf", "Reviewer")
    rolf.get(unread)
    page = rolf.get(transcript_of(call.conversation))
    assert page.context["review"]["coverage"].shown == 2


# With the decisions before ------------------------------------------------------------------------


def test_what_went_on_is_read_by_itself_where_the_rest_was_decided(desk, long, rf):
    rolf = client_of("rolf", "Reviewer")
    page = rolf.get(transcript_of(long))
    while unread := page.context["review"]["unread"]:
        page = rolf.get(unread)
    post_decision(rolf, long)
    assert standing(long)[0] == "decided"
    turn(long.owner, [user("more")], "yes", root=long.pk)
    post_decision(desk, long)
    decision = Decision.objects.latest("id")
    assert decision.coverage == (
        "2 of 154 messages, 1 of 3 branches; decisions before it cover the others"
    )
    assert standing(long)[0] == "decided"


def test_what_one_left_another_decides(desk, long):
    post_decision(desk, long)
    rolf = client_of("rolf", "Reviewer")
    page = rolf.get(transcript_of(long))
    assert len(page.context["review"]["coverage"].uncovered) == 52
    while unread := page.context["review"]["unread"]:
        page = rolf.get(unread)
    post_decision(rolf, long)
    assert standing(long)[0] == "decided"


def test_decisions_of_an_older_version_cover_what_was_closed_then(desk, rita, long, rf):
    request = rf.post("/")
    request.user = User.objects.create_user("rolf")
    older = decide(request, long)
    Review.objects.update(decision=None)
    newest = max(older.seen)
    bare = Decision.objects.create(
        conversation=long, reviewer=request.user, disposition="no_issue", newest=newest
    )
    Review.objects.update(decision=bare)
    assert bare.coverage == ""
    page = desk.get(transcript_of(long)).context["review"]
    assert page["coverage"].uncovered == []
    turn(long.owner, [user("more")], "yes", root=long.pk)
    at = long.messages.get(text="hi").id
    page = desk.get(f"{transcript_of(long)}?at={at}").context["review"]
    assert len(page["coverage"].uncovered) == 2


# A morning's work ---------------------------------------------------------------------------------


def test_ten_reviews_take_one_click_and_two_for_each(desk):
    talks = [talk(text=f"matter {number}") for number in range(10)]
    waiting(*talks)
    page, actions = desk.post(f"{QUEUE}next/", {"of": "free"}, follow=True), 1
    for _ in talks:
        conversation = page.context["conversation"]
        form = {"page": str(page.context["review"]["form"].initial["page"]), "of": "free"}
        page, actions = post_decision(desk, conversation, form, next="1"), actions + 2
    assert actions <= 21
    assert Decision.objects.count() == 10
    assert not Review.objects.waiting().exists()


def test_after_a_decision_in_part_another_conversation_is_next(desk, long):
    other = talk(text="another matter")
    waiting(other)
    Review.objects.filter(conversation=long).update(severity=3)
    page = post_decision(desk, long, next="1", of="free")
    assert page.context["conversation"] == other
    page = post_decision(desk, other, open_form(desk, other), next="1", of="free")
    assert page.context["conversation"] == long
