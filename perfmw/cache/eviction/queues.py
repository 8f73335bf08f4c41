"""What queues of keys at 8 bytes a key need: places given up out of turn stay until they come up."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Iterable

_SLACK = 64


class Stale:
    """Places of a queue whose key was removed. If it came back it has two, of which the first is stale.

    ``marks`` is empty as long as nothing was removed, which is for whoever pops to look at first.
    """

    __slots__ = ("count", "marks")

    def __init__(self) -> None:
        self.marks: Counter[Hashable] = Counter()
        self.count = 0

    def add(self, key: Hashable) -> None:
        self.marks[key] += 1
        self.count += 1

    def take(self, key: Hashable) -> bool:
        """Whether the place of ``key`` that was just popped is stale; if so it is gone for good."""
        times = self.marks.get(key)
        if times is None:
            return False
        self.count -= 1
        if times > 1:
            self.marks[key] = times - 1
        else:
            del self.marks[key]
        return True

    def crowds(self, places: int) -> bool:
        """Whether so many of ``places`` are stale that it is time to sift them out."""
        return self.count > _SLACK and 2 * self.count > places

    def sift(self, *queues: Iterable[Hashable]) -> list[deque[Hashable]]:
        """The queues without stale places; this object stays as it was."""
        marks = Counter(self.marks)
        sifted: list[deque[Hashable]] = []
        for queue in queues:
            kept: deque[Hashable] = deque()
            for key in queue:
                if marks.get(key, 0):
                    marks[key] -= 1
                else:
                    kept.append(key)
            sifted.append(kept)
        return sifted

    def clear(self) -> None:
        self.marks.clear()
        self.count = 0


class Ghosts:
    """Who left, by hash alone, so that a memory of keys keeps no key alive.

    Two keys of one hash are taken for one, which may cost a wrong guess and nothing else.

    :param capacity: the most that sizes may sum up to.
    """

    __slots__ = ("capacity", "order", "sizes", "stale", "used")

    def __init__(self, capacity: int) -> None:
        self.order: deque[Hashable] = deque()
        self.stale = Stale()
        self.sizes: dict[Hashable, int] = {}
        self.used = 0
        self.capacity = capacity

    def add(self, key: Hashable, size: int) -> None:
        mark = hash(key)
        sizes = self.sizes
        if mark in sizes:
            self.recall(key)
        order, stale = self.order, self.stale
        sizes[mark] = size
        order.append(mark)
        used = self.used + size
        while used > self.capacity:
            oldest = order.popleft()
            if not (stale.marks and stale.take(oldest)):
                used -= sizes.pop(oldest)
        self.used = used

    def recall(self, key: Hashable) -> bool:
        """Whether ``key`` was remembered; it is not any more."""
        mark = hash(key)
        size = self.sizes.pop(mark, None)
        if size is None:
            return False
        self.used -= size
        self.stale.add(mark)
        if self.stale.crowds(len(self.order)):
            (self.order,) = self.stale.sift(self.order)
            self.stale.clear()
        return True

    def trim(self) -> None:
        """Forget the oldest until the rest fits."""
        while self.used > self.capacity:
            mark = self.order.popleft()
            if not self.stale.take(mark):
                self.used -= self.sizes.pop(mark)

    def __contains__(self, key: Hashable) -> bool:
        return hash(key) in self.sizes

    def __len__(self) -> int:
        return len(self.sizes)
