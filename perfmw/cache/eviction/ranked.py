"""A queue by rank that only looks again at who comes up: raising a rank is a dictionary write."""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from itertools import count

_SLACK = 64


class RankedQueue:
    """Keys by rank; of equal ranks the one that was given longest ago comes first."""

    def __init__(self) -> None:
        self._ranks: dict[Hashable, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, Hashable]] = []
        self._numbers = count()

    def add(self, key: Hashable, rank: float) -> None:
        """A new key, or a rank that may be lower than before."""
        number = next(self._numbers)
        self._ranks[key] = (rank, number)
        heappush(self._heap, (rank, number, key))
        if len(self._heap) > 2 * len(self._ranks) + _SLACK:
            self._heap = [(*place, key) for key, place in self._ranks.items()]
            heapify(self._heap)

    def raise_to(self, key: Hashable, rank: float) -> None:
        """A rank that is not lower than before: noticed when the key comes up."""
        self._ranks[key] = (rank, next(self._numbers))

    def remove(self, key: Hashable) -> None:
        del self._ranks[key]

    def pop(self) -> tuple[Hashable, float]:
        """The key of lowest rank, and that. Raises LookupError when empty."""
        while self._heap:
            rank, number, key = heappop(self._heap)
            place = self._ranks.get(key)
            if place == (rank, number):
                del self._ranks[key]
                return key, rank
            if place is not None and place[0] >= rank and number < place[1]:
                heappush(self._heap, (*place, key))
        raise LookupError("nothing is resident")

    def in_order(self) -> list[Hashable]:
        """Keys from the lowest rank to the highest."""
        return sorted(self._ranks, key=self._ranks.__getitem__)
