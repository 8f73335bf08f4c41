"""A queue by rank that only looks again at who comes up: raising a rank is a dictionary write.

In full order is only the front, about an eighth of the keys. The others wait in a list, at 8 bytes a key,
until the front is used up; then those of lowest rank are taken out for the next one.
"""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heapify, heappop, heappush

_SLACK = 64
_SAMPLE = 512
_FRONT_SHARE = 0.125
_NOTES = 1 << 12
"""A place is a complex number, the smallest object that holds two: the rank, and when it was given. The
lowest 12 bits of the latter are a note that the owner of the queue may leave with the key."""
MOST_NOTED = _NOTES - 1


class RankedQueue:
    """Keys by rank; of equal ranks the one that was given longest ago comes first."""

    def __init__(self) -> None:
        self._places: dict[Hashable, complex] = {}
        self._front: list[tuple[float, float, Hashable]] = []
        self._rest: list[Hashable] = []
        self._border = float("-inf")
        """Who ranks above it waits in the rest."""
        self._numbers = 0

    def add(self, key: Hashable, rank: float, note: int = 0) -> None:
        """A new key, or a rank that may be lower than before; ``note`` is 0 to ``MOST_NOTED``."""
        self.raise_to(key, rank, note)
        self._queue(key, self._places[key])
        if len(self._rest) + len(self._front) > 2 * len(self._places) + _SLACK:
            self._forget_stale()

    def raise_to(self, key: Hashable, rank: float, note: int = 0) -> None:
        """A rank that is not lower than before: noticed when the key comes up."""
        self._numbers += 1
        self._places[key] = complex(rank, self._numbers * _NOTES + note)

    def note(self, key: Hashable) -> int:
        """What was left with ``key``. Raises KeyError when it is not here."""
        return int(self._places[key].imag) & MOST_NOTED

    def remove(self, key: Hashable) -> None:
        del self._places[key]

    def pop(self) -> tuple[Hashable, float]:
        """The key of lowest rank, and that. Raises LookupError when empty."""
        while self._places:
            if not self._front:
                self._fill_front()
            rank, number, key = heappop(self._front)
            place = self._places.get(key)
            if place is None:
                continue
            if place.real == rank and place.imag == number:
                del self._places[key]
                return key, rank
            if place.real >= rank and place.imag > number:
                self._queue(key, place)
        raise LookupError("nothing is resident")

    def close_gaps(self) -> None:
        """Make the table anew, without the places of those who left."""
        self._places = dict(self._places)

    def in_order(self) -> list[Hashable]:
        """Keys from the lowest rank to the highest."""
        return sorted(self._places, key=self._order)

    def __len__(self) -> int:
        return len(self._places)

    def _order(self, key: Hashable) -> tuple[float, float]:
        place = self._places[key]
        return place.real, place.imag

    def _queue(self, key: Hashable, place: complex) -> None:
        if place.real > self._border:
            self._rest.append(key)
        else:
            heappush(self._front, (place.real, place.imag, key))

    def _fill_front(self) -> None:
        """The border moves up: to where about an eighth is below it, as far as a sample tells."""
        places = self._places
        keys = [key for key in dict.fromkeys(self._rest) if key in places]
        ranks = sorted(places[key].real for key in keys[:: 1 + len(keys) // _SAMPLE])
        self._border = ranks[int(len(ranks) * _FRONT_SHARE)]
        self._front = [(*self._order(key), key) for key in keys if places[key].real <= self._border]
        heapify(self._front)
        self._rest = [key for key in keys if places[key].real > self._border]

    def _forget_stale(self) -> None:
        places = self._places
        self._front = [(*self._order(key), key) for key in places if places[key].real <= self._border]
        heapify(self._front)
        self._rest = [key for key in places if places[key].real > self._border]
