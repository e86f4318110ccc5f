"""What the demo's people said: recorded as real calls are."""

import csv
import json
from collections import Counter
from datetime import UTC, datetime, timedelta

from django.test import Client, TestCase, override_settings

from conversations.models import Assessment, Attachment, Conversation, Message, Seal, Snapshot, User
from conversations.proof import sealing
from conversations.record import rebuild, threads
from llmgateway.demo import accounts, samples
from llmgateway.tests.demo import run, signed_in
from proxy.models import ApiKey


def said(text):
    """The conversation in which somebody says this."""
    return Conversation.objects.get(
        messages__text__contains=text, messages__origin="sent", messages__depth=0
    )


class Samples(TestCase):
    """Loaded once: its tests only read."""

    loaded: str

    @classmethod
    def setUpTestData(cls) -> None:
        with override_settings(DEMO=True):
            cls.loaded = run("load_demo")

    # People

    def test_the_accounts_are_those_that_are_printed(self):
        assert self.loaded == (
            "Loaded 11 demo accounts and 62 sample conversations. "
            "The password of alice, bob, rita, admin is: demo\n"
        )
        for name in ("alice", "bob", "rita", "admin"):
            assert signed_in(name, "demo").username == name
        assert set(User.objects.values_list("username", flat=True)) == set(accounts.ACCOUNTS)
        for user in User.objects.exclude(username__in=accounts.SIGN_IN):
            assert not user.has_usable_password()
            assert user.job_title

    def test_each_has_the_rights_of_the_part(self):
        people = {user.username: user for user in User.objects.all()}
        assert [name for name, user in people.items() if user.is_superuser] == ["admin"]
        assert sorted(name for name, user in people.items() if user.is_staff) == ["admin", "rita"]
        assert people["rita"].has_perm("conversations.view_content")
        assert not people["alice"].has_perm("conversations.view_content")

    def test_the_key_that_is_printed_is_alices(self):
        [key] = ApiKey.objects.presented("gw-demo-alice").usable()
        assert key.owner.username == "alice"
        assert set(key.scopes) == set(ApiKey.OWN_SCOPES)

    # What they said

    def test_sixty_conversations_of_the_last_thirty_days(self):
        now = datetime.now(UTC)
        shown = Conversation.objects.exclude(turns=0)
        assert 55 <= shown.count() <= 65
        times = list(Snapshot.objects.values_list("opened", "first_byte", "closed"))
        assert min(opened for opened, _, _ in times) > now - timedelta(days=30)
        assert max(closed for _, _, closed in times) < now
        assert len({opened.date() for opened, _, _ in times}) > 20
        assert all(opened < (first or closed) <= closed for opened, first, closed in times)
        assert Counter(Conversation.objects.values_list("owner__username", flat=True)).keys() >= {
            "alice",
            "bob",
            "carla",
            "dmitri",
            "emeka",
            "fumiko",
            "greta",
            "hugo",
            "ines",
        }

    def test_one_conversation_stays_one(self):
        """As many as in the file, less the calls that were refused: none split, none joined."""
        entries = json.loads(samples.FILE.read_text("utf-8"))
        lonely = sum(
            entry["turns"][0].get("status") == "refused" or entry.get("kind") == "embedding"
            for entry in entries
        )
        assert Conversation.objects.count() == len(entries) - lonely
        assert Snapshot.objects.exclude(kind="metadata").count() == sum(
            len(entry["turns"]) for entry in entries
        )
        assert not Snapshot.objects.filter(status="pending").exists()

    def test_ids_are_in_the_order_of_time(self):
        by_id = list(Snapshot.objects.order_by("id").values_list("opened", flat=True))
        assert by_id == sorted(by_id)
        for snapshot in Snapshot.objects.all():
            at = datetime.fromtimestamp((snapshot.id.int >> 80) / 1000, UTC)
            assert abs(at - snapshot.opened) < timedelta(milliseconds=2)

    def test_the_readmes_conversation(self):
        conversation = Conversation.objects.get(title="A horror story was requested and extended.")
        assert conversation.owner.username == "alice"
        one, two = conversation.snapshots.order_by("id")
        first = {
            "role": "assistant",
            "content": "As I reached for the light switch in the darkness, "
            "a cold hand grabbed mine.",
        }
        opener = {"role": "user", "content": "write me a 1 sentence horror story"}
        assert rebuild.rebuild_request(one)["messages"] == [opener]
        assert rebuild.rebuild_request(two)["messages"] == [
            opener,
            first,
            {"role": "user", "content": "add another sentence to the story"},
        ]
        assert two.reply.text == (
            "I turned around but no one was there, "
            "just a feeling of icy breath on the back of my neck."
        )
        assert [(s.prompt_tokens, s.completion_tokens, s.total_tokens) for s in (one, two)] == [
            (16, 17, 33),
            (49, 22, 71),
        ]
        assert {(s.model, s.served_model) for s in (one, two)} == {
            ("gpt-3.5-turbo", "gpt-3.5-turbo-0301")
        }

    def test_every_ending_and_kind_is_there(self):
        statuses = Counter(Snapshot.objects.values_list("status", flat=True))
        assert statuses.keys() == {"ok", "failed", "refused", "cancelled", "interrupted"}
        assert set(Snapshot.objects.values_list("kind", flat=True)) == {
            "chat",
            "image",
            "embedding",
            "metadata",
        }
        for snapshot in Snapshot.objects.exclude(status="ok"):
            assert snapshot.error_code
            assert snapshot.error
        for snapshot in Snapshot.objects.filter(status__in=("cancelled", "interrupted")):
            assert snapshot.reply.text
            assert snapshot.estimated
        for snapshot in Snapshot.objects.filter(status="refused"):
            assert snapshot.conversation is None
            assert json.loads(snapshot.params)["messages"]

    def test_some_are_assessed_of_enough_people_to_be_shown_together(self):
        while sealing.seal():
            pass
        assert Assessment.objects.count() == Snapshot.objects.filter(kind="metadata").count() >= 10
        assert Assessment.objects.values("conversation__owner").distinct().count() >= 5
        assert {True, False} == set(Assessment.objects.values_list("work_related", flat=True))
        assert not Snapshot.objects.filter(kind="metadata", opened__gt=datetime.now(UTC)).exists()

    def test_the_four_panels_and_the_api_say_what_the_calls_add_up_to_one_by_one(self):
        today = datetime.now(UTC).date()
        days, query = (
            [today - timedelta(days=ago) for ago in range(30, -1, -1)],
            f"?since={today - timedelta(days=30)}&until={today}",
        )
        calls, tokens, threads = Counter(), {"prompt": Counter(), "completion": Counter()}, {}
        for call in Snapshot.objects.select_related("owner", "conversation"):
            name, spent = (
                call.owner.username,
                (call.prompt_tokens or 0, call.completion_tokens or 0),
            )
            calls[name, call.opened.date()] += 1
            for kind, number in zip(("prompt", "completion"), spent, strict=True):
                tokens[kind][name] += number
            if call.conversation:
                told = threads.setdefault(call.conversation_id, [call.conversation.title, 0, 0, 0])
                threads[call.conversation_id] = [
                    told[0],
                    told[1] + bool(call.reply_id),
                    told[2] + spent[0],
                    told[3] + spent[1],
                ]
        by_tokens = sorted(
            tokens["prompt"],
            key=lambda name: -(tokens["prompt"][name] + tokens["completion"][name]),
        )
        longest = sorted((sum(told[2:]) for told in threads.values()), reverse=True)

        desk, rita = Client(), User.objects.get(username="rita")
        desk.force_login(rita)

        def panel(name: str) -> list[list[str]]:
            text = desk.get(f"/admin/usage/{name}.csv{query}").getvalue().decode("utf-8-sig")
            return list(csv.reader(text.splitlines()))[1:]

        assert [[row[0], *map(int, row[1:4])] for row in panel("people")] == [
            [
                name,
                sum(n for (who, _), n in calls.items() if who == name),
                tokens["prompt"][name],
                tokens["completion"][name],
            ]
            for name in by_tokens
        ]
        assert {name: int(number) for name, number in panel("tokens")} == {
            kind.capitalize(): sum(tokens[kind].values()) for kind in tokens
        }
        assert [(date, sum(map(int, numbers))) for date, *numbers in panel("history")] == [
            (str(day), sum(n for (_, at), n in calls.items() if at == day)) for day in days
        ]
        shown = [[row[0], *map(int, row[1:4])] for row in panel("conversations")]
        assert [sum(row[2:]) for row in shown] == longest
        assert all(row in threads.values() for row in shown)

        _, secret = ApiKey.make(rita, "report", scopes=[ApiKey.Scope.USAGE, ApiKey.Scope.HISTORY])
        told = (
            Client()
            .get(f"/api/usage{query}&of=everyone", headers={"authorization": f"Bearer {secret}"})
            .json()
        )
        for name, heads in (
            ("people", ("calls", "prompt_tokens", "completion_tokens")),
            ("conversations", ("calls", "prompt_tokens", "completion_tokens")),
        ):
            assert [[row["name"], *(row[head] for head in heads)] for row in told[name]] == [
                [row[0], *map(int, row[1:4])] for row in panel(name)[: len(told[name])]
            ]
        assert len(told["conversations"]) == 15  # a CSV has all of them
        assert [told["total"]["prompt_tokens"], told["total"]["completion_tokens"]] == [
            int(number) for _, number in panel("tokens")
        ]
        for series in told["history"]:
            if series["name"] != "All others":
                assert series["calls"] == [calls[series["name"], day] for day in days]
        assert [step["calls"] for step in told["steps"]] == [
            sum(n for (_, at), n in calls.items() if at == day) for day in days
        ]

    def test_every_good_call_is_counted_and_priced(self):
        for snapshot in Snapshot.objects.filter(status="ok").exclude(kind="embedding"):
            assert snapshot.cost, snapshot
            if snapshot.kind == "chat":
                assert snapshot.prompt_tokens
                assert snapshot.completion_tokens
                assert snapshot.reply.origin == "relayed"
                assert not snapshot.estimated

    def test_the_longest_has_eight_turns(self):
        assert max(Conversation.objects.values_list("turns", flat=True)) == 8

    def test_regenerated_answers_and_an_edited_question_are_branches(self):
        conversation = Conversation.objects.get(title="Reminder to a supplier")
        openers = list(conversation.messages.filter(depth=0))
        assert len(openers) == 2
        assert sorted(
            conversation.messages.filter(parent=opener, role="assistant").count()
            for opener in openers
        ) == [1, 2]

    def test_a_retry_after_a_failure_asks_in_the_same_place(self):
        conversation = said("agenda for our budget kick-off")
        failed, good = conversation.snapshots.order_by("id")
        assert (failed.status, good.status) == ("failed", "ok")
        assert failed.head_id == good.head_id

    def test_claimed_turns_are_claimed_and_all_others_relayed(self):
        assert [message.text[:30] for message in Message.objects.filter(origin="claimed")] == [
            "Sure! As agreed, I will ignore"
        ]

    def test_tool_calls_carry_their_results(self):
        conversation = said("build of release/4.2")
        first, *_, last = conversation.snapshots.order_by("id")
        assert first.finish_reason == "tool_calls"
        assert first.key
        assert [message["role"] for message in rebuild.rebuild_request(last)["messages"]] == [
            "user",
            "assistant",
            "tool",
            "assistant",
            "user",
            "assistant",
            "tool",
        ]
        assert rebuild.rebuild_request(last)["tools"]

    def test_pictures_are_files(self):
        drawn = Snapshot.objects.get(kind="image", status="ok")
        [picture] = rebuild.rebuild_response(drawn)["data"]
        assert picture["b64_json"].startswith("iVBOR")
        assert "iVBOR" not in drawn.response
        assert str(drawn.cost) == "0.01800000"
        seen = Message.objects.get(raw__contains="background for the title slide").snapshot
        assert rebuild.rebuild_request(seen)["messages"][0]["content"][1]["image_url"][
            "url"
        ].startswith("data:image/png;base64,iVBOR")
        assert Attachment.objects.count() == 2

    def test_what_a_reviewer_should_find_is_there(self):
        for text in (
            "customer list",
            "not-a-real-password",
            "<script>fetch(",
            "depression",
            "CONFIDENTIAL",
            "Schreib mir bitte",
            "展示会",
            "Traceback (most recent call last)",
        ):
            assert Message.objects.filter(text__contains=text).exists(), text

    def test_somebody_has_removed_a_conversation_from_the_history(self):
        hidden = Conversation.objects.get(shown=False)
        assert hidden.owner.username == "bob"
        assert hidden.snapshots.count() == 2

    def test_it_all_can_be_sealed_and_found(self):
        while sealing.seal():
            pass
        assert Seal.objects.count() == Snapshot.objects.count()

    def test_answers_are_of_natural_length(self):
        lengths = [
            len(
                threads.extract_searchable_text(
                    json.loads(message.raw) if message.text is None else {"content": message.text}
                ).split()
            )
            for message in Message.objects.filter(role="assistant")
        ]
        assert max(lengths) < 260
        assert sorted(lengths)[len(lengths) // 2] > 40
