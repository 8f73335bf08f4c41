"""SIEVE (Zhang et al., NSDI 2024): a queue whose hand passes over what was read since it last came by."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable


class _Node:
    __slots__ = ("key", "newer", "older")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.newer: _Node | None = None
        self.older: _Node | None = None


class SievePolicy:
    """Evicts the oldest key not read since the hand last passed it; the hand moves from old to new.

    Unlike in a clock, a key that is passed over stays where it is. A hit is one ``set.add``.
    """

    lock_free_hits = True

    def __init__(self, capacity: int) -> None:
        self._nodes: dict[Hashable, _Node] = {}
        self._visited: set[Hashable] = set()
        self._newest: _Node | None = None
        self._oldest: _Node | None = None
        self._hand: _Node | None = None
        self.on_hit: Callable[[Hashable], object] = self._visited.add

    def on_insert(self, key: Hashable, size: int, cost: float) -> None:
        node = _Node(key)
        node.older = self._newest
        if self._newest is not None:
            self._newest.newer = node
        self._newest = node
        if self._oldest is None:
            self._oldest = node
        self._nodes[key] = node
        self._visited.discard(key)  # a hit that raced with its removal may have marked it

    def on_update(self, key: Hashable, size: int, cost: float) -> None:
        self._visited.add(key)

    def on_remove(self, key: Hashable) -> None:
        self._unlink(self._nodes[key])

    def evict(self, incoming: Hashable | None, size: int) -> Hashable:
        if not self._nodes:
            raise LookupError("nothing is resident")
        visited = self._visited
        if len(visited) > 2 * len(self._nodes):  # marks left behind by hits that raced with removals
            visited.intersection_update(self._nodes)
        node = self._hand or self._oldest
        assert node is not None
        while node.key in visited:
            visited.discard(node.key)
            node = node.newer or self._oldest
            assert node is not None
        self._hand = node
        self._unlink(node)
        return node.key

    def _unlink(self, node: _Node) -> None:
        if node.newer is None:
            self._newest = node.older
        else:
            node.newer.older = node.older
        if node.older is None:
            self._oldest = node.newer
        else:
            node.older.newer = node.newer
        if self._hand is node:
            self._hand = node.newer
        del self._nodes[node.key]
        self._visited.discard(node.key)

    def resize(self, capacity: int) -> None:
        """The queue does not depend on the capacity."""

    def keys(self) -> Iterable[Hashable]:
        """In the order in which they would leave: from the hand on, those not read first."""
        order = []
        node = self._hand or self._oldest
        for _ in range(len(self._nodes)):
            assert node is not None
            order.append(node.key)
            node = node.newer or self._oldest
        return sorted(order, key=self._visited.__contains__)

    def __len__(self) -> int:
        return len(self._nodes)
