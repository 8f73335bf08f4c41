"""Tags as generation counters: invalidating one is O(1), however many entries carry it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable

from perfmw.cache.entries import Entry


class TagIndex:
    """When each tag was last invalidated, in epochs.

    An epoch is an integer that grows: nanoseconds of unix time, pushed on by one where the clock stands still
    or goes back, so that epochs of several processes can be compared. A fill takes an epoch when it begins
    (``now``), and its entry is valid as long as none of its tags was invalidated after that. Keys and
    prefixes are remembered for a while too, for fills that were under way when they were invalidated.

    Memory is bounded: when the oldest invalidation is dropped, everything tagged that was born before it
    counts as invalidated.

    :param max_tags: how many tags (and how many keys) to remember.
    :param clock: unix time in nanoseconds.
    """

    def __init__(
        self, *, max_tags: int = 100_000, max_prefixes: int = 64, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last = 0
        self._max = max_tags
        self._tags: OrderedDict[str, int] = OrderedDict()
        self._keys: OrderedDict[str, int] = OrderedDict()
        self._prefixes: deque[tuple[str, int]] = deque()
        self._max_prefixes = max_prefixes
        self._tag_floor = 0
        self._key_floor = 0
        self.epoch = 1
        """The epoch of the last invalidation of anything."""

    def now(self) -> int:
        """The epoch of a fill that begins now: every later invalidation is greater."""
        with self._lock:
            self._last = max(self._last, self.epoch, self._clock())
            return self._last

    def invalidate(self, *tags: str, keys: Iterable[str] = (), prefix: str | None = None) -> int:
        """Everything born before now that carries one of ``tags`` is invalid; returns the new epoch."""
        with self._lock:
            epoch = max(self._last + 1, self.epoch + 1, self._clock())
            self._last = epoch
            self._record(self._tags, tags, epoch)
            self._record(self._keys, keys, epoch)
            if prefix is not None:
                self._record_prefix(prefix, epoch)
            self.epoch = epoch
            return epoch

    def observe(self, tag: str, epoch: int) -> None:
        """Another process invalidated ``tag`` at ``epoch``."""
        with self._lock:
            if epoch > self._tags.get(tag, 0):
                self._record(self._tags, (tag,), epoch)
                self._last = max(self._last, epoch)
                self.epoch = max(self.epoch + 1, epoch)

    def valid(self, entry: Entry) -> bool:
        """Whether none of the entry's tags was invalidated since its fill began; one comparison mostly."""
        return entry.checked == self.epoch or self._check(entry)

    def admits(self, key: str, tags: Iterable[str], epoch: int) -> bool:
        """Whether a value whose fill began at ``epoch`` may be stored now under ``key`` with ``tags``."""
        if epoch >= self.epoch:
            return True
        if epoch < self._key_floor or self._keys.get(key, 0) > epoch:
            return False
        if any(key.startswith(prefix) for prefix, at in tuple(self._prefixes) if at > epoch):
            return False
        return self._fresh(tuple(tags), epoch)

    def _check(self, entry: Entry) -> bool:
        seen = self.epoch
        if not self._fresh(entry.tags, entry.epoch):
            return False
        entry.checked = seen
        return True

    def _fresh(self, tags: tuple[str, ...], epoch: int) -> bool:
        if not tags:
            return True
        last = self._tags.get
        return epoch >= self._tag_floor and all(last(tag, 0) <= epoch for tag in tags)

    def _record(self, table: OrderedDict[str, int], names: Iterable[str], epoch: int) -> None:
        for name in names:
            table[name] = epoch
            table.move_to_end(name)
        while len(table) > self._max:
            dropped = table.popitem(last=False)[1]
            if table is self._tags:
                self._tag_floor = max(self._tag_floor, dropped)
            else:
                self._key_floor = max(self._key_floor, dropped)

    def _record_prefix(self, prefix: str, epoch: int) -> None:
        self._prefixes.append((prefix, epoch))
        while len(self._prefixes) > self._max_prefixes:
            self._key_floor = max(self._key_floor, self._prefixes.popleft()[1])

    def __len__(self) -> int:
        """How many tags are remembered."""
        return len(self._tags)
