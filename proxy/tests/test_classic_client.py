"""The old page behind a cloud gateway that cuts calls: it polls for what it lost."""

from conversations.models import Conversation, Snapshot, User
from proxy.models import ApiKey
from proxy.tests.gateway import eventually


def test_a_call_that_was_cut_is_polled_for_and_the_conversation_goes_on(gateway, recorded):
    owner = User.objects.create_user("of the old page")  # with a history of their own
    _, key = ApiKey.make(owner, "old page", scopes=ApiKey.OWN_SCOPES)
    first = {
        "model": "gpt-3.5-turbo",
        "messages": [{"role": "user", "content": "What is a mutex? !slow=1"}],
        "root_id": "string",
        "convo_title": "Locks",
    }
    with gateway.open("/api/chat", first, key):
        eventually(lambda: Snapshot.objects.filter(owner=owner, status="pending").exists())
    waiting = gateway.call("/api/checkchat", first, key)
    assert (waiting.status, waiting.headers["retry-after"]) == (404, "5")

    def found():
        reply = gateway.call("/api/checkchat", first, key)
        return reply if reply.status == 200 else None

    answer = eventually(found).json()
    messages = [
        *first["messages"],
        answer["choices"][0]["message"],
        {"role": "user", "content": "And a semaphore?"},
    ]
    second = gateway.call(
        "/api/chat",
        {
            "model": "gpt-3.5-turbo",
            "messages": messages,
            "root_id": answer["id"],
            "convo_title": "Locks",
        },
        key,
    )
    assert second.status == 200
    calls = recorded(2)
    assert {call.status for call in calls} == {"ok"}
    conversation = Conversation.objects.get(owner=owner)
    assert {call.conversation_id for call in calls} == {conversation.id}
    assert (conversation.title, conversation.turns) == ("Locks", 2)
    texts = [
        row["request"]["messages"][-1]["content"]
        for row in gateway.call("/api/history", None, key).json()["Historical_list"]
    ]
    assert texts == ["And a semaphore?", "What is a mutex? !slow=1"]
