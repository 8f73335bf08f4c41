"""Random replacement."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterable


class RandomPolicy:
    """Evicts any resident key with equal probability. Seeded, so that a trace gives the same result again."""

    lock_free_hits = True

    def __init__(self, capacity: int, seed: int = 0) -> None:
        self._keys: list[Hashable] = []
        self._places: dict[Hashable, int] = {}
        self._random = random.Random(seed)
        nothing: dict[Hashable, None] = {}
        self.on_hit: Callable[[Hashable], object] = nothing.__contains__

    def on_insert(self, key: Hashable, size: int, cost: float) -> None:
        self._places[key] = len(self._keys)
        self._keys.append(key)

    def on_update(self, key: Hashable, size: int, cost: float) -> None:
        """A new value changes nothing."""

    def on_remove(self, key: Hashable) -> None:
        place = self._places.pop(key)
        last = self._keys.pop()
        if last != key:  # the last key moves into the gap
            self._keys[place] = last
            self._places[last] = place

    def evict(self, incoming: Hashable | None, size: int) -> Hashable:
        if not self._keys:
            raise LookupError("nothing is resident")
        key = self._keys[self._random.randrange(len(self._keys))]
        self.on_remove(key)
        return key

    def close_gaps(self) -> None:
        """Make the table anew, without the places of those who left."""
        self._places = dict(self._places)

    def resize(self, capacity: int) -> None:
        """The choice does not depend on the capacity."""

    def keys(self) -> Iterable[Hashable]:
        return list(self._keys)

    def __len__(self) -> int:
        return len(self._keys)
