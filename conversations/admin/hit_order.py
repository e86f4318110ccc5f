"""The hits of a search in one conversation: their order, and the way from one to the next. Pure.

First those of the newest branch, as they are read; then those of other branches, as they were said.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from uuid import UUID

from ..models import Snapshot
from ..reading.tree import Node, Tree


class Hits:
    def __init__(self, found: Iterable[UUID], grown: Tree) -> None:
        """Order the messages that were found; those that are not in the tree are left out."""
        nodes = dict.fromkeys(grown.nodes[each] for each in found if each in grown.nodes)
        newest = set(grown.line())
        newest |= {node for call in _calls_of(newest) for node in _prompt(call, grown)}

        def place(node: Node) -> tuple[bool, UUID, bool, int]:
            is_turn = node.path[0] not in grown.preambles
            return node not in newest, node.message.snapshot_id, is_turn, node.message.depth

        self.nodes = sorted(nodes, key=place)
        self.numbers = {node: number for number, node in enumerate(self.nodes, 1)}
        self.current: Node | None = None
        self.shown: list[Node] = []

    def __contains__(self, node: Node) -> bool:
        return node in self.numbers

    def __len__(self) -> int:
        return len(self.nodes)

    @property
    def first(self) -> UUID | None:
        return self.nodes[0].message.id if self.nodes else None

    def show(self, nodes: Collection[Node], current: Node | None) -> None:
        """Take note of the messages of a page, and of the one that it was opened at."""
        self.shown = [node for node in self.nodes if node in nodes]
        begin = self.shown[0] if self.shown else None
        self.current = current if current in self.numbers else begin

    @property
    def number(self) -> int:
        """The number of the current hit, from 1; 0 where the page has none."""
        return self.numbers[self.current] if self.current else 0

    @property
    def earlier(self) -> UUID | None:
        return self._find(self.number - 1)

    @property
    def later(self) -> UUID | None:
        return self._find(self.number + 1)

    @property
    def beyond(self) -> UUID | None:
        """The first hit behind those of the page."""
        return self._find(max(map(self.numbers.__getitem__, self.shown), default=0) + 1)

    def _find(self, number: int) -> UUID | None:
        is_one = 1 <= number <= len(self.nodes)
        return self.nodes[number - 1].message.id if is_one else None


def _calls_of(nodes: Iterable[Node]) -> list[Snapshot]:
    return [call for node in nodes for call in node.calls]


def _prompt(call: Snapshot, grown: Tree) -> list[Node]:
    return grown.path_to(call.preamble_id)
