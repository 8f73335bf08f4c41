"""S3-FIFO (Yang et al., SOSP 2023): a small queue on probation, a main queue, and a memory of who left."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable

from perfmw.cache.eviction.queues import Ghosts, Stale

_SMALL_SHARE = 0.1
_GHOST_SHARE = 0.9
_READS_TO_STAY = 2
_READS = 3
"""The most reads that are counted."""
_STRAYS = 64


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
            kept = self.keys()
            self.places.clear()
            self.places.extend(kept)
            self.stale.clear()

    def keys(self) -> deque[Hashable]:
        return self.stale.sift(self.places)[0]

    def __len__(self) -> int:
        return len(self.places) - self.stale.count


class S3FIFOPolicy:
    """New keys enter a small queue; those read twice there move to the main one, the others leave.

    A key that comes back while it is still remembered enters the main queue directly; a newcomer too large
    for the small queue is refused. In the main queue a key that was read is put back to the end, at most
    three times for the reads it had.

    Of a key there is its place, whether it is in the small queue, and reads if it had any: sizes other than 1
    are the business of the cache, if it says so by ``ask_sizes_of``.
    """

    lock_free_hits = True

    def __init__(self, capacity: int) -> None:
        self._small, self._main = _Queue(), _Queue()
        self._ghosts = Ghosts(0)
        self._counts: dict[Hashable, int] = {}
        """Reads up to 3; absent for 0."""
        self._newcomers: set[Hashable] = set()
        """Who is in the small queue: they are fewer than those in the main one."""
        self._sizes: dict[Hashable, int] | None = {}
        """Sizes other than 1; None where the cache is asked for them."""
        self._size_of: Callable[[Hashable], int] = self._own_size
        self.settled: set[Hashable] = set()
        """Whose reads are counted to the end: a cache need not tell of theirs."""
        self._has_evicted = False
        self._returning: Hashable | None = None
        self.resize(capacity)
        self.replace: Callable[[Hashable], Hashable] = self._replacing()
        """``evict`` and ``on_insert`` in one step, for a full cache bounded by entries."""

    def ask_sizes_of(self, size_of: Callable[[Hashable], int]) -> None:
        """Ask this for the size of a resident key, until it has left or ``on_update`` returned; keep none."""
        self._sizes, self._size_of = None, size_of

    def _own_size(self, key: Hashable) -> int:
        return (self._sizes or {}).get(key, 1)

    def on_hit(self, key: Hashable) -> None:
        count = self._counts.get(key, 0)
        if count != _READS:
            count += 1
            self._counts[key] = count
        if count == _READS:
            self.settled.add(key)

    def on_insert(self, key: Hashable, size: int, cost: float) -> None:
        returning = self._recall(key)
        self._returning = None
        self._forget(key)
        if size != 1 and self._sizes is not None:
            self._sizes[key] = size
        small = self._small
        filling = not self._has_evicted and small.used >= small.capacity
        if returning or filling or size > small.capacity:
            self._main.add(key, size)
        else:
            self._newcomers.add(key)
            small.add(key, size)

    def on_update(self, key: Hashable, size: int, cost: float) -> None:
        queue = self._small if key in self._newcomers else self._main
        queue.used += size - self._size_of(key)
        if self._sizes is not None:
            self._sizes[key] = size
        self.on_hit(key)

    def on_remove(self, key: Hashable) -> None:
        queue = self._small if key in self._newcomers else self._main
        queue.remove(key, self._size_of(key))
        self._forget(key)

    def evict(self, incoming: Hashable | None, size: int) -> Hashable:
        self._has_evicted = True
        if incoming is not None and not self._recall(incoming) and size >= max(2, self._small.capacity):
            return incoming
        return self._leave()

    def _replacing(self) -> Callable[[Hashable], Hashable]:
        """A function of its own variables: what nearly every newcomer meets then takes the fewest steps."""
        small, main, ghosts = self._small, self._main, self._ghosts
        places, marks, counts = small.places, ghosts.marks, self._counts
        enters, leaves = self._newcomers.add, self._newcomers.discard
        crowded, gone_stale = small.stale.marks, ghosts.stale.marks
        first, last = places.popleft, places.append
        remember, forget = ghosts.order.append, ghosts.order.popleft

        def replace(incoming: Hashable) -> Hashable:
            if (
                not places
                or places[0] in counts
                or crowded
                or gone_stale
                or hash(incoming) in marks
                or incoming in counts  # a read that raced with its leaving
                or len(marks) != ghosts.capacity
                or main.used > main.capacity
            ):
                return self._exchange(incoming)
            victim = first()
            last(incoming)
            leaves(victim)
            enters(incoming)
            mark = hash(victim)
            remember(mark)  # one in, one out
            marks.add(mark)
            marks.discard(forget())
            return victim

        return replace

    def _exchange(self, incoming: Hashable) -> Hashable:
        self._has_evicted = True
        returning = self._ghosts.recall(incoming)
        victim = self._leave()
        self._forget(incoming)
        if returning:
            self._main.add(incoming, 1)
        else:
            self._newcomers.add(incoming)
            self._small.add(incoming, 1)
        return victim

    def _leave(self) -> Hashable:
        """The first of the small queue that was not read enough, or of a main queue that is too large.

        Of the small queue, those before it move to the main one. Of the main queue, those before it go to its
        end, for one read less.
        """
        small, main, counts = self._small, self._main, self._counts
        queue = main if main.used > main.capacity or not small.used else small
        while queue.places:
            key = queue.places.popleft()
            if queue.stale.marks and queue.stale.take(key):
                continue
            seen = counts.get(key, 0)
            if queue is main and seen:
                self._unread(key, seen)
                main.places.append(key)
                continue
            size = self._size_of(key)
            queue.used -= size
            if queue is small:
                if seen >= _READS_TO_STAY:
                    self._unread(key, 1)
                    self._newcomers.discard(key)
                    main.add(key, size)
                    queue = small if small.used else main
                    continue
                self._ghosts.add(key, size)
            self._forget(key)
            return key
        raise LookupError("nothing is resident")

    def _unread(self, key: Hashable, reads: int) -> None:
        """Count one read less of ``key``, which had so many."""
        self.settled.discard(key)
        if reads > 1:
            self._counts[key] = reads - 1
        else:
            self._counts.pop(key, None)

    def _forget(self, key: Hashable) -> None:
        """What was counted of ``key``; and now and then of all whose reads raced with their leaving."""
        self.settled.discard(key)
        self._newcomers.discard(key)
        if self._sizes:
            self._sizes.pop(key, None)
        if len(self._counts) > len(self) + _STRAYS:
            resident = set(self.keys())
            for stray in [one for one in tuple(self._counts) if one not in resident and one != key]:
                self._counts.pop(stray, None)
            self.settled.intersection_update(resident)
        self._counts.pop(key, None)

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
        """Make the tables anew; a read that another thread counts meanwhile may be lost."""
        self._counts = dict(self._counts)
        self.settled, self._newcomers = set(self.settled), set(self._newcomers)
        self.replace = self._replacing()

    def keys(self) -> Iterable[Hashable]:
        """The small queue's, then the main queue's, each from its head; those that were read come later."""
        keys = [*self._small.keys(), *self._main.keys()]
        return sorted(keys, key=self._counts.__contains__)

    def __len__(self) -> int:
        return len(self._small) + len(self._main)
