"""2Q, full version: T. Johnson and D. Shasha, "2Q: A Low Overhead High Performance Buffer Management
Replacement Algorithm", VLDB 1994, section 3.

The paper's names are kept. ``a1in`` is a FIFO queue of keys seen once, ``a1out`` remembers keys that left
it (no values: ghosts), ``am`` is an LRU list of keys asked for again while in ``a1out``. The paper counts
pages; here everything is counted in the sizes the cache gives, so bounds in bytes work alike.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator

KIN_SHARE = 0.25
"""The share of the capacity that keys seen once may hold before they leave first (the paper's Kin)."""
KOUT_SHARE = 0.5
"""How much of the capacity's worth of departed keys is remembered (the paper's Kout)."""


class _Queue(OrderedDict[Hashable, int]):
    """Keys with their sizes, the oldest first, and the sum of the sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.used = 0

    def push(self, key: Hashable, size: int) -> None:
        """Add ``key`` as the newest, or give it another size where it stands."""
        self.used += size - self.get(key, 0)
        self[key] = size

    def take(self, key: Hashable) -> int:
        size = self.pop(key)
        self.used -= size
        return size

    def take_oldest(self) -> tuple[Hashable, int]:
        key, size = self.popitem(last=False)
        self.used -= size
        return key, size


class TwoQPolicy:
    """Keeps keys that are asked for again over keys that are asked for once.

    :param capacity: the bound of the cache, in entries or bytes.
    """

    def __init__(self, capacity: int) -> None:
        self._a1in = _Queue()
        self._a1out = _Queue()
        self._am = _Queue()
        self.resize(capacity)

    def on_hit(self, key: Hashable) -> None:
        # A hit in a1in changes nothing: several reads in quick succession are one interest (section 3).
        if key in self._am:
            self._am.move_to_end(key)

    def on_insert(self, key: Hashable, size: int, cost: float) -> None:
        if key in self._a1out:
            self._a1out.take(key)
            self._am.push(key, size)
        else:
            self._a1in.push(key, size)

    def on_update(self, key: Hashable, size: int, cost: float) -> None:
        queue = self._am if key in self._am else self._a1in
        queue.push(key, size)
        self.on_hit(key)

    def on_remove(self, key: Hashable) -> None:
        queue = self._am if key in self._am else self._a1in
        queue.take(key)

    def evict(self, incoming: Hashable | None, size: int) -> Hashable:
        """The paper's reclaimfor(X); never refuses the newcomer. Raises LookupError when empty."""
        if not self._a1in and not self._am:
            raise LookupError("nothing is resident")
        if self._am and self._a1in.used <= self._kin:
            return self._am.take_oldest()[0]
        if incoming in self._a1out:
            self._a1out.move_to_end(incoming)  # it is wanted now: not the one to forget
        key, its_size = self._a1in.take_oldest()
        self._a1out.push(key, its_size)
        self._forget(keep=incoming)
        return key

    def resize(self, capacity: int) -> None:
        self._kin = max(1, int(capacity * KIN_SHARE))
        self._kout = max(1, int(capacity * KOUT_SHARE))
        self._forget(keep=None)

    def keys(self) -> Iterable[Hashable]:
        return list(self._in_order())

    def __len__(self) -> int:
        return len(self._a1in) + len(self._am)

    @property
    def ghosts(self) -> int:
        """How many departed keys are remembered."""
        return len(self._a1out)

    def _forget(self, keep: Hashable | None) -> None:
        while self._a1out.used > self._kout:
            key, size = self._a1out.take_oldest()
            if key == keep and keep is not None:
                # once more around: it leaves a1out by on_insert, a moment from now
                self._a1out.push(key, size)
                if len(self._a1out) == 1:
                    return

    def _in_order(self) -> Iterator[Hashable]:
        """The order in which evict would choose if nothing else happened."""
        excess = self._a1in.used - self._kin
        waiting = []
        for key, size in self._a1in.items():
            if excess > 0:
                excess -= size
                yield key
            else:
                waiting.append(key)
        yield from self._am
        yield from waiting
