"""First in, first out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable


class FIFOPolicy:
    """Evicts the key that came in first; reads and new values do not change the order."""

    lock_free_hits = True

    def __init__(self, capacity: int) -> None:
        self._order: OrderedDict[Hashable, None] = OrderedDict()
        # the cheapest callable that does nothing with a key: no Python frame, no effect
        nothing: dict[Hashable, None] = {}
        self.on_hit: Callable[[Hashable], object] = nothing.__contains__

    def on_insert(self, key: Hashable, size: int, cost: float) -> None:
        self._order[key] = None

    def on_update(self, key: Hashable, size: int, cost: float) -> None:
        """A new value keeps its key's place in the queue."""

    def on_remove(self, key: Hashable) -> None:
        del self._order[key]

    def evict(self, incoming: Hashable | None, size: int) -> Hashable:
        return self._order.popitem(last=False)[0]

    def close_gaps(self) -> None:
        """Make the table anew, without the places of those who left."""
        self._order = self._order.copy()

    def resize(self, capacity: int) -> None:
        """The order does not depend on the capacity."""

    def keys(self) -> Iterable[Hashable]:
        return list(self._order)

    def __len__(self) -> int:
        return len(self._order)
