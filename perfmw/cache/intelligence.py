"""A cache strategy made from a recorded workload, each choice with its evidence, and applied step by step.

What a size and a policy are worth is found out by simulation: the trace runs through the real memory layer.
"""

from __future__ import annotations

import itertools
import logging
import re
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from perfmw.cache.codecs import zstd_available
from perfmw.cache.eviction import POLICIES
from perfmw.cache.memory import MemoryLayer
from perfmw.cache.simulation import Access, simulate
from perfmw.cache.sizes import ENTRY_OVERHEAD
from perfmw.contracts import (
    CacheKeyPattern,
    CacheOptimizationFlags,
    CachePatterns,
    CachePerformance,
    CacheStrategy,
    CacheStrategyConfiguration,
    CacheStrategyMetadata,
    EvictionPolicyFactory,
    PrefetchingRule,
    WarmupStrategy,
)

logger = logging.getLogger(__name__)

_TRACE_LIMIT = 100_000
_CANDIDATES = ("lru", "sieve", "s3fifo", "arc", "wtinylfu", "gdsf")
_SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
_ENOUGH = 0.98
_WORTH_A_CHANGE = 0.005
_COMPRESSIBLE_BYTES = 512
_DEFAULT_TTL = 300.0
_WARM_URLS = 100
_MIN_SUPPORT, _MIN_CONFIDENCE = 3, 0.5
_VARYING = re.compile(r"(?<=[/:=])(?:\d+|[0-9a-fA-F-]{16,})(?=[/?&:]|$)")


@dataclass(slots=True)
class OptimizationStep:
    """One change that was tried: hit ratios before and after, whether it was kept, and why not."""

    type: str
    change: str
    before: float
    after: float = 0.0
    kept: bool = False
    problem: str = ""


@dataclass(slots=True)
class CacheOptimizationResult:
    """What ``optimize_cache_performance`` did; hit ratios 0..1, by simulation on the workload."""

    before: float
    after: float
    steps: list[OptimizationStep] = field(default_factory=list)


class IntelligentCacheManager:
    """Analyses workloads, and tunes a memory layer to them.

    :param layer: the layer to tune; without one only strategies can be made.
    :param policies: the eviction policies to choose from; the built-in ones by default.
    :param clock: unix time in seconds.
    """

    def __init__(
        self,
        layer: MemoryLayer | None = None,
        *,
        policies: Mapping[str, EvictionPolicyFactory] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._layer = layer
        self._policies = POLICIES if policies is None else policies
        self._clock = clock

    def create_cache_strategy(
        self,
        workload: Iterable[Access | str],
        *,
        name: str = "from a trace",
        max_bytes: int | None = None,
        patterns: CachePatterns | None = None,
    ) -> CacheStrategy:
        """A full strategy for a workload of keys, or of keys and sizes in bytes, in the order of the reads.

        Of a longer workload the last 100,000 reads count.

        :param max_bytes: the memory there is; None takes what the workload can use.
        :param patterns: what is known of the use besides, as ``UsagePatterns`` of ``perfmw.learning``
            learns it: which writes invalidate what, and what to warm up with.
        :raises ValueError: for a workload without reads.
        """
        accesses = _weighed(workload)
        evidence: dict[str, str] = {}
        size, policy, ratio = self._size_and_policy(accesses, max_bytes, evidence)
        mean = sum(weight for _, weight in accesses) / len(accesses)
        compress = mean - ENTRY_OVERHEAD >= _COMPRESSIBLE_BYTES and zstd_available()
        evidence["compression_enabled"] = f"values have {mean - ENTRY_OVERHEAD:.0f} bytes on average"
        evidence["ttl"] = "the default: a trace of reads does not tell when values change"
        evidence["invalidation_rules"] = "none: a trace of reads tells nothing of writes"
        now = self._clock()
        return CacheStrategy(
            id=uuid.uuid4().hex,
            name=name,
            type="memory",
            configuration=CacheStrategyConfiguration(size, _DEFAULT_TTL, policy, compress),
            patterns=_merged(_patterns([key for key, _ in accesses], evidence), patterns, evidence),
            performance=CachePerformance(hit_rate=ratio, miss_rate=1.0 - ratio, memory_usage=size),
            optimization=CacheOptimizationFlags(),
            metadata=CacheStrategyMetadata("IntelligentCacheManager", now, now),
            evidence=evidence,
        )

    def optimize_cache_performance(
        self, workload: Iterable[Access | str], strategy: CacheStrategy, *, skip_types: Collection[str] = ()
    ) -> CacheOptimizationResult:
        """Bring the layer to ``strategy`` step by step; a step that does not help, or fails, is undone.

        :param skip_types: steps to leave out: ``size``, ``policy``.
        :raises ValueError: without a layer, or for one that is not bounded by bytes.
        """
        layer = self._layer
        if layer is None or layer.max_bytes is None:
            raise ValueError("a memory layer bounded by bytes is needed to optimize it")
        accesses, wanted = _weighed(workload), strategy.configuration
        started = self._measure(accesses, layer.policy, layer.max_bytes)
        result = CacheOptimizationResult(before=started, after=started)
        for kind in ("size", "policy"):
            if kind in skip_types:
                continue
            old = (layer.policy, layer.max_bytes)
            new = (old[0], wanted.max_size) if kind == "size" else (wanted.eviction_policy, old[1])
            if new != old:
                result.steps.append(self._step(kind, layer, old, new, accesses, result.after))
                result.after = result.steps[-1].after if result.steps[-1].kept else result.after
        return result

    def _step(
        self,
        kind: str,
        layer: MemoryLayer,
        old: tuple[str, int],
        new: tuple[str, int],
        accesses: Sequence[Access],
        before: float,
    ) -> OptimizationStep:
        place = 1 if kind == "size" else 0
        step = OptimizationStep(kind, f"{old[place]} -> {new[place]}", before)
        try:
            _apply(layer, *new)
            step.after = self._measure(accesses, *new)
            # a smaller cache that does as well is kept too
            step.kept = step.after > before or (new[1] < old[1] and step.after >= before * _ENOUGH)
        except Exception as error:
            step.problem = repr(error)
            logger.warning("optimizing the cache's %s failed: %r", kind, error)
        if not step.kept:
            _apply(layer, *old)
        return step

    def _measure(self, accesses: Sequence[Access], policy: str, size: int) -> float:
        return simulate(accesses, policy, size, by="bytes", policies=self._policies).hit_ratio

    def _size_and_policy(
        self, accesses: Sequence[Access], max_bytes: int | None, evidence: dict[str, str]
    ) -> tuple[int, str, float]:
        footprint = sum(dict(accesses).values())
        most = min(footprint, max_bytes or footprint)
        curve = {max(1, int(most * share)): 0.0 for share in _SHARES}
        for size in curve:
            curve[size] = self._measure(accesses, "lru", size)
        best = max(curve.values())
        size = min(size for size, ratio in curve.items() if ratio >= best * _ENOUGH)
        steps = ", ".join(f"{size:,} B {ratio:.1%}" for size, ratio in curve.items())
        evidence["max_size"] = f"hit ratio of lru by size: {steps}; all keys together have {footprint:,} B"
        names = [name for name in _CANDIDATES if name in self._policies]
        ratios = {name: self._measure(accesses, name, size) for name in names}
        winner = max(ratios, key=lambda name: (ratios[name], name == "lru"))
        if ratios[winner] < ratios.get("lru", 0.0) + _WORTH_A_CHANGE:
            winner = "lru" if "lru" in ratios else winner
        listed = ", ".join(f"{name} {ratio:.1%}" for name, ratio in ratios.items())
        evidence["eviction_policy"] = f"hit ratio at {size:,} B: {listed}"
        return size, winner, ratios[winner]


def _apply(layer: MemoryLayer, policy: str, size: int) -> None:
    if layer.max_bytes != size:
        layer.resize(max_entries=layer.max_entries, max_bytes=size)
    if layer.policy != policy:
        layer.set_policy(policy)


def _weighed(workload: Iterable[Access | str]) -> list[Access]:
    """The last reads, each with what its entry weighs in memory."""
    accesses = []
    for item in workload:
        key, size = (item, 1) if isinstance(item, str) else item
        accesses.append((key, size + ENTRY_OVERHEAD))
    if not accesses:
        raise ValueError("the workload is empty")
    return accesses[-_TRACE_LIMIT:]


def _patterns(keys: Sequence[str], evidence: dict[str, str]) -> CachePatterns:
    counts = Counter(keys)
    hottest = [key for key, reads in counts.most_common(_WARM_URLS) if reads > 1]
    warm = sum(counts[key] for key in hottest) / len(keys)
    evidence["warmup_strategies"] = f"the {len(hottest)} hottest keys had {warm:.1%} of the reads"
    rules = _successors(keys, counts)
    evidence["prefetching_rules"] = f"{len(rules)} keys were followed by the same key at least half the time"
    families = _families(counts)
    evidence["cache_keys"] = f"{len(counts):,} keys in {len(families)} families, numbers and long ids varying"
    return CachePatterns(
        cache_keys=families,
        warmup_strategies=[WarmupStrategy("trace", hottest)] if hottest else [],
        prefetching_rules=rules,
    )


def _merged(found: CachePatterns, known: CachePatterns | None, evidence: dict[str, str]) -> CachePatterns:
    if known is None:
        return found
    if known.invalidation_rules:
        evidence["invalidation_rules"] = f"{len(known.invalidation_rules)} writes were followed by changes"
    return CachePatterns(
        cache_keys=known.cache_keys or found.cache_keys,
        invalidation_rules=[*found.invalidation_rules, *known.invalidation_rules],
        warmup_strategies=[*found.warmup_strategies, *known.warmup_strategies],
        prefetching_rules=[*found.prefetching_rules, *known.prefetching_rules],
    )


def _families(counts: Mapping[str, int]) -> list[CacheKeyPattern]:
    total = sum(counts.values())
    distinct: Counter[str] = Counter()
    reads: Counter[str] = Counter()
    for key, times in counts.items():
        pattern = _VARYING.sub("*", key)
        distinct[pattern] += 1
        reads[pattern] += times
    return [CacheKeyPattern(name, distinct[name], times / total) for name, times in reads.most_common(50)]


def _successors(keys: Sequence[str], counts: Mapping[str, int]) -> list[PrefetchingRule]:
    pairs = Counter((one, other) for one, other in itertools.pairwise(keys) if one != other)
    rules = [
        PrefetchingRule(one, other, times / counts[one])
        for (one, other), times in pairs.items()
        if times >= _MIN_SUPPORT and times >= _MIN_CONFIDENCE * counts[one]
    ]
    return sorted(rules, key=lambda rule: -rule.confidence * counts[rule.after])[:_WARM_URLS]
