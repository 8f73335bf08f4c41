"""S3-FIFO (Yang et al., SOSP 2023): a small queue on probation, a main queue, and a memory of who left."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable

from perfmw.cache.eviction.queues import Ghosts, Stale

_SMALL_SHARE = 0.1
_GHOST_SHARE = 0.9
_READS_TO_STAY = 2
_READS = 3
"""The most reads that are counted, and the bits of ``reads`` that count them."""
_MAIN = 4
"""The bit of ``reads`` that says that a key is in the main queue."""
_FLAGS = 3
"""How many bits those are. Higher ones are the size of the key, or 0 for a size of 1."""


class _Queue:
    __slots__ = ("capacity", "places", "stale", "used")

    def __init__(self) -> None:
        self.places: deque[Hashable] = deque()
        self.stale = Stale()
        self.used = 0
        self.capacity = 1

    def add(self, key: Hashable, size: int) -> None:
        self.places.append(key)
        self.used += size

    def remove(self, key: Hashable, size: int) -> None:
        self.used -= size
        self.stale.add(key)
        if self.stale.crowds(len(self.places)):
            self.places = self.keys()
            self.stale.clear()

    def keys(self) -> deque[Hashable]:
        return self.stale.sift(self.places)[0]


class S3FIFOPolicy:
    """New keys enter a small queue; those read twice there move to the main one, the others leave.

    A key that comes back while it is still remembered enters the main queue directly; a newcomer too large
    for the small queue is refused. In the main queue a key that was read is put back to the end, at most
    three times for the reads it had.
    """

    lock_free_hits = True

    def __init__(self, capacity: int) -> None:
        self._small, self._main = _Queue(), _Queue()
        self._ghosts = Ghosts(0)
        self.reads: dict[Hashable, int] = {}
        """Of each resident key: its reads up to 3, 4 more in the main queue, and 8 times its size unless
        that is 1. A cache may count reads here itself."""
        self._has_evicted = False
        self._returning: Hashable | None = None
        self.resize(capacity)

    def on_hit(self, key: Hashable) -> None:
        reads = self.reads[key]
        if reads & _READS != _READS:
            self.reads[key] = reads + 1

    def on_insert(self, key: Hashable, size: int, cost: float) -> None:
        returning = self._recall(key)
        self._returning = None
        small = self._small
        filling = not self._has_evicted and small.used >= small.capacity
        if returning or filling or size > small.capacity:
            self.reads[key] = _MAIN | _packed(size)
            self._main.add(key, size)
        else:
            self.reads[key] = _packed(size)
            small.add(key, size)

    def on_update(self, key: Hashable, size: int, cost: float) -> None:
        seen = self.reads[key]
        queue = self._main if seen & _MAIN else self._small
        queue.used += size - (seen >> _FLAGS or 1)
        self.reads[key] = seen & (_MAIN | _READS) | _packed(size)
        self.on_hit(key)

    def on_remove(self, key: Hashable) -> None:
        seen = self.reads.pop(key)
        queue = self._main if seen & _MAIN else self._small
        queue.remove(key, seen >> _FLAGS or 1)

    def evict(self, incoming: Hashable | None, size: int) -> Hashable:
        self._has_evicted = True
        if incoming is not None and not self._recall(incoming) and size >= max(2, self._small.capacity):
            return incoming
        return self._leave()

    def replace(self, incoming: Hashable) -> Hashable:
        """``evict`` and ``on_insert`` in one step, for a full cache bounded by entries."""
        self._has_evicted = True
        small, main, reads = self._small, self._main, self.reads
        ghosts, places = self._ghosts, small.places
        marks = ghosts.marks
        returning = hash(incoming) in marks and ghosts.recall(incoming)
        plain = places and not (returning or small.stale.marks or main.used > main.capacity)
        if plain and reads[places[0]] < _READS_TO_STAY:  # what nearly every newcomer meets
            victim = places.popleft()
            del reads[victim]
            places.append(incoming)
            reads[incoming] = 0
            mark = hash(victim)
            if len(marks) != ghosts.capacity or ghosts.stale.marks or mark in marks:
                ghosts.add(victim, 1)
            else:  # the same in place: one in, one out
                marks.add(mark)
                ghosts.order.append(mark)
                marks.discard(ghosts.order.popleft())
            return victim
        victim = self._leave()
        reads[incoming] = _MAIN if returning else 0
        (main if returning else small).add(incoming, 1)
        return victim

    def _leave(self) -> Hashable:
        """The first of the small queue that was not read enough, or of a main queue that is too large.

        Of the small queue, those before it move to the main one. Of the main queue, those before it go to its
        end, for one read less.
        """
        small, main, reads = self._small, self._main, self.reads
        queue = main if main.used > main.capacity or not small.used else small
        while reads:
            key = queue.places.popleft()
            if queue.stale.marks and queue.stale.take(key):
                continue
            seen = reads[key]
            if seen & _MAIN and seen & _READS:
                reads[key] = seen - 1
                main.places.append(key)
                continue
            size = seen >> _FLAGS or 1
            queue.used -= size
            if queue is small:
                if seen & _READS >= _READS_TO_STAY:
                    reads[key] = _MAIN | _packed(size)
                    main.add(key, size)
                    queue = small if small.used else main
                    continue
                self._ghosts.add(key, size)
            del reads[key]
            return key
        raise LookupError("nothing is resident")

    def _recall(self, key: Hashable) -> bool:
        """Whether ``key`` was remembered; asked before room is made, which may push it out of memory."""
        if self._ghosts.recall(key):
            self._returning = key
        return self._returning is not None and self._returning == key

    def resize(self, capacity: int) -> None:
        self._small.capacity = max(1, int(capacity * _SMALL_SHARE))
        self._main.capacity = max(1, capacity - self._small.capacity)
        self._ghosts.capacity = int(capacity * _GHOST_SHARE)
        self._ghosts.trim()

    def close_gaps(self) -> None:
        """Make the table of reads anew; one that another thread counts meanwhile may be lost."""
        self.reads = dict(self.reads)

    def keys(self) -> Iterable[Hashable]:
        """The small queue's, then the main queue's, each from its head; those that were read come later."""
        keys = [*self._small.keys(), *self._main.keys()]
        return sorted(keys, key=lambda key: ((self.reads[key] & _READS) > 0, self.reads[key] & _MAIN))

    def __len__(self) -> int:
        return len(self.reads)


def _packed(size: int) -> int:
    return 0 if size == 1 else size << _FLAGS
