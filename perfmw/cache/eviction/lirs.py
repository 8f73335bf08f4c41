"""LIRS (Jiang and Zhang, SIGMETRICS 2002): keys stay whose last two reads were close to each other."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable

_OUTER_SHARE = 0.02
_TICKS = 512
_SLACK = 64


class _Part:
    """Keys from the least to the most recently read, and when that was."""

    __slots__ = ("read", "used")

    def __init__(self) -> None:
        self.read: OrderedDict[Hashable, int] = OrderedDict()
        self.used = 0

    def oldest(self) -> int:
        """When the first of them was read, -1 if there are none."""
        return next(iter(self.read.values()), -1)


class _Gone:
    """Who left, by hash alone, and when it was last read; in about the order of that."""

    __slots__ = ("_order", "_read")

    def __init__(self) -> None:
        self._read: dict[int, int] = {}
        self._order: deque[int] = deque()

    def add(self, key: Hashable, read: int) -> None:
        mark = hash(key)
        self._read[mark] = read
        self._order.append(mark)
        if len(self._order) > 2 * len(self._read) + _SLACK:
            self._order = deque(self._read)  # without the places of those who came back

    def recall(self, key: Hashable) -> int:
        """When ``key`` was last read, -1 if that is not known; it is not any more."""
        return self._read.pop(hash(key), -1)

    def trim(self, since: int, most: int) -> None:
        """Forget who was read before ``since``, and of the rest the oldest beyond ``most``."""
        while self._order and (len(self._read) > most or self._read.get(self._order[0], -1) < since):
            self._read.pop(self._order.popleft(), None)

    def __len__(self) -> int:
        return len(self._read)


class LIRSPolicy:
    """Keeps keys by the time between their last two reads, which withstands loops larger than the cache.

    Nearly all room is for an inner part. A key enters it when it is read again while it was last read later
    than the oldest of the inner part, resident or not; that one then moves to the outer part, a queue, from
    whose head keys leave. Comparing times is what the stack of the publication is for. They are counted in
    steps of a 512th of the entries, so that many keys share a number. As many who left are remembered as
    there are entries.
    """

    def __init__(self, capacity: int) -> None:
        self._inner, self._outer = _Part(), _Part()
        self._gone = _Gone()
        self._now = self._since_tick = 0
        self._sizes: dict[Hashable, int] | None = {}
        """Sizes other than 1; None where the cache is asked for them."""
        self._size_of: Callable[[Hashable], int] = self._own_size
        self._filling = True
        self._returning: tuple[Hashable, int] | None = None
        self.resize(capacity)

    def ask_sizes_of(self, size_of: Callable[[Hashable], int]) -> None:
        """Ask this for the size of a resident key, until it has left or ``on_update`` returned; keep none."""
        self._sizes, self._size_of = None, size_of

    def _own_size(self, key: Hashable) -> int:
        return (self._sizes or {}).get(key, 1)

    def on_hit(self, key: Hashable) -> None:
        self._tick()
        inner, outer = self._inner.read, self._outer.read
        if key in inner:
            inner[key] = self._now
            inner.move_to_end(key)
        elif outer[key] >= self._inner.oldest():
            size = self._size_of(key)
            del outer[key]
            self._outer.used -= size
            self._enter(key, size)
        else:
            outer[key] = self._now
            outer.move_to_end(key)

    def on_insert(self, key: Hashable, size: int, cost: float) -> None:
        self._tick()
        read = self._recall(key)
        self._returning = None
        if self._sizes is not None and size != 1:
            self._sizes[key] = size
        if self._filling or read >= self._inner.oldest() >= 0:
            self._enter(key, size)
        else:
            self._outer.read[key] = self._now
            self._outer.used += size

    def on_update(self, key: Hashable, size: int, cost: float) -> None:
        part = self._inner if key in self._inner.read else self._outer
        part.used += size - self._size_of(key)
        if self._sizes is not None:
            self._sizes[key] = size
        part.read[key] = self._now
        part.read.move_to_end(key)
        self._even_out()

    def on_remove(self, key: Hashable) -> None:
        part = self._inner if key in self._inner.read else self._outer
        del part.read[key]
        part.used -= self._forget(key)

    def evict(self, incoming: Hashable | None, size: int) -> Hashable:
        self._filling = False
        if incoming is not None:
            self._recall(incoming)
        part = self._outer if self._outer.read else self._inner
        if not part.read:
            raise LookupError("nothing is resident")
        key, read = part.read.popitem(last=False)
        part.used -= self._forget(key)
        since = self._inner.oldest()
        if part is self._outer and read >= since:
            self._gone.add(key, read)
        self._gone.trim(since, len(self) + 1)
        return key

    def _tick(self) -> None:
        self._since_tick += 1
        if self._since_tick * _TICKS > len(self):
            self._since_tick = 0
            self._now += 1

    def _enter(self, key: Hashable, size: int) -> None:
        self._inner.read[key] = self._now
        self._inner.used += size
        self._even_out()

    def _even_out(self) -> None:
        """Who is too much for the inner part moves to the outer one's end."""
        inner, outer = self._inner, self._outer
        while inner.used > self._capacity and len(inner.read) > 1:
            key, read = inner.read.popitem(last=False)
            size = self._size_of(key)
            inner.used -= size
            outer.read[key] = read
            outer.used += size

    def _recall(self, key: Hashable) -> int:
        """When ``key`` was last read if it is remembered, else -1; asked before room is made for it."""
        read = self._gone.recall(key)
        if read >= 0:
            self._returning = key, read
        return self._returning[1] if self._returning is not None and self._returning[0] == key else -1

    def _forget(self, key: Hashable) -> int:
        size = self._size_of(key)
        if self._sizes:
            self._sizes.pop(key, None)
        return size

    def resize(self, capacity: int) -> None:
        self._capacity = max(1, capacity - max(1, int(capacity * _OUTER_SHARE)))
        self._even_out()

    def close_gaps(self) -> None:
        """Make the tables anew, without the places of those who left."""
        self._inner.read, self._outer.read = self._inner.read.copy(), self._outer.read.copy()
        if self._sizes:
            self._sizes = dict(self._sizes)

    def keys(self) -> Iterable[Hashable]:
        return [*self._outer.read, *self._inner.read]

    def __len__(self) -> int:
        return len(self._inner.read) + len(self._outer.read)
