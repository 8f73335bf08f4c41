"""W-TinyLFU (Einziger, Friedman and Manes, ACM TOS 2017) with a window that finds its own size.

A newcomer enters a window in order of use. Who leaves the window gets into the main part only if it was seen
more often than who would leave that. How large the window should be differs from work to work, so that it is
moved a step at a time, on in the same direction as long as the hit ratio rises (Einziger, Eytan, Friedman and
Manes, Middleware 2018).
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Hashable, Iterable

from perfmw.cache.eviction.sketch import FrequencySketch

_WINDOW_SHARE = 0.03
_PROTECTED_SHARE = 0.8
_FIRST_ENTRIES, _MOST_ENTRIES = 1 << 12, 1 << 20
"""For how many entries counts are kept: at first, for the capacity may be in bytes, and at most."""
_FIRST_STEP = 0.045
_STEP_DECAY = 0.98
_RESTART = 0.05
"""A change of the hit ratio this large begins the search for the window anew."""
_WARM = 6
"""A newcomer seen this often may get in at random, whatever it competes with: no one can lock it out."""


class _Segment:
    """Keys with sizes, the least recently used first."""

    __slots__ = ("sizes", "used")

    def __init__(self) -> None:
        self.sizes: OrderedDict[Hashable, int] = OrderedDict()
        self.used = 0

    def add(self, key: Hashable, size: int) -> None:
        self.sizes[key] = size
        self.used += size

    def take(self, key: Hashable) -> int:
        size = self.sizes.pop(key)
        self.used -= size
        return size

    def oldest(self) -> Hashable:
        return next(iter(self.sizes))


class WTinyLFUPolicy:
    """A window, and a main part of two halves: those on probation, and those read there, protected."""

    def __init__(self, capacity: int) -> None:
        self._window, self._probation, self._protected = _Segment(), _Segment(), _Segment()
        self._sketch = FrequencySketch(1)
        self._random = random.Random(0)  # seeded, so that a trace gives the same result again
        self._hits = self._reads = 0
        self._last_ratio = 0.0
        self._step = 0.0
        self._counted: Hashable | None = None
        self._share = _WINDOW_SHARE
        self.resize(capacity)

    # ---- what the cache tells

    def on_hit(self, key: Hashable) -> None:
        self._sketch.see(key)
        self._hits += 1
        self._use(key)
        self._sample()

    def on_insert(self, key: Hashable, size: int, cost: float) -> None:
        self._miss(key)
        self._counted = None
        self._window.add(key, size)
        if len(self) > self._entries:
            self._count_for(2 * self._entries)
        # while there is room in the main part the window hands over without competition
        while len(self._window.sizes) > 1 and self._window.used > self._room:
            oldest = self._window.oldest()
            self._probation.add(oldest, self._window.take(oldest))

    def on_update(self, key: Hashable, size: int, cost: float) -> None:
        segment = self._of(key)
        segment.used += size - segment.sizes[key]
        segment.sizes[key] = size
        self._sketch.see(key)
        self._use(key)

    def on_remove(self, key: Hashable) -> None:
        self._of(key).take(key)

    def evict(self, incoming: Hashable | None, size: int) -> Hashable:
        if incoming is not None:
            self._miss(incoming)
        window, main = self._window, self._main_oldest()
        if not window.sizes and main is None:
            raise LookupError("nothing is resident")
        contends = window.sizes and (window.used + size > self._room or main is None)
        if not contends:
            assert main is not None
            return self._leave(main)
        candidate = window.oldest()
        if main is None or not self._admits(candidate, main):
            return self._leave(candidate)
        self._probation.add(candidate, window.take(candidate))
        return self._leave(main)

    # ---- who is where

    def _of(self, key: Hashable) -> _Segment:
        for segment in (self._probation, self._protected):
            if key in segment.sizes:
                return segment
        return self._window

    def _leave(self, key: Hashable) -> Hashable:
        self._of(key).take(key)
        return key

    def _main_oldest(self) -> Hashable | None:
        segment = self._probation if self._probation.sizes else self._protected
        return segment.oldest() if segment.sizes else None

    def _use(self, key: Hashable) -> None:
        if key in self._window.sizes:
            self._window.sizes.move_to_end(key)
        elif key in self._protected.sizes:
            self._protected.sizes.move_to_end(key)
        else:
            self._protected.add(key, self._probation.take(key))
            self._demote()

    def _demote(self) -> None:
        room = (self._capacity - self._room) * _PROTECTED_SHARE
        while self._protected.used > room and len(self._protected.sizes) > 1:
            oldest = self._protected.oldest()
            self._probation.add(oldest, self._protected.take(oldest))

    def _admits(self, candidate: Hashable, victim: Hashable) -> bool:
        newcomer, resident = self._sketch.estimate(candidate), self._sketch.estimate(victim)
        if newcomer > resident:
            return True
        return newcomer >= _WARM and not self._random.getrandbits(7)

    # ---- how large the window is

    def _miss(self, key: Hashable) -> None:
        """Count a miss once, however often room is made for it."""
        if self._counted is None or self._counted != key:
            self._counted = key
            self._sketch.see(key)
            self._sample()

    def _sample(self) -> None:
        self._reads += 1
        if self._reads >= self._period:
            self._climb(self._hits / self._reads)
            self._hits = self._reads = 0

    def _climb(self, ratio: float) -> None:
        """Go on as long as it gets better, else turn back; steps get smaller until the work changes."""
        change = ratio - self._last_ratio
        self._last_ratio = ratio
        step = self._step if change >= 0 else -self._step
        if abs(change) >= _RESTART or not self._step:
            self._step = _FIRST_STEP if step >= 0 else -_FIRST_STEP
        else:
            self._step = step * _STEP_DECAY
        self._share = min(0.99, max(_WINDOW_SHARE, self._share + self._step))
        self._settle()

    def _settle(self) -> None:
        """Keys change places so that each part is as large as it should be."""
        room = self._room = max(1, int(self._capacity * self._share))
        while self._window.used > room and len(self._window.sizes) > 1:
            oldest = self._window.oldest()
            self._probation.add(oldest, self._window.take(oldest))
        self._demote()
        while self._probation.sizes:
            oldest = self._probation.oldest()
            size = self._probation.sizes[oldest]
            if self._window.used + size > room:
                break
            self._window.add(oldest, self._probation.take(oldest))

    def resize(self, capacity: int) -> None:
        self._capacity = capacity
        self._count_for(max(_FIRST_ENTRIES, len(self)))
        self._settle()

    def _count_for(self, entries: int) -> None:
        self._entries = entries
        counted = min(entries, self._capacity, _MOST_ENTRIES)
        self._period = 10 * counted
        self._sketch.resize(counted)

    def close_gaps(self) -> None:
        """Make the tables anew, without the places of those who left."""
        for segment in (self._window, self._probation, self._protected):
            segment.sizes = segment.sizes.copy()

    def keys(self) -> Iterable[Hashable]:
        return [*self._window.sizes, *self._probation.sizes, *self._protected.sizes]

    def __len__(self) -> int:
        return len(self._window.sizes) + len(self._probation.sizes) + len(self._protected.sizes)
