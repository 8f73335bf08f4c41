"""LIRS (Jiang and Zhang, SIGMETRICS 2002): keys stay whose last two reads were close to each other."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Hashable, Iterable

_OUTER_SHARE = 0.02
_TICKS = 512
_SLACK = 64
_WAYS = 4
_LEAST_SLOTS = 1_024
_MIX = 0x9E3779B97F4A7C15
_MASK, _TIME = (1 << 64) - 1, (1 << 32) - 1


class _Part:
    """Keys, when each was last read, and the order of that.

    A key that is read again gets another place at the end; the one it had is passed over when it comes up, or
    sifted out when half of them are such. That takes half the memory of an ordered dict.
    """

    __slots__ = ("_places", "_times", "read", "used")

    def __init__(self) -> None:
        self.read: dict[Hashable, int] = {}
        self.used = 0
        self._places: deque[Hashable] = deque()
        self._times: deque[int] = deque()
        """When the key of each place was read; those whose key was read later are stale."""

    def put(self, key: Hashable, read: int) -> None:
        """``key``, here or not, was read then, and goes to the end."""
        if self.read.get(key) == read:
            return
        self.read[key] = read
        self._places.append(key)
        self._times.append(read)
        if len(self._places) > 2 * len(self.read) + _SLACK:
            self.sift()

    def oldest(self) -> int:
        """When the first of them was read, -1 if there are none."""
        places, times, read = self._places, self._times, self.read
        while times:
            if read.get(places[0]) == times[0]:
                return times[0]
            places.popleft()
            times.popleft()
        return -1

    def pop_oldest(self) -> tuple[Hashable, int]:
        self.oldest()
        key = self._places.popleft()
        self._times.popleft()
        return key, self.read.pop(key)

    def sift(self) -> None:
        """Keep one place of each key: its last."""
        held = zip(self._places, self._times, strict=True)
        kept = {key: time for key, time in held if self.read.get(key) == time}
        self._places, self._times = deque(kept), deque(kept.values())

    def keys(self) -> Iterable[Hashable]:
        self.sift()
        return self._places


class _Gone:
    """When those who left were last read, in a table of some 8 to 16 bytes an entry of the cache.

    A slot has 32 bits of a key's hash and 32 of the time. Where the slots for such a hash are taken, who was
    read longest ago is forgotten. Two keys of one hash are taken for one, which may cost a wrong guess.
    """

    __slots__ = ("_slots",)

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * _LEAST_SLOTS))

    def add(self, key: Hashable, read: int) -> None:
        self._put(_mark(key), read)

    def _put(self, mark: int, read: int) -> None:
        slots, start = self._slots, mark & -_WAYS & len(self._slots) - 1
        times = [slot & _TIME for slot in slots[start : start + _WAYS]]
        slots[start + times.index(min(times))] = mark << 32 | read & _TIME

    def recall(self, key: Hashable) -> int:
        """When ``key`` was last read, -1 if that is not known; it is not any more."""
        mark = _mark(key)
        slots, start = self._slots, mark & -_WAYS & len(self._slots) - 1
        for place, slot in enumerate(slots[start : start + _WAYS], start):
            if slot >> 32 == mark:
                slots[place] = 0
                return slot & _TIME
        return -1

    def make_room(self, entries: int) -> None:
        """For about as many as there are entries."""
        if entries > len(self._slots):
            held, self._slots = self._slots, array("Q", bytes(8 << entries.bit_length()))
            for slot in held:
                if slot:
                    self._put(slot >> 32, slot & _TIME)


def _mark(key: Hashable) -> int:
    """32 bits of ``key``'s hash, never 0."""
    return (hash(key) * _MIX & _MASK) >> 32 or 1


class LIRSPolicy:
    """Keeps keys by the time between their last two reads, which withstands loops larger than the cache.

    Nearly all room is for an inner part. A key enters it when it is read again while it was last read later
    than the oldest of the inner part, resident or not; that one then moves to the outer part, a queue, from
    whose head keys leave. Comparing times is what the stack of the publication is for. They are counted in
    steps of a 512th of the entries, so that many keys share a number. About as many who left are remembered
    as there are entries.
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
        inner, outer = self._inner, self._outer
        if key in inner.read:
            inner.put(key, self._now)
        elif outer.read[key] >= inner.oldest():
            size = self._size_of(key)
            del outer.read[key]
            outer.used -= size
            self._enter(key, size)
        else:
            outer.put(key, self._now)

    def on_insert(self, key: Hashable, size: int, cost: float) -> None:
        self._tick()
        read = self._recall(key)
        self._returning = None
        if self._sizes is not None and size != 1:
            self._sizes[key] = size
        if self._filling or read >= self._inner.oldest() >= 0:
            self._enter(key, size)
        else:
            self._outer.put(key, self._now)
            self._outer.used += size

    def on_update(self, key: Hashable, size: int, cost: float) -> None:
        part = self._inner if key in self._inner.read else self._outer
        part.used += size - self._size_of(key)
        if self._sizes is not None:
            self._sizes[key] = size
        part.put(key, self._now)
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
        key, read = part.pop_oldest()
        part.used -= self._forget(key)
        if part is self._outer and read >= self._inner.oldest():
            self._gone.make_room(len(self))
            self._gone.add(key, read)
        return key

    def _tick(self) -> None:
        self._since_tick += 1
        if self._since_tick * _TICKS > len(self):
            self._since_tick = 0
            self._now += 1

    def _enter(self, key: Hashable, size: int) -> None:
        self._inner.put(key, self._now)
        self._inner.used += size
        self._even_out()

    def _even_out(self) -> None:
        """Who is too much for the inner part moves to the outer one's end."""
        inner, outer = self._inner, self._outer
        while inner.used > self._capacity and len(inner.read) > 1:
            key, read = inner.pop_oldest()
            size = self._size_of(key)
            inner.used -= size
            outer.put(key, read)
            outer.used += size

    def _recall(self, key: Hashable) -> int:
        """When ``key`` was last read if it is remembered, else -1; asked before room is made for it."""
        if self._returning is None or self._returning[0] != key:
            self._returning = key, self._gone.recall(key)
        return self._returning[1]

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
        for part in (self._inner, self._outer):
            part.sift()
            part.read = dict(part.read)
        if self._sizes:
            self._sizes = dict(self._sizes)

    def keys(self) -> Iterable[Hashable]:
        return [*self._outer.keys(), *self._inner.keys()]

    def __len__(self) -> int:
        return len(self._inner.read) + len(self._outer.read)
