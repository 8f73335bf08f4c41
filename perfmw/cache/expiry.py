"""What a memory layer knows of entries beside their values, and which of them expires next.

Pure: time is an argument. Facts are kept only of entries that need them, so an entry without expiry, size and
cost weighs nothing here.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import NamedTuple

FOR_EVER = math.inf
_SLACK = 64


class Facts(NamedTuple):
    """Of one entry. The number makes facts with equal expiry comparable without comparing their keys."""

    expires: float
    number: int
    key: Hashable
    size: int
    cost: float


class FactBook:
    """Facts by key, and a heap of those that expire.

    What is overwritten or removed stays in the heap until it comes up or until there are half
    as many stale facts as valid ones; the heap refers to no values, so nothing large is kept alive by it.
    """

    def __init__(self) -> None:
        self.by_key: dict[Hashable, Facts] = {}
        self._heap: list[Facts] = []
        self._numbers = count()
        self._timed = 0

    def note(self, key: Hashable, expires: float, size: int, cost: float) -> None:
        """Know this of ``key`` from now on, in place of what was known."""
        self.forget(key)
        timed = expires != FOR_EVER
        facts = Facts(expires, next(self._numbers) if timed else 0, key, size, cost)
        self.by_key[key] = facts
        if timed:
            self._timed += 1
            heappush(self._heap, facts)
            if len(self._heap) > 1.5 * self._timed + _SLACK:
                self._heap = [known for known in self.by_key.values() if known.expires != FOR_EVER]
                heapify(self._heap)

    def forget(self, key: Hashable) -> Facts | None:
        """What was known of ``key``."""
        facts = self.by_key.pop(key, None)
        if facts is not None and facts.expires != FOR_EVER:
            self._timed -= 1
        return facts

    def next_expired(self, now: float) -> Hashable | None:
        """A key that has expired at ``now``, the earliest first; None when there is none."""
        while self._heap and self._heap[0].expires <= now:
            facts = heappop(self._heap)
            if self.by_key.get(facts.key) is facts:
                return facts.key
        return None

    @property
    def timed(self) -> bool:
        """Whether anything here may expire."""
        return self._timed > 0
