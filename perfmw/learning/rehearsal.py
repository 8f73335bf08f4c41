"""What would it have done? The learned TTL and the prefetcher on recorded traffic, off line."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from perfmw.learning.prefetch import Prefetcher
from perfmw.learning.ttl import AdaptiveTTL

Read = tuple[float, str]
"""Seconds, and the key that was read."""
Request = tuple[str, str, float, int]
"""Client, key, seconds, and bytes of the answer (0 if unknown)."""


@dataclass(slots=True)
class TTLOutcome:
    """Reads, the misses among them, and the hits that had an old value."""

    reads: int = 0
    misses: int = 0
    stale: int = 0

    @property
    def miss_ratio(self) -> float:
        """0..1."""
        return self.misses / max(self.reads, 1)

    @property
    def stale_share(self) -> float:
        """Of all reads, 0..1."""
        return self.stale / max(self.reads, 1)


@dataclass(slots=True)
class PrefetchOutcome:
    """Requests after the warm-up, hits, prefetches, those of them that were hit, and bytes fetched."""

    requests: int = 0
    hits: int = 0
    prefetches: int = 0
    used: int = 0
    origin_bytes: int = 0

    @property
    def hit_ratio(self) -> float:
        """0..1."""
        return self.hits / max(self.requests, 1)

    @property
    def precision(self) -> float:
        """The share of prefetches that were used, 0..1."""
        return self.used / max(self.prefetches, 1)


def rehearse_ttl(
    reads: Sequence[Read], changes: Mapping[str, Sequence[float]], ttl: AdaptiveTTL | float
) -> TTLOutcome:
    """An unbounded cache with this TTL, fixed in seconds or learned, over reads in order of time.

    :param changes: when each key's value changed, ascending.
    """
    outcome = TTLOutcome(reads=len(reads))
    kept: dict[str, tuple[float, int]] = {}
    for now, key in reads:
        if isinstance(ttl, AdaptiveTTL):
            ttl.observe_access(key, now)
        version = bisect_right(changes.get(key, ()), now)
        expires, held = kept.get(key, (now, -1))
        if now < expires and not (isinstance(ttl, AdaptiveTTL) and ttl.doubts(key, now)):
            outcome.stale += version != held
            continue
        outcome.misses += 1
        kept[key] = (now + _fetched(ttl, key, now, held, version), version)
    return outcome


def _fetched(ttl: AdaptiveTTL | float, key: str, now: float, held: int, version: int) -> float:
    if not isinstance(ttl, AdaptiveTTL):
        return ttl
    if held >= 0:
        ttl.observe_refresh(key, now, version != held)
    return ttl.ttl(key, now)


def fixed_miss_ratio(
    reads: Sequence[Read], changes: Mapping[str, Sequence[float]], stale_share: float, steps: int = 20
) -> float:
    """The miss ratio of the fixed TTL that makes just this share of reads stale: by bisection.

    Between the two TTLs that are left it is interpolated by their stale shares.
    """
    low, high = 0.0, max(reads[-1][0] - reads[0][0], 1.0)
    below, above = TTLOutcome(len(reads), len(reads)), rehearse_ttl(reads, changes, high)
    for _ in range(steps):
        middle = (low + high) / 2 if low else high / 8
        outcome = rehearse_ttl(reads, changes, middle)
        if outcome.stale_share > stale_share:
            high, above = middle, outcome
        else:
            low, below = middle, outcome
    between = above.stale_share - below.stale_share
    part = min(max((stale_share - below.stale_share) / between, 0.0), 1.0) if between > 0 else 0.0
    return below.miss_ratio + part * (above.miss_ratio - below.miss_ratio)


class _Cache:
    """LRU with one TTL for all; knows which entries were prefetched and not used yet."""

    def __init__(self, entries: int, ttl: float) -> None:
        self._entries, self._ttl = entries, ttl
        self._kept: OrderedDict[str, float] = OrderedDict()
        self._waiting: set[str] = set()

    def has(self, key: str, now: float) -> bool:
        return self._kept.get(key, now) > now

    def hit(self, key: str) -> bool:
        """Whether this is the first use of a prefetched entry that counts."""
        self._kept.move_to_end(key)
        if key in self._waiting:
            self._waiting.remove(key)
            return True
        return False

    def put(self, key: str, now: float, *, counts: bool = False) -> None:
        self._kept[key] = now + self._ttl
        self._kept.move_to_end(key)
        self._waiting.discard(key)
        if counts:
            self._waiting.add(key)
        if len(self._kept) > self._entries:
            oldest, _ = self._kept.popitem(last=False)
            self._waiting.discard(oldest)


def rehearse_prefetch(
    requests: Sequence[Request],
    prefetcher: Prefetcher | None,
    *,
    entries: int = 100,
    ttl: float = 300.0,
    warm_up: float = 0.3,
) -> PrefetchOutcome:
    """An LRU cache over requests in order of time; what the prefetcher says is fetched at once.

    :param prefetcher: None for the cache alone.
    :param entries: that the cache holds.
    :param ttl: seconds that an entry is fresh.
    :param warm_up: the share of requests, from the first on, that is not counted.
    """
    outcome, cache, sizes = PrefetchOutcome(), _Cache(entries, ttl), dict[str, int]()
    begin = int(len(requests) * warm_up)
    for number, (client, key, now, size) in enumerate(requests):
        counts = number >= begin
        sizes[key] = size
        outcome.requests += counts
        if cache.has(key, now):
            outcome.hits += counts
            outcome.used += cache.hit(key)
        else:
            outcome.origin_bytes += size * counts
            cache.put(key, now)
        if prefetcher is not None:
            _prefetch(prefetcher.observe(client, key, now, size), now, cache, sizes, outcome, counts=counts)
    return outcome


def _prefetch(
    keys: Iterable[str],
    now: float,
    cache: _Cache,
    sizes: Mapping[str, int],
    outcome: PrefetchOutcome,
    *,
    counts: bool,
) -> None:
    for key in keys:
        if not cache.has(key, now):
            outcome.prefetches += counts
            outcome.origin_bytes += sizes.get(key, 0) * counts
            cache.put(key, now, counts=counts)
