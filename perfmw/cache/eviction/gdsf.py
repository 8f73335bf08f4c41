"""Greedy-Dual-Size-Frequency (Cherkasova, HP Labs 1998): small, often read and dear keys stay."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from perfmw.cache.eviction.ranked import RankedQueue


class GDSFPolicy:
    """Evicts the key of lowest rank, which is age + reads * cost / size.

    The age is the rank of the last key that was evicted, so that reads of long ago lose their weight. A
    cost of 0.0 (unknown) counts as one second, so that without costs it is the hit ratio that is maximised.
    """

    def __init__(self, capacity: int) -> None:
        self._queue = RankedQueue()
        self._reads: dict[Hashable, int] = {}
        self._worth: dict[Hashable, float] = {}
        self._age = 0.0

    def on_hit(self, key: Hashable) -> None:
        reads = self._reads[key] = self._reads[key] + 1
        self._queue.raise_to(key, self._age + reads * self._worth[key])

    def on_insert(self, key: Hashable, size: int, cost: float) -> None:
        self._reads[key] = 1
        worth = self._worth[key] = self._value(size, cost)
        self._queue.add(key, self._age + worth)

    def on_update(self, key: Hashable, size: int, cost: float) -> None:
        reads = self._reads[key] = self._reads[key] + 1
        worth = self._worth[key] = self._value(size, cost)
        self._queue.add(key, self._age + reads * worth)

    def on_remove(self, key: Hashable) -> None:
        self._queue.remove(key)
        del self._reads[key], self._worth[key]

    def evict(self, incoming: Hashable | None, size: int) -> Hashable:
        key, self._age = self._queue.pop()
        del self._reads[key], self._worth[key]
        return key

    def _value(self, size: int, cost: float) -> float:
        return (cost if cost > 0 else 1.0) / size

    def resize(self, capacity: int) -> None:
        """Ranks do not depend on the capacity."""

    def keys(self) -> Iterable[Hashable]:
        return self._queue.in_order()

    def __len__(self) -> int:
        return len(self._reads)
