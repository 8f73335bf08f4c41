"""Tags as generation counters: invalidating one is O(1), however many entries carry it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from perfmw.cache.entries import Entry


class TagIndex:
    """When each tag was last invalidated, in epochs.

    An epoch is an integer that grows: nanoseconds of unix time, pushed on by one where the clock stands still
    or goes back, so that epochs of several processes can be compared. A fill takes an epoch when it begins
    (``now``), and its entry is valid as long as none of its tags was invalidated after that. Keys and
    prefixes are remembered for a while too, for fills that were under way when they were invalidated.

    Beside what was invalidated there is what was purged softly: it is stale, not gone (``softened_at``).

    Memory is bounded: when the oldest invalidation is dropped, everything that was born before it and might
    have been meant counts as invalidated, or as stale where it was a soft one.

    :param max_tags: how many tags (and how many keys) to remember.
    :param max_prefixes: how many prefixes.
    :param clock: unix time in nanoseconds.
    """

    def __init__(
        self, *, max_tags: int = 100_000, max_prefixes: int = 2048, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last = 0
        self._max = max_tags
        self._max_prefixes = max_prefixes
        self._tags: OrderedDict[str, int] = OrderedDict()
        self._keys: OrderedDict[str, int] = OrderedDict()
        self._prefixes = _Prefixes()
        self._soft_tags: OrderedDict[str, int] = OrderedDict()
        self._soft_keys: OrderedDict[str, int] = OrderedDict()
        self._soft_prefixes = _Prefixes()
        self._tag_floor = 0
        self._key_floor = 0
        self._soft_floor = 0
        self._soft_epoch = 0
        """The epoch of the last soft purge of anything."""
        self.epoch = 1
        """The epoch of the last invalidation of anything."""

    def now(self) -> int:
        """The epoch of a fill that begins now: every later invalidation is greater."""
        with self._lock:
            self._last = max(self._last, self.epoch, self._clock())
            return self._last

    def invalidate(
        self, *tags: str, keys: Iterable[str] = (), prefix: str | None = None, soft: bool = False
    ) -> int:
        """Everything born before now that carries one of ``tags`` is invalid; returns the new epoch.

        :param soft: it is not invalid but stale.
        """
        with self._lock:
            epoch = max(self._last + 1, self.epoch + 1, self._clock())
            self._last = epoch
            self._record(self._soft_tags if soft else self._tags, tags, epoch)
            self._record(self._soft_keys if soft else self._keys, keys, epoch)
            if prefix is not None:
                self._record(self._soft_prefixes if soft else self._prefixes, (prefix,), epoch)
            if soft:
                self._soft_epoch = epoch
            self.epoch = epoch
            return epoch

    def observe(self, tag: str, epoch: int) -> None:
        """Another process invalidated ``tag`` at ``epoch``."""
        self.observe_any("tag", tag, epoch)

    def observe_any(self, kind: str, name: str, epoch: int, *, soft: bool = False) -> bool:
        """Another process invalidated a ``tag``, ``key`` or ``prefix``; whether that was news."""
        table = self._table(kind, soft)
        with self._lock:
            if epoch <= table.get(name, 0):
                return False
            self._record(table, (name,), epoch)
            self._last = max(self._last, epoch)
            self.epoch = max(self.epoch + 1, epoch)
            if soft:
                self._soft_epoch = max(self._soft_epoch, epoch)
            return True

    def raise_floors(self, hard: int, soft: int) -> None:
        """Other processes forgot invalidations up to ``hard``, and soft purges up to ``soft``."""
        with self._lock:
            if hard > self._key_floor or soft > self._soft_floor:
                self._key_floor = max(self._key_floor, hard)
                self._soft_floor = max(self._soft_floor, soft)
                self._soft_epoch = max(self._soft_epoch, soft)
                self.epoch = max(self.epoch + 1, hard, soft)

    def valid(self, entry: Entry) -> bool:
        """Whether none of the entry's tags was invalidated since its fill began; one comparison mostly."""
        return entry.checked == self.epoch or self._check(entry)

    def fresh(self, entry: Entry) -> bool:
        """Whether its tags hold, though they may have been purged softly."""
        return self._fresh(entry.tags, entry.epoch)

    def admits(self, key: str, tags: Iterable[str], epoch: int) -> bool:
        """Whether a value whose fill began at ``epoch`` may be stored now under ``key`` with ``tags``."""
        if epoch >= self.epoch:
            return True
        if epoch < self._key_floor or self._keys.get(key, 0) > epoch:
            return False
        if self._prefixes.latest(key) > epoch:
            return False
        return self._fresh(tuple(tags), epoch)

    def softened_at(self, key: str, entry: Entry) -> int:
        """The epoch of the last soft purge that an entry has yet to go through; 0 without one."""
        since = max(entry.epoch, entry.soft)
        if since >= self._soft_epoch:
            return 0
        at = max(
            self._soft_floor,
            self._soft_keys.get(key, 0),
            self._soft_prefixes.latest(key),
            *(self._soft_tags.get(tag, 0) for tag in entry.tags),
        )
        return at if at > since else 0

    def _check(self, entry: Entry) -> bool:
        seen = self.epoch
        if not self._fresh(entry.tags, entry.epoch):
            return False
        since = max(entry.epoch, entry.soft)
        if since < self._soft_epoch and (
            since < self._soft_floor or any(self._soft_tags.get(tag, 0) > since for tag in entry.tags)
        ):
            return False
        entry.checked = seen
        return True

    def _fresh(self, tags: tuple[str, ...], epoch: int) -> bool:
        if not tags:
            return True
        last = self._tags.get
        return epoch >= self._tag_floor and all(last(tag, 0) <= epoch for tag in tags)

    def _table(self, kind: str, soft: bool) -> OrderedDict[str, int]:
        if kind == "prefix":
            return self._soft_prefixes if soft else self._prefixes
        if kind == "key":
            return self._soft_keys if soft else self._keys
        return self._soft_tags if soft else self._tags

    def _record(self, table: OrderedDict[str, int], names: Iterable[str], epoch: int) -> None:
        for name in names:
            table[name] = epoch
            table.move_to_end(name)
        prefixes = table is self._prefixes or table is self._soft_prefixes
        while len(table) > (self._max_prefixes if prefixes else self._max):
            dropped = table.popitem(last=False)[1]
            if table is self._tags:
                self._tag_floor = max(self._tag_floor, dropped)
            elif table is self._keys or table is self._prefixes:
                self._key_floor = max(self._key_floor, dropped)
            else:
                self._soft_floor = max(self._soft_floor, dropped)

    def __len__(self) -> int:
        """How many tags are remembered."""
        return len(self._tags)


class _Prefixes(OrderedDict[str, int]):
    """When each prefix was last named. A key is looked up by as many steps as prefixes have lengths."""

    def __init__(self) -> None:
        super().__init__()
        self._lengths: dict[int, int] = {}

    def __setitem__(self, prefix: str, epoch: int) -> None:
        if prefix not in self:
            self._lengths = {**self._lengths, len(prefix): self._lengths.get(len(prefix), 0) + 1}
        super().__setitem__(prefix, epoch)

    def popitem(self, last: bool = True) -> tuple[str, int]:
        prefix, epoch = super().popitem(last)
        left = self._lengths[len(prefix)] - 1
        lengths = {**self._lengths, len(prefix): left}
        if not left:
            del lengths[len(prefix)]
        self._lengths = lengths  # a new one, since others may be looking through the old one
        return prefix, epoch

    def latest(self, key: str) -> int:
        """When a prefix of ``key`` was last named; 0 if never."""
        return max((self.get(key[:length], 0) for length in self._lengths), default=0)
