"""What would an LRU cache of so many bytes have hit? Keys have sizes, and are sampled by their hash."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Hashable, Iterable
from itertools import accumulate

MASK = (1 << 64) - 1
FULL = 1 << 24
STEP = math.log(1.01)
_BLOCK_BITS = 6
_BLOCK = 1 << _BLOCK_BITS


def mixed_hash(key: Hashable, salt: int) -> int:
    """24 well mixed bits. The hash of a text has them already; that of an int is the int itself."""
    if type(key) is str:
        return (hash(key) ^ salt * 0x9E3779B1) & (FULL - 1)
    mixed = ((hash(key) ^ salt) * 0x9E3779B97F4A7C15) & MASK
    mixed = ((mixed ^ (mixed >> 32)) * 0xD6E8FEB86659FD93) & MASK
    return mixed >> 40


class WeightedStack:
    """Keys in order of their last use, each with a size; the rank of one is counted in bytes."""

    __slots__ = ("_blocks", "_owners", "_slots", "_weights", "_where")

    def __init__(self, capacity: int) -> None:
        self._slots = -(-max(4 * capacity, 256) // _BLOCK) * _BLOCK
        self._lay_out([])

    def __len__(self) -> int:
        return len(self._where)

    def use(self, key: Hashable, size: int) -> int:
        """Put ``key`` on top with this size. Returns the bytes used since, its own included; 0 if new."""
        if len(self._owners) == self._slots:
            self._lay_out([(k, self._weights[at]) for k, at in self._where.items()])
        slot, top = self._where.pop(key, -1), len(self._owners)
        above = 0
        if slot >= 0:
            block = slot >> _BLOCK_BITS
            end = (block + 1) << _BLOCK_BITS
            above = sum(self._weights[slot + 1 : end]) + sum(self._blocks[block + 1 :]) + size
            self._blocks[block] -= self._weights[slot]
            self._weights[slot] = 0
        # the dict keeps the order of use, since a key is taken out and put in again
        self._where[key] = top
        self._owners.append(key)
        self._weights[top] = size
        self._blocks[top >> _BLOCK_BITS] += size
        return above

    def keep(self, threshold: int, salt: int) -> None:
        """Drop every key whose hash is not below ``threshold``."""
        kept = [(key, at) for key, at in self._where.items() if mixed_hash(key, salt) < threshold]
        self._lay_out([(key, self._weights[at]) for key, at in kept])

    def _lay_out(self, keys: list[tuple[Hashable, int]]) -> None:
        self._owners: list[Hashable] = [key for key, _ in keys]
        self._where = {key: at for at, (key, _) in enumerate(keys)}
        self._weights = [size for _, size in keys] + [0] * (self._slots - len(keys))
        self._blocks = [sum(self._weights[at : at + _BLOCK]) for at in range(0, self._slots, _BLOCK)]


class ByteCurve:
    """Hit ratios of LRU by bytes of memory, learned on line in bounded memory.

    A spatial sample of the keys with a fixed budget, its count adjusted by what was expected (SHARDS-adj:
    Waldspurger et al., FAST 2015). With no more distinct keys than ``budget`` it is exact, but for the
    1% steps in which distances are kept.

    :param budget: keys of the sample.
    :param salt: chooses another sample.
    """

    def __init__(self, budget: int = 4_096, salt: int = 0) -> None:
        if budget < 2:
            raise ValueError("budget must be at least 2")
        self.accesses = 0
        self.requested = 0
        """Bytes asked for in all."""
        self._budget, self._salt = budget, salt
        self._threshold = FULL
        self._stack = WeightedStack(budget)
        self._seen = 0.0
        self._hits: dict[int, float] = {}
        self._bytes: dict[int, float] = {}

    def access(self, key: Hashable, size: int) -> None:
        """Take in a read of ``key``, whose value has ``size`` bytes (less than 1 counts as 1)."""
        size = max(size, 1)
        self.accesses += 1
        self.requested += size
        if mixed_hash(key, self._salt) >= self._threshold:
            return
        scale = FULL / self._threshold
        self._seen += scale
        above = self._stack.use(key, size)
        if above:
            # the value itself is not scaled: it is there once, whatever the sample
            bucket = math.ceil(math.log((above - size) * scale + size) / STEP)
            self._hits[bucket] = self._hits.get(bucket, 0.0) + scale
            self._bytes[bucket] = self._bytes.get(bucket, 0.0) + scale * size
        if len(self._stack) > self._budget:
            self._threshold = max(1, self._threshold * 3 // 4)
            self._stack.keep(self._threshold, self._salt)

    def curve(self, sizes: Iterable[float]) -> list[float]:
        """The share of reads (0..1) that an LRU cache of each size in bytes would have hit."""
        # SHARDS-adj: reads that the sample has too few or too many of are those of the hottest keys
        return self._ratios(sizes, self._hits, self.accesses, self.accesses - self._seen)

    def byte_hit_curve(self, sizes: Iterable[float]) -> list[float]:
        """The share of the bytes asked for (0..1) that such a cache would have given."""
        return self._ratios(sizes, self._bytes, self.requested, 0.0)

    def _ratios(
        self, sizes: Iterable[float], buckets: dict[int, float], total: float, adjust: float
    ) -> list[float]:
        order = sorted(buckets)
        sums = list(accumulate(buckets[bucket] for bucket in order))
        ends = [math.exp(bucket * STEP) for bucket in order]

        def ratio(size: float) -> float:
            at = bisect_right(ends, size * (1 + STEP))
            return min(max(sums[at - 1] + adjust, 0.0) / total, 1.0) if at and total else 0.0

        return [ratio(size) for size in sizes]
