"""One line through a conversation's tree: from a root down to the newest message. Pure.

A question whose newest call brought no reply (it is pending, or it failed) ends the line: that call
stands in place of the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from ..models import Snapshot
from .tree import Node, Tree


@dataclass(slots=True)
class TreeLine:
    nodes: list[Node]
    target: Node | None  # the message that the line was asked to pass through
    open: Snapshot | None  # the call that stands in place of the last question's answer

    def exchange_starts(self) -> list[int]:
        """List the positions of the questions that follow no other question."""
        roles = [node.message.role for node in self.nodes]
        return [
            i
            for i, role in enumerate(roles)
            if role == "user" and (i == 0 or roles[i - 1] != "user")
        ]

    def start_of_last(self, count: int) -> int:
        """Find the start of the last `count` exchanges; of more where the target is earlier."""
        starts = self.exchange_starts()
        first = starts[-count] if len(starts) > count else 0
        if self.target in self.nodes:
            at = self.nodes.index(self.target)
            first = min(first, max((start for start in starts if start <= at), default=0))
        return first

    @property
    def call(self) -> Snapshot | None:
        """The newest call of the line; the next question takes its model and parameters."""
        calls = [call for node in self.nodes for call in node.calls]
        return self.open or (max(calls, key=lambda call: call.id) if calls else None)


def trace(tree: Tree, at: UUID | None) -> TreeLine:
    """Follow the tree through the message `at`, or else through that of the newest call."""
    target = tree.nodes.get(at) if at else None
    node = target or tree.newest
    nodes = node.path if node else []
    while nodes and not (call := unanswered(nodes[-1])) and nodes[-1].children:
        nodes.append(nodes[-1].children[-1])
    return TreeLine(nodes, target, call if nodes else None)


def unanswered(node: Node) -> Snapshot | None:
    """Find the newest call that ends with this message, has no reply, and no newer sibling call."""
    call = max(
        (call for call in node.calls if call.reply_id is None),
        key=lambda call: call.id,
        default=None,
    )
    newest = max(
        (
            snapshot
            for child in node.children
            for snapshot in (child.message.snapshot_id, *(call.id for call in child.calls))
        ),
        default=None,
    )
    return call if call and (newest is None or call.id > newest) else None


def siblings(node: Node, tree: Tree) -> list[Node]:
    """List the versions of a message, first messages included."""
    if node.parent:
        return node.siblings
    return [root for root in tree.roots if root.message.role == node.message.role] or [node]
