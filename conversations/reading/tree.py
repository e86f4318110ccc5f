"""The rows of one conversation as people see them: turns and branches, each message once. Pure.

Rows are messages exactly as they were sent; spellings of one message share a path hash and are one
node here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from ..models import Message, Snapshot
from ..speech.recorded import TOOLS


@dataclass(slots=True, eq=False)
class Node:
    """A message of the conversation.

    `calls` are the snapshots that it ends: those that brought it if it is a reply; for any other
    message, those without a reply whose last message it was.
    """

    message: Message
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)
    calls: list[Snapshot] = field(default_factory=list)

    @property
    def path(self) -> list[Node]:
        """The nodes from the root to this one."""
        path, node = [self], self.parent
        while node:
            path.append(node)
            node = node.parent
        return path[::-1]

    @property
    def siblings(self) -> list[Node]:
        """All versions of this message, itself included, oldest first; a first message has none."""
        if self.parent is None:
            return [self]
        return [node for node in self.parent.children if node.message.role == self.message.role]

    @property
    def version(self) -> int:
        return self.siblings.index(self) + 1

    @property
    def claimed(self) -> bool:
        return self.message.origin == Message.Origin.CLAIMED


@dataclass(slots=True)
class Tree:
    roots: list[Node]  # first messages of turns; more than one where the opener was edited
    preambles: list[Node]  # first system messages
    nodes: dict[UUID, Node]  # by the id of any of a node's rows
    newest: Node | None
    tools: dict[UUID, Message]  # the row of a call's tools, by the last row of its preamble

    def path_to(self, message: UUID | None) -> list[Node]:
        """List the nodes from the root to this message; none if it is not in the tree."""
        node = self.nodes.get(message) if message else None
        return node.path if node else []

    def line(self, through: UUID | None = None) -> list[Node]:
        """List the turns from a root through this message, and on to the newest.

        Without a message, those of the newest call.
        """
        node = self.nodes.get(through) if through else self.newest
        if node is None:
            return []
        line = node.path
        while line[-1].children:
            line.append(line[-1].children[-1])
        return line


def build_tree(messages: Iterable[Message], snapshots: Iterable[Snapshot]) -> Tree:
    """Build it from a conversation's messages and snapshots, in any order.

    Costs no query when `snapshot` payloads are deferred.
    """
    messages, snapshots = list(messages), list(snapshots)
    tools = _find_tools(messages, snapshots)
    beside = {row.id for row in tools.values()}
    rows = sorted(
        (row for row in messages if row.id not in beside),
        key=lambda row: (row.snapshot_id, row.depth, row.echo_of_id is not None),
    )
    nodes = _make_nodes(rows)
    roots: list[Node] = []
    for row in sorted(rows, key=lambda row: (row.snapshot_id, row.depth)):
        node = nodes[row.id]
        if row.parent_id is None or row.parent_id in beside:
            if node not in roots:
                roots.append(node)
        elif node.parent is None:
            node.parent = nodes[row.parent_id]
            node.parent.children.append(node)
    newest = None
    for snapshot in sorted(snapshots, key=lambda snapshot: snapshot.id):
        end = nodes.get(snapshot.reply_id or snapshot.head_id)  # type: ignore[arg-type]
        if end:
            end.calls.append(snapshot)
            newest = end
    preambles = [node for node in roots if node.message.role in ("system", "developer")]
    return Tree([node for node in roots if node not in preambles], preambles, nodes, newest, tools)


def _find_tools(rows: list[Message], snapshots: list[Snapshot]) -> dict[UUID, Message]:
    """Find the rows that hold the tools of calls: they are no messages, and in no line."""
    by_id = {row.id: row for row in rows}
    found: dict[UUID, Message] = {}
    for end in {snapshot.preamble_id for snapshot in snapshots}:
        row = first = by_id.get(end) if end else None
        while row:
            first, row = row, by_id.get(row.parent_id) if row.parent_id else None
        if end and first and first.role == TOOLS:
            found[end] = first
    return found


def _make_nodes(rows: list[Message]) -> dict[UUID, Node]:
    """Make a node for each path, and list it by the id of each of its rows.

    Its message is the row that was relayed, else the first that echoes no other.
    """
    by_path: dict[bytes, Node] = {}
    nodes: dict[UUID, Node] = {}
    for row in rows:
        path_hash = bytes(row.path_hash)
        node = by_path.get(path_hash)
        if node is None:
            node = by_path[path_hash] = Node(row)
        elif node.message.origin != Message.Origin.RELAYED == row.origin or (
            node.message.echo_of_id and not row.echo_of_id
        ):
            node.message = row
        nodes[row.id] = node
    return nodes
