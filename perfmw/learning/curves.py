"""What hit ratio would an LRU cache of each size have had on the accesses so far?"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Hashable, Iterable
from itertools import accumulate

from perfmw.learning.bytecurve import FULL as _FULL
from perfmw.learning.bytecurve import STEP as _STEP
from perfmw.learning.bytecurve import ByteCurve, mixed_hash
from perfmw.learning.stack import LRUStack

_POINTS = 64


class MissRatioCurve:
    """The miss-ratio curve of LRU, learned on line in bounded memory.

    Distances up to ``near`` keys are exact. Longer ones are estimated from a spatial sample of the keys
    (SHARDS with a fixed budget: Waldspurger et al., FAST 2015), scaled to the accesses that went beyond
    the near part, whose number is known exactly.

    :param near: keys held exactly; with no more distinct keys than this the whole curve is exact.
    :param budget: keys of the sample; the sampling rate falls to keep to it.
    :param salt: chooses another sample.
    """

    def __init__(self, near: int = 10_000, budget: int = 4_096, salt: int = 0) -> None:
        if near < 1 or budget < 2:
            raise ValueError("near must be at least 1 and budget at least 2")
        self.accesses = 0
        self._near = LRUStack(near)
        self._capacity = near
        self._hits = [0] * (near + 1)
        self._budget = budget
        self._salt = salt
        self._threshold = _FULL
        self._sample: LRUStack | None = None
        self._beyond = 0
        self._weight = 0.0
        self._tail: dict[int, float] = {}
        self._by_bytes: ByteCurve | None = None

    @property
    def rate(self) -> float:
        """The share of keys in the sample, 0..1."""
        return self._threshold / _FULL

    @property
    def by_bytes(self) -> ByteCurve | None:
        """The curve over bytes of memory; None until an access told a size."""
        return self._by_bytes

    def access(self, key: Hashable, size: int | None = None) -> None:
        """Take in a read of ``key``; with ``size``, in bytes, there is a curve over bytes as well."""
        if size is not None:
            if self._by_bytes is None:
                self._by_bytes = ByteCurve(2 * self._budget, self._salt)
            self._by_bytes.access(key, size)
        self.accesses += 1
        near, sample = self._near, self._sample
        if sample is None:
            if len(near) == self._capacity and key not in near:
                sample = self._sample = self._begin_sample()
            else:
                self._hits[near.use(key)] += 1
                return
        rank = near.use(key)
        if rank:
            self._hits[rank] += 1
            # a key of the near part was used before, so the sample holds it if it is to be sampled at all
            if key in sample:
                sample.use(key)
            return
        self._beyond += 1
        if mixed_hash(key, self._salt) < self._threshold:
            self._use_sample(sample, key)

    def curve(self, sizes: Iterable[int]) -> list[float]:
        """The hit ratio (0..1) of an LRU cache of each size, in entries. All 0.0 before the first access."""
        exact = list(accumulate(self._hits, initial=-self._hits[0]))[1:]
        ends, shares = self._tail_shares()
        total = max(self.accesses, 1)

        def hits(size: int) -> float:
            if size <= self._capacity:
                return exact[max(size, 0)]
            at = bisect_right(ends, size)
            return exact[-1] + (shares[at - 1] * self._beyond if at else 0.0)

        return [hits(size) / total for size in sizes]

    def footprint(self) -> int:
        """About how many keys the cache can use: beyond this size no access seen would have hit."""
        if self._tail:
            return math.ceil(math.exp(max(self._tail) * _STEP))
        return max((rank for rank, times in enumerate(self._hits) if times and rank), default=0)

    def knee(self) -> int:
        """The size, in entries, after which memory is worth the least; 0 before any key was seen twice.

        The point of the curve that lies furthest above the line between its ends (Kneedle: Satopää et
        al., ICDCS workshops 2011).
        """
        largest = self.footprint()
        sizes = sorted({max(1, round(largest * step / _POINTS)) for step in range(1, _POINTS + 1)})
        return round(_knee(list(zip(sizes, self.curve(sizes), strict=True)))) if largest else 0

    def _begin_sample(self) -> LRUStack:
        """Until now the near part held every key there was, so the sample can begin as if it always ran."""
        sample = LRUStack(self._budget + 1)
        hashes = {key: mixed_hash(key, self._salt) for key in self._near}
        while self._threshold > 1 and sum(map(self._threshold.__gt__, hashes.values())) > self._budget:
            self._threshold = self._threshold * 3 // 4
        for key, mixed in hashes.items():
            if mixed < self._threshold:
                sample.use(key)
        return sample

    def _use_sample(self, sample: LRUStack, key: Hashable) -> None:
        rank = sample.use(key)
        scale = _FULL / self._threshold
        self._weight += scale
        if rank:
            # what went beyond the near part is at least that far away, whatever the sample says
            distance = max(rank * scale, self._capacity + 1.0)
            bucket = math.ceil(math.log(distance) / _STEP)
            self._tail[bucket] = self._tail.get(bucket, 0.0) + scale
        if len(sample) > self._budget:
            self._thin_out(sample)

    def _thin_out(self, sample: LRUStack) -> None:
        self._threshold = max(1, self._threshold * 3 // 4)
        for key in [key for key in sample if mixed_hash(key, self._salt) >= self._threshold]:
            sample.discard(key)

    def _tail_shares(self) -> tuple[list[float], list[float]]:
        """Upper ends of the tail's distances, and the share of accesses beyond ``near`` up to each."""
        buckets = sorted(self._tail)
        sums = accumulate(self._tail[bucket] for bucket in buckets)
        return [math.exp(bucket * _STEP) for bucket in buckets], [value / self._weight for value in sums]


def _knee(points: list[tuple[int, float]]) -> float:
    largest, highest = points[-1]
    above = [(ratio * largest - size * highest, size) for size, ratio in points]
    return max(above, key=lambda one: (one[0], -one[1]))[1]
