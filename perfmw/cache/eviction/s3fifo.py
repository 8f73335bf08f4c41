"""S3-FIFO (Yang et al., SOSP 2023): a small queue on probation, a main queue, and a memory of who left."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable

_SMALL_SHARE = 0.1
_GHOST_SHARE = 0.9
_MOST_READS = 3
_READS_TO_STAY = 2


class S3FIFOPolicy:
    """New keys enter a small queue; those read twice there move to the main one, the others leave.

    A key that comes back while it is still remembered enters the main queue directly; a newcomer too large
    for the small queue is refused. In the main queue a key that was read is put back to the end, at most
    three times for the reads it had.
    """

    lock_free_hits = True

    def __init__(self, capacity: int) -> None:
        self._small: OrderedDict[Hashable, int] = OrderedDict()
        self._main: OrderedDict[Hashable, int] = OrderedDict()
        self._ghost: OrderedDict[Hashable, int] = OrderedDict()
        self._reads: dict[Hashable, int] = {}
        self._small_used = self._main_used = self._ghost_used = 0
        self._has_evicted = False
        self._returning: Hashable | None = None
        self.resize(capacity)

    def on_hit(self, key: Hashable) -> None:
        reads = self._reads[key]
        if reads < _MOST_READS:
            self._reads[key] = reads + 1

    def on_insert(self, key: Hashable, size: int, cost: float) -> None:
        returning = self._recall(key)
        self._returning = None
        self._reads[key] = 0
        filling = not self._has_evicted and self._small_used >= self._small_capacity
        if returning or filling or size > self._small_capacity:
            self._main[key] = size
            self._main_used += size
        else:
            self._small[key] = size
            self._small_used += size

    def on_update(self, key: Hashable, size: int, cost: float) -> None:
        if key in self._small:
            self._small_used += size - self._small[key]
            self._small[key] = size
        else:
            self._main_used += size - self._main[key]
            self._main[key] = size
        self.on_hit(key)

    def on_remove(self, key: Hashable) -> None:
        del self._reads[key]
        if key in self._small:
            self._small_used -= self._small.pop(key)
        else:
            self._main_used -= self._main.pop(key)

    def evict(self, incoming: Hashable | None, size: int) -> Hashable:
        self._has_evicted = True
        if incoming is not None and not self._recall(incoming) and size >= max(2, self._small_capacity):
            return incoming
        while self._small or self._main:
            from_main = self._main_used > self._main_capacity or not self._small
            key = self._leave_main() if from_main else self._leave_small()
            if key is not None:
                return key
        raise LookupError("nothing is resident")

    def _leave_small(self) -> Hashable | None:
        """The first of the small queue that was not read enough; those before it move to the main queue."""
        while self._small:
            key, size = self._small.popitem(last=False)
            self._small_used -= size
            if self._reads[key] < _READS_TO_STAY:
                del self._reads[key]
                self._remember(key, size)
                return key
            self._main[key] = size
            self._reads[key] = 0
            self._main_used += size
        return None

    def _leave_main(self) -> Hashable:
        """The first of the main queue that was not read; those before it go to its end, for one read less."""
        while True:
            key, size = self._main.popitem(last=False)
            reads = self._reads[key]
            if not reads:
                del self._reads[key]
                self._main_used -= size
                return key
            self._main[key] = size
            self._reads[key] = reads - 1

    def _recall(self, key: Hashable) -> bool:
        """Whether ``key`` was remembered; asked before room is made, which may push it out of memory."""
        size = self._ghost.pop(key, None)
        if size is not None:
            self._ghost_used -= size
            self._returning = key
        return self._returning is not None and self._returning == key

    def _remember(self, key: Hashable, size: int) -> None:
        self._ghost[key] = size
        self._ghost_used += size
        self._trim_ghost()

    def _trim_ghost(self) -> None:
        while self._ghost_used > self._ghost_capacity:
            self._ghost_used -= self._ghost.popitem(last=False)[1]

    def resize(self, capacity: int) -> None:
        self._small_capacity = max(1, int(capacity * _SMALL_SHARE))
        self._main_capacity = max(1, capacity - self._small_capacity)
        self._ghost_capacity = int(capacity * _GHOST_SHARE)
        self._trim_ghost()

    def keys(self) -> Iterable[Hashable]:
        """The small queue's, then the main queue's, each from its head; those that were read come later."""
        return sorted([*self._small, *self._main], key=lambda key: (self._reads[key] > 0, key in self._main))

    def __len__(self) -> int:
        return len(self._reads)
