"""The tools of a conversation's calls are kept once, and each request is made again with them."""

import orjson
import pytest

from conversations import exact_json
from conversations.models import Conversation, Message, Snapshot
from conversations.reading.tree import build_tree
from conversations.record import CallRequest, rebuild
from conversations.tests.calls import answer, ask, assistant, user
from conversations.tests.tools.agent import SYSTEM, TOOLS, split_as_before, work
from conversations.tests.views import rows

pytestmark = pytest.mark.django_db
MORE = [*TOOLS, {"type": "function", "function": {"name": "Grep"}}]


def said(number):
    line = [SYSTEM, user("Fix the tests.")]
    for each in range(number):
        line += [assistant(f"Step {each}."), user(f"Go on {each}.")]
    return line


def test_they_are_one_row_of_a_conversation(alice):
    calls = work(alice, 4)
    [row] = Message.objects.filter(role="$tools")
    assert orjson.loads(row.raw) == {"tools": TOOLS}
    assert (row.parent, row.snapshot_id, row.origin) == (None, calls[0].id, "sent")
    assert Conversation.objects.count() == 1
    for number, call in enumerate(calls):
        assert orjson.loads(call.params) == {"model": "m"}
        body = {"model": "m", "messages": said(number), "tools": TOOLS}
        assert rebuild.rebuild_request(call) == body
        assert exact_json.loads(rebuild.Rebuilder(calls).request(call)) == body


@pytest.mark.parametrize(
    "tools", [[], None, "none", {"a": 1}, [1, "x"], ["x" * 3000], [{"b": "a" * 3000}]]
)
def test_whatever_stands_there_is_made_again(alice, tools):
    call = ask(alice, [user("Hi")], params={"tools": tools, "tool_choice": "auto"})
    answer(call, "Hello")
    snapshot = Snapshot.objects.get(id=call.id)
    body = {"model": "m", "messages": [user("Hi")], "tools": tools, "tool_choice": "auto"}
    assert rebuild.rebuild_request(snapshot) == body
    assert exact_json.loads(rebuild.Rebuilder([snapshot]).request(snapshot)) == body
    [shown] = rows("calls")
    assert shown["request"] == body


def test_a_prompt_stays_the_same_where_the_tools_change(alice):
    """And a prompt that changes repeats no tools."""
    work(alice, 3, tools=lambda number: [TOOLS, MORE, None][number])
    tree = build_tree(Message.objects.all(), Snapshot.objects.all())
    assert [node.message.text for node in tree.preambles] == [SYSTEM["content"]]
    prompts = {tuple(tree.path_to(call.preamble_id)) for call in Snapshot.objects.all()}
    assert prompts == {tuple(tree.preambles)}
    assert Message.objects.filter(role="$tools").count() == 2
    today = [SYSTEM | {"content": "Today."}, *said(3)[1:]]
    ask(alice, today, params={"tools": MORE})
    assert Message.objects.filter(role="$tools").count() == 2


def test_they_are_no_message_of_the_tree(alice):
    calls = work(alice, 2)
    tree = build_tree(Message.objects.all(), calls)
    roles = [node.message.role for node in dict.fromkeys(tree.nodes.values())]
    assert sorted(roles) == ["assistant", "assistant", "system", "user", "user"]
    assert {call.preamble_id for call in calls} == tree.tools.keys()


def test_a_conversation_that_began_before_goes_on(alice, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(CallRequest, "split", split_as_before)
        answer(ask(alice, said(0), params={"tools": TOOLS}), "Step 0.")
    answer(ask(alice, said(1), params={"tools": TOOLS}), "Step 1.")
    ask(alice, said(2), params={"tools": TOOLS})
    calls = list(Snapshot.objects.order_by("id"))
    assert len({call.conversation_id for call in calls}) == 1
    assert ["tools" in call.params for call in calls] == [True, False, False]
    for number, call in enumerate(calls):
        body = {"model": "m", "messages": said(number), "tools": TOOLS}
        assert rebuild.rebuild_request(call) == body
        assert exact_json.loads(rebuild.Rebuilder(calls).request(call)) == body
    shown = sorted(rows("calls"), key=lambda row: row["id"])
    assert [row["request"]["tools"] for row in shown] == [TOOLS] * 2  # of those that are closed


def test_a_turn_whose_role_is_like_ours_is_a_turn(alice):
    """The door refuses it now; rows of an older version and of an import may have it."""
    odd = {"role": "$tools", "tools": ["mine"]}
    for messages in ([odd], [odd, user("Hi")], [SYSTEM, odd], [user("Hi"), odd]):
        call = Snapshot.objects.get(id=ask(alice, messages, params={"tools": TOOLS}).id)
        body = {"model": "m", "messages": messages, "tools": TOOLS}
        assert rebuild.rebuild_request(call) == body
        assert exact_json.loads(rebuild.Rebuilder([call]).request(call)) == body
        tree = build_tree(call.conversation.messages.all(), [call])
        assert odd["role"] in [node.message.role for node in tree.nodes.values()]
