"""The made-up year is made of rows as the record writes them."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Sum

from conversations.models import Conversation, Seal, Snapshot, Usage, User
from conversations.proof import sealing
from conversations.proof.verification import verify
from conversations.record import Outcome, close, rebuild
from conversations.search import find
from conversations.tests.calls import ask, person, turn, user

pytestmark = pytest.mark.django_db


@pytest.fixture
def year(capsys) -> None:
    call_command("generate", 300, people=20)
    capsys.readouterr()


def test_a_made_up_call_is_rebuilt_continued_searched_and_counted(year):
    assert Snapshot.objects.count() == Seal.objects.filter(kind="snapshot").count() >= 300
    assert not Snapshot.objects.filter(status=Snapshot.Status.PENDING).exists()
    call = (
        Snapshot.objects.filter(
            status=Snapshot.Status.OK, kind=Snapshot.Kind.CHAT, head__depth__gte=2
        )
        .select_related("owner", "conversation", "reply")
        .first()
    )
    asked = rebuild.rebuild_request(call)["messages"]
    assert asked[-1] == {"role": "user", "content": call.head.text}
    again = turn(
        call.owner,
        [*asked, rebuild.rebuild_response(call)["choices"][0]["message"], user("and then?")],
        "so",
    )
    assert again.conversation == call.conversation
    first_words = " ".join(call.head.text.split()[:8])
    scope = find.Scope(owners=[call.owner_id], for_owner=True)
    assert find.find_hits(f'"{first_words}"', scope).hits
    for name in ("prompt_tokens", "completion_tokens", "cost"):
        assert Usage.objects.aggregate(sum=Sum(name)) == Snapshot.objects.aggregate(
            sum=Sum(name)
        ), name
        assert Conversation.objects.aggregate(sum=Sum(name)) == Snapshot.objects.exclude(
            conversation=None
        ).aggregate(sum=Sum(name)), name


def test_a_check_says_that_the_year_is_made_up(db, capsys, settings, tmp_path):
    """Of its calls, decisions and events; and what was dated back beside it is named as ever."""
    settings.CHECKPOINT_FILE = tmp_path / "checkpoints.jsonl"
    call_command("generate", 1500, people=20)
    assert {*Seal.objects.values_list("kind", flat=True)} == {"snapshot", "decision", "auditevent"}
    run = verify()
    assert re.fullmatch(
        r"1,\d{3} rows are of a made-up year, which manage.py generate wrote and dated back "
        r"\(accounts whose external id begins with generated:\)\. "
        r"This is no record of what people did\.",
        run.problem,
    )
    assert run.seals == Seal.objects.count()
    assert "later than they closed" not in run.notes
    turn(person(), [user("hi")], "Hello!")
    call = ask(person(), [user("I was never here")], opened=datetime.now(UTC) - timedelta(days=25))
    close(call, Outcome(status="ok", closed=call.opened))
    assert sealing.seal() == 2
    first, second = verify().problem.splitlines()
    assert first == run.problem
    assert second.startswith(f"The snapshot {call.id} (seal ")


def test_it_stays_away_from_other_peoples_records(db):
    User.objects.create_user("somebody")
    with pytest.raises(CommandError, match="holds people's accounts"):
        call_command("generate", 10)
    assert not Snapshot.objects.exists()
