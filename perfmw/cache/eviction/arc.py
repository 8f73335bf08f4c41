"""ARC (Megiddo and Modha, FAST 2003): recency and frequency, balanced by what each forgot too early."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable

from perfmw.cache.eviction.queues import Ghosts

_ENDLESS = 1 << 62


class _List:
    """Keys from the least to the most recently used, with their sizes."""

    __slots__ = ("sizes", "used")

    def __init__(self) -> None:
        self.sizes: OrderedDict[Hashable, int] = OrderedDict()
        self.used = 0

    def append(self, key: Hashable, size: int) -> None:
        self.sizes[key] = size
        self.used += size

    def remove(self, key: Hashable) -> int:
        size = self.sizes.pop(key)
        self.used -= size
        return size

    def pop_oldest(self) -> tuple[Hashable, int]:
        key, size = self.sizes.popitem(last=False)
        self.used -= size
        return key, size


class ARCPolicy:
    """Keeps keys seen once and keys seen again in two lists, and remembers what each list gave up.

    A key that returns while its list remembers it says that this list was too short, and the target moves.
    Sizes count in place of entries, so it works for both kinds of bound.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._once, self._often = _List(), _List()
        self._gone_once, self._gone_often = Ghosts(_ENDLESS), Ghosts(_ENDLESS)  # which _trim keeps short
        self._target = 0.0
        self._considered: Hashable | None = None

    def on_hit(self, key: Hashable) -> None:
        if key in self._often.sizes:
            self._often.sizes.move_to_end(key)
        else:
            self._often.append(key, self._once.remove(key))

    def on_insert(self, key: Hashable, size: int, cost: float) -> None:
        self._consider(key)
        self._considered = None
        if self._gone_once.recall(key) or self._gone_often.recall(key):
            self._often.append(key, size)
        else:
            self._once.append(key, size)
        self._trim()

    def on_update(self, key: Hashable, size: int, cost: float) -> None:
        holder = self._once if key in self._once.sizes else self._often
        holder.remove(key)
        self._often.append(key, size)

    def on_remove(self, key: Hashable) -> None:
        holder = self._once if key in self._once.sizes else self._often
        holder.remove(key)

    def evict(self, incoming: Hashable | None, size: int) -> Hashable:
        if incoming is not None:
            self._consider(incoming)
        once, often = self._once, self._often
        if not once.sizes and not often.sizes:
            raise LookupError("nothing is resident")
        newcomer = incoming not in self._gone_once and incoming not in self._gone_often
        if newcomer and once.used + self._gone_once.used >= self._capacity and not self._gone_once.marks:
            return once.pop_oldest()[0]  # nothing but keys seen once: the oldest is not worth remembering
        returning = incoming in self._gone_often
        over = once.used > self._target or (returning and once.used == self._target)
        if once.sizes and (over or not often.sizes):
            key, weight = once.pop_oldest()
            self._gone_once.add(key, weight)
        else:
            key, weight = often.pop_oldest()
            self._gone_often.add(key, weight)
        return key

    def _consider(self, key: Hashable) -> None:
        """Learn from a key that returns, once for each time that it does."""
        if self._considered == key:
            return
        self._considered = key
        once, often = self._gone_once.used, self._gone_often.used
        if key in self._gone_once:
            self._target = min(self._capacity, self._target + max(1.0, often / max(1, once)))
        elif key in self._gone_often:
            self._target = max(0.0, self._target - max(1.0, once / max(1, often)))

    def _trim(self) -> None:
        """Remember no more than another cache's worth in all, and what was seen once no more than one's."""
        gone_once, gone_often = self._gone_once, self._gone_often
        while gone_once.marks and self._once.used + gone_once.used > self._capacity:
            gone_once.forget_oldest()
        resident = self._once.used + self._often.used
        while gone_often.marks and resident + gone_once.used + gone_often.used > 2 * self._capacity:
            gone_often.forget_oldest()

    def resize(self, capacity: int) -> None:
        self._target = self._target * capacity / self._capacity
        self._capacity = capacity
        self._trim()

    def close_gaps(self) -> None:
        """Make the tables anew, without the places of those who left."""
        self._once.sizes = self._once.sizes.copy()
        self._often.sizes = self._often.sizes.copy()

    def keys(self) -> Iterable[Hashable]:
        return [*self._once.sizes, *self._often.sizes]

    def __len__(self) -> int:
        return len(self._once.sizes) + len(self._often.sizes)
