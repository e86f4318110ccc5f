"""No page, download or reply puts more together than it says; what is left out is said, and found.

The limits are an eighth of what they are, and the texts with them.
"""

import re
import tracemalloc
from collections.abc import Iterator

import pytest
from django.core.signals import request_finished
from django.test import Client

from conversations.admin import transcript
from conversations.exports import table
from conversations.models import Snapshot
from conversations.reading import history, pages, portions, turn_pieces
from conversations.record import rebuild
from conversations.tests.calls import person, turn, user
from conversations.tests.cast import client_of, signed_in
from conversations.tests.cells import parsed
from llmgateway.tests.long_texts import LARGE, all_words, few_large, many_small, words_of
from llmgateway.tests.paths import paths

pytestmark = pytest.mark.django_db
MB = 1 << 20
LIMITS = {
    portions: {"BYTES": MB // 4, "SHOWN": MB // 2, "CALLS": 5},
    pages: {"BYTES": MB // 4},
    turn_pieces: {"SHOWN": MB // 2},
    transcript: {"SHOWN": MB // 2, "CALLS": 5},
    rebuild: {"MOST_BYTES": MB, "MOST_STEPS": 4000},
    history: {"LARGEST": 2 * MB},
}
PAGE = 3 * MB // 4  # bytes of a page: a portion, the last question and answer, and what is around
REPLY = 3 * MB  # bytes of a reply of the API, and of one call, which the door has bounded
MEMORY = 24 * MB  # of one request, however much is on record: several forms of 1 MB and a call
KINDS = {"few large": few_large, "many small": many_small}


@pytest.fixture(autouse=True)
def limits(monkeypatch):
    monkeypatch.setattr("proxy.pages.asking.list_models", lambda owner: ["m"])
    for module, values in LIMITS.items():
        for name, value in values.items():
            monkeypatch.setattr(module, name, value)


@pytest.fixture(scope="module", params=KINDS)
def call(request, kept) -> Iterator[Snapshot]:
    with kept(lambda: KINDS[request.param](person())) as call:
        yield call


@pytest.fixture
def lead(db) -> Client:
    return client_of("lea", "Lead", "Auditor", is_superuser=True)


@pytest.fixture
def owner(db) -> Client:
    return signed_in(person())


def heavy(call: Snapshot) -> list[str]:
    """What puts most together."""
    root = call.conversation_id
    first = call.conversation.messages.order_by("snapshot", "depth").first()
    lists = [f"/admin/conversations/{name}/" for name in ("conversation", "snapshot")]
    return [
        *(f"{each}csv/?since=" for each in (*lists, "/admin/conversations/auditevent/")),
        f"{lists[0]}{root}/change/?call={call.id}",
        f"{lists[0]}{root}/change/?at={first.id}",
        f"/c/{root}/?shown=999999",
        f"/c/{root}/?at={first.id}",
        "/history/?q=word",
        "/api/history?limit=1000",
        "/api/history_of_conversations?limit=1000",
        "/api/conversations?limit=1000",
        f"/api/conversations/{root}",
        *(f"/api/export.csv?purpose=x&of={of}" for of in ("turns", "figures", "classic")),
        "/api/export.jsonl?purpose=x",
    ]


def answer(client: Client, path: str) -> tuple[int, bool]:
    """The bytes of the reply, and whether it streams: piece by piece, none is kept."""
    response = client.get(path)
    pieces = response.streaming_content if response.streaming else [response.content]
    return sum(map(len, pieces)), response.streaming


@pytest.mark.drill  # tracing memory takes minutes
def test_no_request_takes_more_than_its_bounds(call, lead, owner):
    """Streams are as long as they are; their memory is bounded all the same."""
    faults, largest, measured = [], 0, heavy(call)
    for path in [*paths(call), *measured]:  # once for what a process reads once
        is_of_desk = path.startswith(("/admin/", "/api/export"))
        client = lead if is_of_desk else owner
        size, streams = answer(client, path)
        largest = max(largest, size)
        is_reply = path.startswith("/api/") or path.endswith(".json")
        if size > (REPLY if is_reply else PAGE) and not streams:
            faults.append(f"{path}: {size:,} bytes")
        if path in measured:
            tracemalloc.start()
            answer(client, path)
            memory = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            if memory > MEMORY:
                faults.append(f"{path}: {memory:,} bytes of memory")
    assert not faults, "\n".join(faults)
    assert largest > MB // 8


# What is left out is said, and found --------------------------------------------------------------


def links(response, name: str) -> list[str]:
    found = re.findall(r'<a [^>]*href="([^"]+)"[^>]*>([^<]*)</a>', response.content.decode())
    return [link.replace("&amp;", "&").partition("#")[0] for link, words in found if name in words]


def walk(client: Client, path: str, name: str, base: str = "") -> tuple[set[bytes], int]:
    """The words of a page and of those that its link of this name leads to, and how many pages."""
    found, count, seen = set(), 0, set()
    while path not in seen:
        seen.add(path)
        response = client.get(path)
        assert response.status_code == 200
        found |= words_of(response.content)
        count += 1
        path = next((f"{base}{link}" for link in links(response, name)), path)
    return found, count


def line_words(call: Snapshot) -> set[bytes]:
    request, reply = rebuild.rebuild_request(call), rebuild.rebuild_response(call)
    return words_of(str([request, reply]).encode())


def test_a_transcript_is_read_to_its_end_from_page_to_page(call, lead):
    path = f"/admin/conversations/conversation/{call.conversation_id}/change/"
    found, count = walk(lead, f"{path}?from=0", "Later messages", path)
    assert found >= line_words(call)
    assert count > 3
    last = f"{path}?call={call.id}"
    found, back = walk(lead, last, "Earlier messages", path)
    assert found >= line_words(call)
    assert back == count


def test_an_owner_reads_from_the_newest_to_the_first_and_back(call, owner):
    path = f"/c/{call.conversation_id}/"
    found, count = walk(owner, path, "Show earlier")
    assert found >= line_words(call)
    assert count > 3
    found, _ = walk(owner, f"{path}?from=0", "Show later")
    assert found >= line_words(call)
    first = owner.get(f"{path}?from=0").content.decode()
    assert "Go to the newest messages" in first
    assert 'name="message"' not in first


def test_a_message_of_an_earlier_page_is_shown_where_it_is(call, owner):
    first = call.conversation.messages.filter(depth=0, snapshot__lte=call.id).latest("snapshot")
    shown = owner.get(f"/c/{call.conversation_id}/?at={first.id}")
    assert f'id="m{first.id}"' in shown.content.decode()


def test_an_owner_keeps_all_of_it(call, owner):
    for suffix in ("md", "json"):
        export = owner.get(f"/c/{call.conversation_id}/export.{suffix}").getvalue()
        assert words_of(export) >= line_words(call)
    assert words_of(export) == all_words(call)


def test_programs_get_page_after_page(call, owner):
    address, said, calls, after = f"/api/conversations/{call.conversation_id}", set(), [], ""
    ids = []
    while after is not None:
        page = owner.get(f"{address}?after={after}" if after else address).json()
        said |= words_of(str(page["messages"]).encode())
        ids += [message["id"] for message in page["messages"]]
        calls += [each["id"] for each in page["snapshots"]]
        after = page["next"]
    assert said == all_words(call)
    assert len(ids) == len(set(ids))
    assert calls == [str(each.id) for each in call.conversation.snapshots.order_by("id")]
    assert owner.get(f"{address}?after={call.conversation_id}").status_code == 400


def test_a_csv_ends_with_the_address_of_the_rest(call, lead, monkeypatch):
    whole = parsed(lead.get("/admin/conversations/snapshot/csv/?since=").getvalue())
    monkeypatch.setattr(table, "LARGEST", MB // 8)
    address, rows, files = "/admin/conversations/snapshot/csv/?since=", [], 0
    while address:
        *more, last = parsed(lead.get(address).getvalue())
        files += 1
        found = re.search(r"This file ends here.* are at (\S+)\. An export", last["id"])
        rows += more if found else [*more, last]
        address = found and found[1]
    assert rows == whole
    assert files > 1


def test_a_text_that_no_page_holds_is_cut_in_words(lead, owner, monkeypatch):
    for module in (portions, turn_pieces, transcript):
        monkeypatch.setattr(module, "SHOWN", 20_000)
    monkeypatch.setattr(portions.cut_pieces, "__defaults__", (20_000,))
    call = turn(person(), [user("y" * LARGE)], "z" * LARGE)
    desk = lead.get(f"/admin/conversations/conversation/{call.conversation_id}/change/")
    text = desk.content.decode()
    assert text.count("y") < 21_000
    assert text.count(f"{LARGE - 20_000:,} characters") == 2
    assert f"/admin/conversations/snapshot/{call.id}/" in text
    page = owner.get(f"/c/{call.conversation_id}/").content.decode()
    assert page.count("z") < 21_000
    assert page.count(f"{LARGE - 20_000:,} more characters are not shown here") == 2


def test_calls_that_are_not_listed_are_named(lead):
    call = many_small(person("bob"))
    head = call.conversation.snapshots.latest("id").head_id
    page = lead.get(
        f"/admin/conversations/conversation/{call.conversation_id}/change/?at={head}"
    ).content.decode()
    assert "3 earlier calls are not listed here" in page
    assert f"?q=id:{call.conversation_id}" in page


def test_a_csv_ends_with_its_reader(call, lead, monkeypatch, django_assert_num_queries):
    response = lead.get("/admin/conversations/snapshot/csv/?since=")
    lines = iter(response.streaming_content)
    next(lines), next(lines)
    monkeypatch.setattr(request_finished, "send", lambda **_: [])  # it ends connections, too
    response.close()
    with django_assert_num_queries(0), pytest.raises(StopIteration):
        next(lines)
