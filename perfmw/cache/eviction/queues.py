"""What queues of keys at 8 bytes a key need: places given up out of turn stay until they come up."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Iterable
from typing import TypeVar

_SLACK = 64
K = TypeVar("K", bound=Hashable)


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

    def sift(self, *queues: Iterable[K]) -> list[deque[K]]:
        """The queues without stale places; this object stays as it was."""
        marks = Counter(self.marks)
        sifted: list[deque[K]] = []
        for queue in queues:
            kept: deque[K] = deque()
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

    Two keys of one hash are taken for one, which may cost a wrong guess and nothing else. Where sizes differ
    they are kept to an eighth, and a key that was recalled is taken to have been of average size: so a key
    needs its place in the queue and in a set, and nothing else.

    :param capacity: the most that sizes may sum up to.
    """

    __slots__ = ("capacity", "marks", "order", "stale", "total", "weights")

    def __init__(self, capacity: int) -> None:
        self.order: deque[int] = deque()
        self.weights: deque[int] | None = None
        """Sizes in the order of places; None as long as every size is 1."""
        self.total = 0
        self.stale = Stale()
        self.marks: set[int] = set()
        self.capacity = capacity

    @property
    def used(self) -> int:
        if self.weights is None:
            return len(self.marks)
        return self.total * len(self.marks) // len(self.order) if self.order else 0

    def add(self, key: Hashable, size: int) -> None:
        mark = hash(key)
        if mark in self.marks:
            self.recall(key)
        self.marks.add(mark)
        self.order.append(mark)
        if self.weights is None and size != 1:
            self.weights = deque([1]) * (len(self.order) - 1)
            self.total = len(self.weights)
        if self.weights is not None:
            weight = _coarse(size)
            self.weights.append(weight)
            self.total += weight
        self.trim()

    def recall(self, key: Hashable) -> bool:
        """Whether ``key`` was remembered; it is not any more."""
        mark = hash(key)
        if mark not in self.marks:
            return False
        self.marks.remove(mark)
        self.stale.add(mark)
        if self.stale.crowds(len(self.order)):
            self._sift()
        return True

    def trim(self) -> None:
        """Forget the oldest until the rest fits."""
        while self.used > self.capacity:
            self.forget_oldest()

    def forget_oldest(self) -> None:
        while self.order:
            mark = self.order.popleft()
            if self.weights is not None:
                self.total -= self.weights.popleft()
            if not (self.stale.marks and self.stale.take(mark)):
                self.marks.discard(mark)
                return

    def _sift(self) -> None:
        if self.weights is not None:
            for _ in range(len(self.order)):
                mark, weight = self.order.popleft(), self.weights.popleft()
                if self.stale.take(mark):
                    self.total -= weight
                else:
                    self.order.append(mark)
                    self.weights.append(weight)
        else:
            (kept,) = self.stale.sift(self.order)
            self.order.clear()  # in place: a policy may hold on to it
            self.order.extend(kept)
            self.stale.clear()

    def __contains__(self, key: Hashable) -> bool:
        return hash(key) in self.marks

    def __len__(self) -> int:
        return len(self.marks)


_COARSE: dict[int, int] = {}


def _coarse(size: int) -> int:
    """``size`` to about its first four bits: one of few numbers, each of which is in memory once."""
    low = max(0, size.bit_length() - 4)
    rounded = size + (1 << low >> 1) >> low << low
    return _COARSE.setdefault(rounded, rounded)
