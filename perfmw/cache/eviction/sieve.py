"""SIEVE (Zhang et al., NSDI 2024): a queue whose hand passes over what was read since it last came by."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from itertools import chain

from perfmw.cache.eviction.queues import Stale


class SievePolicy:
    """Evicts the oldest key not read since the hand last passed it; the hand moves from old to new.

    Unlike in a clock, a key that is passed over stays where it is. The queue is kept as two: what the hand
    has yet to look at, newcomers at its end, and what it has passed. When the first is empty the hand is back
    at the oldest key, and the two change places. So nothing is linked: a hit is one ``set.add``, an eviction
    one ``popleft``. A key that was removed, and is back before the place it left came up, may keep that.
    """

    lock_free_hits = True

    def __init__(self, capacity: int) -> None:
        self._ahead: deque[Hashable] = deque()
        self._passed: deque[Hashable] = deque()
        self._stale = Stale()
        self._visited: set[Hashable] = set()
        self.on_hit: Callable[[Hashable], object] = self._visited.add

    def on_insert(self, key: Hashable, size: int, cost: float) -> None:
        self._ahead.append(key)
        self._visited.discard(key)  # a hit that raced with its removal may have marked it

    def on_update(self, key: Hashable, size: int, cost: float) -> None:
        self._visited.add(key)

    def on_remove(self, key: Hashable) -> None:
        self._visited.discard(key)
        self._stale.add(key)
        if self._stale.crowds(len(self._ahead) + len(self._passed)):
            self._ahead, self._passed = self._without_stale()
            self._stale.clear()
            if not self._ahead:
                self._turn()

    def evict(self, incoming: Hashable | None, size: int) -> Hashable:
        if not len(self):
            raise LookupError("nothing is resident")
        while True:
            key = self._ahead.popleft()
            stale = self._stale.marks and self._stale.take(key)
            passed = not stale and key in self._visited
            if passed:
                self._visited.discard(key)
                self._passed.append(key)
            if not self._ahead:  # now, so that newcomers come after all that the hand has passed
                self._turn()
            if not (stale or passed):
                return key

    def replace(self, incoming: Hashable) -> Hashable:
        """``evict`` and ``on_insert`` in one step, for a cache that is full: one call in place of two."""
        key = self.evict(incoming, 1)
        self._ahead.append(incoming)
        return key

    def _turn(self) -> None:
        """The hand is back at the oldest key."""
        self._ahead, self._passed = self._passed, self._ahead
        if len(self._visited) > 2 * len(self):  # marks left behind by hits that raced with removals
            self._visited.intersection_update(self._ahead)

    def _without_stale(self) -> tuple[deque[Hashable], deque[Hashable]]:
        ahead, *others = self._stale.sift(self._ahead, self._passed)
        return ahead, others[0]

    def resize(self, capacity: int) -> None:
        """The queue does not depend on the capacity."""

    def keys(self) -> Iterable[Hashable]:
        """In the order in which they would leave: from the hand on, those not read first."""
        return sorted(chain(*self._without_stale()), key=self._visited.__contains__)

    def __len__(self) -> int:
        return len(self._ahead) + len(self._passed) - self._stale.count
