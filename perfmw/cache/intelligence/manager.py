"""Strategies from workloads, and a memory layer tuned to them: each step measured, kept or undone.

What a size, a policy and a lifetime are worth is found out by simulation: the workload runs through the real
memory layer.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from perfmw.cache.eviction import POLICIES
from perfmw.cache.intelligence.choices import ENOUGH, Choices
from perfmw.cache.intelligence.patterns import found_in, merged
from perfmw.cache.intelligence.rehearsal import Recorded, Rehearsed, rehearse
from perfmw.cache.intelligence.tuning import TUNABLE, Tunable, advice_for, impact_of
from perfmw.cache.memory import MemoryLayer
from perfmw.contracts import (
    CacheOptimizationConfig,
    CacheOptimizationFlags,
    CacheOptimizationResult,
    CacheOptimizationStep,
    CachePatterns,
    CachePerformance,
    CacheStrategy,
    CacheStrategyConfig,
    CacheStrategyMetadata,
    EvictionPolicyFactory,
    WorkloadEvent,
)

logger = logging.getLogger(__name__)

MOST_STRATEGIES = 16
"""With the workloads they were made of; the oldest is forgotten for a new one."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A strategy, what it was made of, and the share of reads that may be stale."""

    strategy: CacheStrategy
    recorded: Recorded
    max_stale: float


class IntelligentCacheManager:
    """Analyses workloads, makes strategies of them, and tunes a memory layer to a strategy.

    Both take seconds of computing for 100,000 reads: within an event loop call them by ``asyncio.to_thread``.

    :param layer: the layer to tune, bounded by bytes; without one only strategies can be made.
    :param policies: the eviction policies to choose from; the built-in ones by default.
    :param learn: what finds invalidation rules and the like in events; ``perfmw.learning.patterns_of``.
    :param clock: unix time in seconds.
    """

    def __init__(
        self,
        layer: MemoryLayer | None = None,
        *,
        policies: Mapping[str, EvictionPolicyFactory] | None = None,
        learn: Callable[[Sequence[WorkloadEvent]], CachePatterns] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._layer, self._learn, self._clock = layer, learn, clock
        self._policies = POLICIES if policies is None else policies
        self._known: OrderedDict[str, _Known] = OrderedDict()

    @property
    def strategies(self) -> list[CacheStrategy]:
        """Those made last, oldest first."""
        return [known.strategy for known in self._known.values()]

    def create_cache_strategy(self, name: str, config: CacheStrategyConfig) -> CacheStrategy:
        """A full strategy for a workload, with the evidence for each choice.

        Of a longer workload the last 100,000 events count.

        :raises ValueError: nothing is read in the workload.
        """
        recorded = Recorded.of(config.target_workload)
        choices = Choices(recorded, config.constraints, self._policies)
        chosen = choices.configuration(encrypted=config.encryption_required)
        expected, now = choices.expected(chosen), self._clock()
        strategy = CacheStrategy(
            id=uuid.uuid4().hex,
            name=name,
            type=config.type,
            configuration=chosen,
            patterns=self._patterns(recorded, config, choices.evidence),
            performance=CachePerformance(
                hit_rate=expected.hit_rate,
                miss_rate=1.0 - expected.hit_rate,
                average_latency=expected.latency or 0.0,
                throughput=len(recorded.reads) / recorded.span if recorded.span else 0.0,
                memory_usage=chosen.max_size,
            ),
            optimization=CacheOptimizationFlags(
                config.auto_tuning,
                config.dynamic_ttl,
                config.intelligent_prefetching,
                config.adaptive_eviction,
            ),
            metadata=CacheStrategyMetadata(config.created_by, now, now),
            evidence=choices.evidence,
        )
        self._remember(_Known(strategy, recorded, config.constraints.max_stale))
        return strategy

    def optimize_cache_performance(
        self, strategy_id: str, config: CacheOptimizationConfig | None = None
    ) -> CacheOptimizationResult:
        """Bring the layer to a strategy step by step; a step that does not help, or fails, is undone.

        The steps are ``size``, ``policy`` and, where the workload tells times, ``ttl``; those that help
        nothing each by itself are tried together then, as ``size+ttl``: what more memory keeps longer may be
        too stale without a lifetime.

        :raises LookupError: there is no such strategy.
        :raises ValueError: without a layer, for one not bounded by bytes, or unknown ``skip_types``.
        """
        if strategy_id not in self._known:
            raise LookupError(f"there is no cache strategy with the id {strategy_id!r}")
        if self._layer is None or self._layer.max_bytes is None:
            raise ValueError("a memory layer bounded by bytes is needed to optimize it")
        asked = config or CacheOptimizationConfig()
        if isinstance(asked.skip_types, str) or not set(asked.skip_types) <= set(TUNABLE):
            raise ValueError(f"skip_types: a list of {', '.join(TUNABLE)}, not {asked.skip_types!r}")
        known = self._known[strategy_id]
        if asked.workload is not None:
            known = replace(known, recorded=Recorded.of(asked.workload))
        with self._optimizing(known.strategy):
            return self._tuned(known, self._layer, asked.skip_types)

    def _tuned(self, known: _Known, layer: MemoryLayer, skipped: Collection[str]) -> CacheOptimizationResult:
        strategy, recorded = known.strategy, known.recorded
        before = now = self._measure(recorded, Tunable.of(layer))
        steps: list[CacheOptimizationStep] = []
        for kind in TUNABLE:
            if kind not in skipped and (kind != "ttl" or recorded.timed):
                now = self._step([kind], layer, known, now, steps)
        refused = [step.optimization_type for step in steps if not (step.success or step.error)]
        if len(refused) > 1:
            now = self._step(refused, layer, known, now, steps)
        strategy.performance.hit_rate, strategy.performance.miss_rate = now.hit_rate, 1.0 - now.hit_rate
        done = Tunable.of(layer)
        return CacheOptimizationResult(
            strategy_id=strategy.id,
            optimizations_applied=sum(step.success for step in steps),
            performance_improvement=impact_of(before, now, sum(step.impact.memory_usage for step in steps)),
            old_hit_rate=before.hit_rate,
            new_hit_rate=now.hit_rate,
            latency_reduction=_saved(before, now),
            memory_efficiency=now.hit_rate * len(recorded.reads) / (done.max_bytes / 2**20),
            recommendations=advice_for(strategy, steps, skipped),
            steps=steps,
        )

    def _step(
        self,
        kinds: Sequence[str],
        layer: MemoryLayer,
        known: _Known,
        before: Rehearsed,
        steps: list[CacheOptimizationStep],
    ) -> Rehearsed:
        """Add a step of these kinds, if there is one to make; what the layer is worth then."""
        old = new = Tunable.of(layer)
        for kind in kinds:
            new = new.towards(kind, known.strategy.configuration)
        if new == old:
            return before
        step = CacheOptimizationStep("+".join(kinds), success=False, change=old.difference(new))
        steps.append(step)
        after = before
        try:
            new.apply(layer)
            after = self._measure(known.recorded, new)
            step.success = _pays(before, after, known.max_stale, smaller=new.max_bytes < old.max_bytes)
        except Exception as error:
            step.error = str(error) or repr(error)
            logger.warning("optimizing the cache's %s failed: %r", step.optimization_type, error)
        if not step.success:
            old.apply(layer)
            return before
        step.impact = impact_of(before, after, new.max_bytes - old.max_bytes)
        return after

    def _measure(self, recorded: Recorded, tuned: Tunable) -> Rehearsed:
        return rehearse(recorded, tuned.policy, tuned.max_bytes, tuned.ttl, self._policies)

    def _patterns(
        self, recorded: Recorded, config: CacheStrategyConfig, evidence: dict[str, str]
    ) -> CachePatterns:
        found = found_in([event.key for event in recorded.reads], evidence)
        known = config.patterns
        if known is None and self._learn is not None and recorded.timed:
            known = self._learn(recorded.events)
        return merged(found, known, evidence)

    def _remember(self, known: _Known) -> None:
        self._known[known.strategy.id] = known
        if len(self._known) > MOST_STRATEGIES:
            self._known.popitem(last=False)

    @contextmanager
    def _optimizing(self, strategy: CacheStrategy) -> Iterator[None]:
        status, strategy.metadata.status = strategy.metadata.status, "optimizing"
        try:
            yield
        finally:
            strategy.metadata.status = status
            strategy.metadata.last_optimized = self._clock()


def _pays(before: Rehearsed, after: Rehearsed, most_stale: float, *, smaller: bool) -> bool:
    """More hits, or nearly all of them with less memory or fewer stale answers, or not stale too often."""
    if after.stale_rate > max(before.stale_rate, most_stale):
        return False
    fresher = after.stale_rate < before.stale_rate
    if after.hit_rate > before.hit_rate or (fresher and before.stale_rate > most_stale):
        return True
    return after.hit_rate >= before.hit_rate * ENOUGH and (smaller or fresher)


def _saved(before: Rehearsed, after: Rehearsed) -> float:
    if before.latency is not None and after.latency is not None:
        return 1.0 - after.latency / before.latency if before.latency else 0.0
    misses = 1.0 - before.hit_rate
    return (after.hit_rate - before.hit_rate) / misses if misses else 0.0
