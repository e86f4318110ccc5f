"""Jobs as the worker itself does them."""

from conversations.models import Conversation, User
from conversations.tests.calls import turn, user
from proxy import tasks
from proxy.tests.gateway import CANARY, marked


def test_conversations_are_titled_and_a_silent_model_holds_nobody(gateway, recorded):
    alice = User.objects.get(username="alice")
    said = ("Rotate signing keys", "!silent")
    fine, silent = (turn(alice, [user(f"{words} {marked()}")], CANARY, model="gpt-4o").conversation for words in said)
    for made in (fine, silent):
        tasks.title.defer(conversation=str(made.id))
    assert CANARY not in gateway.work()
    assert Conversation.objects.get(id=fine.id).titled_by == "model"
    assert Conversation.objects.get(id=silent.id).titled_by == ""
    assert {call.status: call.error_code for call in recorded(4) if call.kind == "title"} == {"ok": "", "failed": "upstream_timeout"}
    gateway.work()
    recorded(4)  # none is tried again
