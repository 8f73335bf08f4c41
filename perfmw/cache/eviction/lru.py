"""Least recently used."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable


class LRUPolicy:
    """Evicts the key that was read or written longest ago.

    ``on_hit`` is the ordered dict's own ``move_to_end``: a hit runs no Python frame, and a key that another
    thread removed meanwhile raises KeyError as the contract allows.
    """

    lock_free_hits = True

    def __init__(self, capacity: int) -> None:
        self._order: OrderedDict[Hashable, None] = OrderedDict()
        self.on_hit: Callable[[Hashable], object] = self._order.move_to_end

    def on_insert(self, key: Hashable, size: int, cost: float) -> None:
        self._order[key] = None

    def on_update(self, key: Hashable, size: int, cost: float) -> None:
        self._order.move_to_end(key)

    def on_remove(self, key: Hashable) -> None:
        del self._order[key]

    def evict(self, incoming: Hashable | None, size: int) -> Hashable:
        return self._order.popitem(last=False)[0]

    def replace(self, incoming: Hashable) -> Hashable:
        """``evict`` and ``on_insert`` in one step, for a cache that is full."""
        order = self._order
        key = order.popitem(False)[0]
        order[incoming] = None
        return key

    def close_gaps(self) -> None:
        """Make the table anew; a hit in another thread meanwhile may be lost."""
        try:
            order = OrderedDict.fromkeys(self._order)
        except RuntimeError:  # such a hit, where hashing a key runs Python
            return
        self._order = order
        self.on_hit = order.move_to_end

    def resize(self, capacity: int) -> None:
        """The order does not depend on the capacity."""

    def keys(self) -> Iterable[Hashable]:
        return list(self._order)

    def __len__(self) -> int:
        return len(self._order)
