"""Greedy-Dual-Size-Frequency (Cherkasova, HP Labs 1998): small, often read and dear keys stay."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable

from perfmw.cache.eviction.ranked import MOST_NOTED, RankedQueue

_DEAREST = 86_400.0
"""Seconds beyond which a cost is not told apart: beside an age of many more, others would be lost."""


class GDSFPolicy:
    """Evicts the key of lowest rank, which is age + reads * cost / size.

    The age is the rank of the last key that was evicted, so that reads of long ago lose their weight. A
    cost of 0.0 (unknown) counts as one second, so that without costs it is the hit ratio that is maximised.
    """

    def __init__(self, capacity: int) -> None:
        self._queue = RankedQueue()  # which keeps the number of reads with each key
        self._worth: dict[Hashable, float] | None = {}
        """Of keys where it is not 1; None where the cache is asked for sizes and costs."""
        self._asked: Callable[[Hashable], tuple[int, float]] | None = None
        self._age = 0.0

    def ask_worth_of(self, size_and_cost: Callable[[Hashable], tuple[int, float]]) -> None:
        """Ask this for the size and cost of a resident key that is read; keep none."""
        self._asked, self._worth = size_and_cost, None

    def on_hit(self, key: Hashable) -> None:
        reads = min(self._queue.note(key) + 1, MOST_NOTED)
        self._queue.raise_to(key, self._age + reads * self._worth_of(key), reads)

    def on_insert(self, key: Hashable, size: int, cost: float) -> None:
        worth = self._weigh(key, size, cost)
        self._queue.add(key, self._age + worth, 1)

    def on_update(self, key: Hashable, size: int, cost: float) -> None:
        reads = min(self._queue.note(key) + 1, MOST_NOTED)
        worth = self._weigh(key, size, cost)
        self._queue.add(key, self._age + reads * worth, reads)

    def on_remove(self, key: Hashable) -> None:
        self._queue.remove(key)
        self._forget(key)

    def evict(self, incoming: Hashable | None, size: int) -> Hashable:
        key, self._age = self._queue.pop()
        self._forget(key)
        return key

    def close_gaps(self) -> None:
        """Make the tables anew, without the places of those who left."""
        self._queue.close_gaps()
        self._worth = self._worth and dict(self._worth)

    def _weigh(self, key: Hashable, size: int, cost: float) -> float:
        worth = self._value(size, cost)
        if self._worth is not None:
            self._worth.pop(key, None)
            if worth != 1.0:
                self._worth[key] = worth
        return worth

    def _worth_of(self, key: Hashable) -> float:
        if self._asked is not None:
            return self._value(*self._asked(key))
        return (self._worth or {}).get(key, 1.0)

    def _forget(self, key: Hashable) -> None:
        if self._worth:
            self._worth.pop(key, None)

    def _value(self, size: int, cost: float) -> float:
        return (min(cost, _DEAREST) if cost > 0 else 1.0) / size

    def resize(self, capacity: int) -> None:
        """Ranks do not depend on the capacity."""

    def keys(self) -> Iterable[Hashable]:
        return self._queue.in_order()

    def __len__(self) -> int:
        return len(self._queue)
