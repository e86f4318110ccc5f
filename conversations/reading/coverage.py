"""How much of a conversation a reviewer was shown, by the audit events of their pages. Pure.

A page of a transcript names the last message of its line (`line`), the messages that it showed of
it (from `first` up to `end`, without those in `cut`, whose texts were too long for it) and the
system messages beside them (`prompts`). The page of a call shows its messages where it is `whole`;
a download has all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from uuid import UUID

from ..ids import parse_uuid
from ..models import AuditEvent, Decision, Snapshot
from ..shape import Json
from .tree import Node, Tree

Action = AuditEvent.Action
ACTIONS = (Action.TRANSCRIPT, Action.CALL, Action.EXPORT)  # by which messages are shown


class Sight(NamedTuple):
    """An audit event by which a reviewer saw some of a conversation."""

    event: UUID
    action: str
    subject: str  # the id of the conversation, or of the call
    detail: Json


class Coverage(NamedTuple):
    shown: int  # messages
    messages: int
    opened: int  # branches: lines of which a page was opened up to their present end
    branches: int
    pages: list[UUID]  # of the sights: those that showed a message first
    uncovered: list[Node]  # messages that neither these sights nor decisions before cover
    cut: set[Node]  # messages of pages that had no room for all of their text
    length: int = 0  # bytes of the messages that were shown since the latest decision
    began: UUID | None = None  # the first sight since then


def measure(
    tree: Tree,
    calls: Mapping[UUID, Snapshot],
    sights: Iterable[Sight],
    latest: Decision | None,
    *,
    since: UUID | None = None,
) -> Coverage:
    """Say what the sights show of a conversation, and what decisions up to the latest cover.

    How long it took, and how much was read, is counted from the sights after the id `since`.
    """
    nodes, roots = list(dict.fromkeys(tree.nodes.values())), tree.roots or tree.preambles
    ends = {node for node in nodes if not node.children and node.path[0] in roots}
    shown, cut = set[Node](), set[Node]()
    opened, pages = set[Node](), list[UUID]()
    read, began = set[Node](), None
    for sight in sights:
        seen = _follow(tree, calls, sight)
        if since is None or sight.event > since:
            read |= seen.whole | seen.cut
            began = began or sight.event
        if seen.whole - shown:
            pages.append(sight.event)
        shown |= seen.whole
        cut |= seen.cut
        opened |= {seen.end} & ends  # type: ignore[arg-type]
    covered = shown | _cover_before(tree, calls, latest)
    return Coverage(
        shown=len(shown),
        messages=len(nodes),
        opened=len(opened),
        branches=len(ends),
        pages=pages,
        uncovered=[node for node in nodes if node not in covered],
        cut=cut - shown,
        length=sum(node.message.size for node in read),  # type: ignore[attr-defined]
        began=began,
    )


def measure_call(sights: Iterable[Sight], *, has_reply: bool) -> Coverage:
    """Say what the sights show of a call in no conversation, which counts as one message.

    That is all of it or nothing: there are no parts of it to be covered one by one.
    """
    needed = {"request.json", "response.json"} if has_reply else {"request.json"}
    whole = [each.event for each in sights if each.detail.get("whole")]
    loaded = {each.detail["format"]: each.event for each in sights if "format" in each.detail}
    pages = whole[:1] or [loaded[name] for name in sorted(needed & loaded.keys())]
    shown = int(bool(whole) or needed <= loaded.keys())
    began = pages[0] if pages else None
    return Coverage(
        shown, 1, opened=0, branches=0, pages=pages, uncovered=[], cut=set(), began=began
    )


class _Seen(NamedTuple):
    """The messages that a sight showed."""

    whole: set[Node]
    cut: set[Node] = set()
    end: Node | None = None  # of the line of a transcript


def _follow(tree: Tree, calls: Mapping[UUID, Snapshot], sight: Sight) -> _Seen:
    said = sight.detail
    if sight.action == Action.TRANSCRIPT and "end" in said:
        end = _find(tree, said["line"])
        page = end.path[said["first"] : said["end"]] if end else []
        cut = {page[place - said["first"]] for place in said["cut"]}
        prompts = {node for each in said["prompts"] if (node := _find(tree, each))}
        return _Seen({*page} - cut | prompts, cut, end)
    call = calls.get(parse_uuid(sight.subject))  # type: ignore[arg-type]
    whole = set[Node]()
    if call and (said.get("whole") or said.get("format") == "request.json"):
        whole |= {*tree.path_to(call.head_id), *tree.path_to(call.preamble_id)}
    if call and (said.get("whole") or said.get("format") == "response.json"):
        whole |= {*tree.path_to(call.reply_id)[-1:]}
    return _Seen(whole)


def _cover_before(tree: Tree, calls: Mapping[UUID, Snapshot], latest: Decision | None) -> set[Node]:
    """Find what its calls brought, without what it says that no decision covers."""
    if latest is None:
        return set()
    uncovered = {tree.nodes.get(message) for message in latest.uncovered or ()}
    seen = {call.id for call in calls.values() if latest.saw(call.id, call.closed)}
    nodes = {node for node in tree.nodes.values() if node.message.snapshot_id in seen}
    return nodes - uncovered


def _find(tree: Tree, message: str | None) -> Node | None:
    return tree.nodes.get(parse_uuid(message))  # type: ignore[arg-type]
