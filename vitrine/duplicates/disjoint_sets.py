"""Disjoint sets: what is connected, found by union-find with path halving (Tarjan and van Leeuwen, 1984)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, Protocol, TypeVar


class _Ordered(Protocol):
    def __lt__(self, other: Any, /) -> bool: ...
    def __hash__(self) -> int: ...


Node = TypeVar("Node", bound=_Ordered)


class DisjointSets(Generic[Node]):
    """Sets of nodes; each is named by its smallest node, so names depend on no order."""

    def __init__(self, edges: Iterable[tuple[Node, Node]] = ()) -> None:
        self._parent: dict[Node, Node] = {}
        for first, second in edges:
            self.join(first, second)

    def join(self, first: Node, second: Node) -> None:
        """Makes the sets of two nodes one."""
        roots = self.name_of(first), self.name_of(second)
        self._parent[max(roots)] = min(roots)

    def name_of(self, node: Node) -> Node:
        """Returns the smallest node of the set that holds `node`; a node that was never joined is alone."""
        parent = self._parent
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    def names(self) -> dict[Node, Node]:
        """Returns every node that was seen with the name of its set."""
        return {node: self.name_of(node) for node in list(self._parent)}
