"""What hit ratio would an LRU cache of each size have had on the accesses so far?"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Hashable, Iterable
from itertools import accumulate

from perfmw.learning.stack import LRUStack

_MASK = (1 << 64) - 1
_FULL = 1 << 24
_STEP = math.log(1.01)


class MissRatioCurve:
    """The miss-ratio curve of LRU, learned on line in bounded memory.

    Distances up to ``near`` keys are exact. Longer ones are estimated from a spatial sample of the keys
    (SHARDS with a fixed budget: Waldspurger et al., FAST 2015), scaled to the accesses that went beyond
    the near part, whose number is known exactly.

    :param near: keys held exactly; with no more distinct keys than this the whole curve is exact.
    :param budget: keys of the sample; the sampling rate falls to keep to it.
    :param salt: chooses another sample.
    """

    def __init__(self, near: int = 10_000, budget: int = 8_192, salt: int = 0) -> None:
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

    @property
    def rate(self) -> float:
        """The share of keys in the sample, 0..1."""
        return self._threshold / _FULL

    def access(self, key: Hashable) -> None:
        self.accesses += 1
        near = self._near
        if self._sample is None and len(near) == self._capacity and key not in near:
            self._sample = self._begin_sample()
        rank = near.use(key)
        if rank:
            self._hits[rank] += 1
        if self._sample is not None:
            self._beyond += not rank
            if self._hash(key) < self._threshold:
                self._use_sample(self._sample, key, beyond=not rank)

    def curve(self, sizes: Iterable[int]) -> list[float]:
        """The hit ratio (0..1) of an LRU cache of each size, in entries. All 0.0 before the first access."""
        exact = list(accumulate(self._hits))
        ends, shares = self._tail_shares()
        total = max(self.accesses, 1)

        def hits(size: int) -> float:
            if size <= self._capacity:
                return exact[max(size, 0)]
            at = bisect_right(ends, size)
            return exact[-1] + (shares[at - 1] * self._beyond if at else 0.0)

        return [hits(size) / total for size in sizes]

    def _begin_sample(self) -> LRUStack:
        """Until now the near part held every key there was, so the sample can begin as if it always ran."""
        sample = LRUStack(self._budget + 1)
        while self._threshold > 1:
            chosen = [key for key in self._near if self._hash(key) < self._threshold]
            if len(chosen) <= self._budget:
                break
            self._threshold = self._threshold * 7 // 8
        for key in chosen:
            sample.use(key)
        return sample

    def _use_sample(self, sample: LRUStack, key: Hashable, *, beyond: bool) -> None:
        rank = sample.use(key)
        if beyond:
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
        self._threshold = max(1, self._threshold * 7 // 8)
        for key in [key for key in sample if self._hash(key) >= self._threshold]:
            sample.discard(key)

    def _tail_shares(self) -> tuple[list[float], list[float]]:
        """Upper ends of the tail's distances, and the share of accesses beyond ``near`` up to each."""
        buckets = sorted(self._tail)
        sums = accumulate(self._tail[bucket] for bucket in buckets)
        return [math.exp(bucket * _STEP) for bucket in buckets], [value / self._weight for value in sums]

    def _hash(self, key: Hashable) -> int:
        """24 well mixed bits: the hash of an int is the int itself."""
        mixed = ((hash(key) ^ self._salt) * 0x9E3779B97F4A7C15) & _MASK
        mixed = ((mixed ^ (mixed >> 32)) * 0xD6E8FEB86659FD93) & _MASK
        return mixed >> 40
