"""Strategies from workloads, and a layer tuned to them."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import pytest

from perfmw.cache import IntelligentCacheManager, MemoryLayer
from perfmw.cache.eviction import POLICIES
from perfmw.cache.intelligence.manager import MOST_STRATEGIES
from perfmw.contracts import (
    CacheConstraints,
    CacheOptimizationConfig,
    CacheStrategy,
    CacheStrategyConfig,
    Workload,
    WorkloadEvent,
)
from perfmw.learning import patterns_of


def scanned() -> list[tuple[str, int]]:
    """A popular set of keys, and scans through keys that never come back."""
    source, scan = random.Random(4), iter(range(10**6))
    reads = []
    for _ in range(50):
        reads += [(f"GET https://shop/items/{source.randrange(40)}", 1_000) for _ in range(60)]
        reads += [(f"GET https://shop/search?page={next(scan)}", 1_000) for _ in range(60)]
    return reads


def changing(every: float, *, cost: float | None = None) -> list[WorkloadEvent]:
    """A read each second of one of ten keys; each value changes every so many seconds."""
    return [
        WorkloadEvent(f"/k/{now % 10}", 900, float(now), version=str(now // every), seconds=cost)
        for now in range(10_000)
    ]


def create(
    workload: Workload, *, max_bytes: int | None = None, max_stale: float = 0.01, **more: Any
) -> CacheStrategy:
    constraints = CacheConstraints(max_bytes, max_stale)
    config = CacheStrategyConfig(workload, constraints=constraints, **more)
    return IntelligentCacheManager(clock=lambda: 5.0).create_cache_strategy("shop", config)


def tuned(
    layer: MemoryLayer, workload: Workload, *, max_bytes: int
) -> tuple[IntelligentCacheManager, CacheStrategy]:
    manager = IntelligentCacheManager(layer, policies={**POLICIES})
    config = CacheStrategyConfig(workload, constraints=CacheConstraints(max_bytes))
    return manager, manager.create_cache_strategy("shop", config)


def test_a_strategy_names_its_evidence() -> None:
    strategy = create(scanned(), max_bytes=80_000)
    made = strategy.configuration
    assert made.eviction_policy != "lru"
    assert 0 < made.max_size <= 80_000
    assert 0.3 < strategy.performance.hit_rate < 0.5
    assert made.eviction_policy in strategy.evidence["eviction_policy"]
    assert (strategy.name, strategy.metadata.created_at) == ("shop", 5.0)
    families = {pattern.pattern: pattern for pattern in strategy.patterns.cache_keys}
    assert families["GET https://shop/items/*"].cardinality == 40
    assert families["GET https://shop/items/*"].share == 0.5
    assert all("/items/" in url for url in strategy.patterns.warmup_strategies[0].urls)


def test_every_choice_has_evidence() -> None:
    told = create(changing(500)).evidence
    assert set(told) == {
        *("max_size", "ttl", "eviction_policy", "compression_enabled", "encryption_enabled"),
        *("cache_keys", "invalidation_rules", "warmup_strategies", "prefetching_rules"),
    }
    assert all(told.values())


def test_what_the_config_says_is_in_the_strategy() -> None:
    strategy = create(
        ["a", "a"], type="hybrid", encryption_required=True, dynamic_ttl=False, created_by="Ada"
    )
    assert (strategy.type, strategy.configuration.encryption_enabled) == ("hybrid", True)
    assert (strategy.optimization.dynamic_ttl, strategy.optimization.auto_tuning) == (False, True)
    assert strategy.metadata.created_by == "Ada"


def test_a_small_workload_needs_a_small_cache() -> None:
    strategy = create([f"k{number % 10}" for number in range(1_000)], max_bytes=10**9)
    assert strategy.configuration.max_size < 10_000
    assert strategy.configuration.eviction_policy == "lru"
    assert not strategy.configuration.compression_enabled
    rules = {(rule.after, rule.fetch): rule.confidence for rule in strategy.patterns.prefetching_rules}
    assert rules["k1", "k2"] == 1.0


def test_large_values_are_compressed() -> None:
    assert create([("a", 5_000), ("a", 5_000)]).configuration.compression_enabled


@pytest.mark.parametrize("workload", [[], [WorkloadEvent("/a", method="POST")]])
def test_a_workload_without_reads_is_refused(workload: Workload) -> None:
    with pytest.raises(ValueError, match="empty"):
        create(workload)


@pytest.mark.parametrize(
    ("limits", "said"), [({"max_bytes": 0}, "max_bytes"), ({"max_stale": 1.5}, "max_stale")]
)
def test_constraints_that_are_none_are_refused(limits: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        CacheConstraints(**limits)
    with pytest.raises(ValueError, match="type: one of memory, disk, distributed, hybrid, not 'hybrd'"):
        CacheStrategyConfig(["a"], type="hybrd")  # type: ignore[arg-type]


@pytest.mark.parametrize("event", [1, ("a", "b"), None])
def test_a_workload_of_something_else_is_refused_by_name(event: Any) -> None:
    with pytest.raises(
        TypeError, match="a workload is of keys, of keys and sizes, or of WorkloadEvents, not"
    ):
        create([event])


# ---- lifetimes


@pytest.mark.parametrize(("every", "longest"), [(100_000, math.inf), (5_000, 900), (770, 60)])
def test_the_lifetime_fits_how_often_values_change(every: float, longest: float) -> None:
    strategy = create(changing(every), max_stale=0.1)
    assert strategy.configuration.ttl <= longest
    assert strategy.configuration.ttl >= 15
    assert "stale in at most 10.0% of the reads" in strategy.evidence["ttl"]


def test_values_that_always_change_get_the_shortest_lifetime() -> None:
    strategy = create(changing(2), max_stale=0.0)
    assert strategy.configuration.ttl <= 5.0


def test_a_lifetime_is_the_default_where_nothing_tells_of_time() -> None:
    strategy = create(["a", "b", "a"])
    assert strategy.configuration.ttl == 300.0
    assert "tells no times" in strategy.evidence["ttl"]


def test_what_waiting_costs_is_expected_too() -> None:
    performance = create(changing(10**6, cost=0.2)).performance
    assert performance.average_latency == pytest.approx(200 * performance.miss_rate)
    assert performance.throughput == pytest.approx(1.0, rel=0.01)


def test_writes_that_are_followed_by_changes_become_rules() -> None:
    events, version = [], 0
    for now in range(0, 6_000, 10):
        if now % 300 == 0:
            version += 1
            events.append(WorkloadEvent("/stock", 1, float(now), "POST"))
        events.append(WorkloadEvent(f"/items/{now // 10 % 2}", 900, now + 5.0, version=str(version)))
    config = CacheStrategyConfig(events)
    manager = IntelligentCacheManager(learn=patterns_of)
    made = manager.create_cache_strategy("shop", config)
    [rule] = made.patterns.invalidation_rules
    assert (rule.trigger, rule.invalidates) == ("/stock", "/items/*")
    assert "1 writes were followed by changes" in made.evidence["invalidation_rules"]


# ---- optimizing


def test_optimizing_applies_what_helps() -> None:
    layer = MemoryLayer(max_bytes=60_000, policy="fifo")
    layer.set_nowait("kept", 1)
    manager, strategy = tuned(layer, scanned(), max_bytes=60_000)
    result = manager.optimize_cache_performance(strategy.id)
    assert result.strategy_id == strategy.id
    assert result.new_hit_rate > result.old_hit_rate
    assert result.performance_improvement.hit_rate == pytest.approx(result.new_hit_rate - result.old_hit_rate)
    assert layer.policy == strategy.configuration.eviction_policy
    assert layer.get_nowait("kept") == 1
    assert result.optimizations_applied == len([step for step in result.steps if step.success]) >= 1
    misses = 1 - result.old_hit_rate
    assert result.latency_reduction == pytest.approx((result.new_hit_rate - result.old_hit_rate) / misses)
    assert result.memory_efficiency == pytest.approx(result.new_hit_rate * 6_000 / (layer.max_bytes / 2**20))
    assert strategy.performance.hit_rate == result.new_hit_rate
    assert (strategy.metadata.status, manager.strategies) == ("active", [strategy])


def test_steps_may_be_skipped() -> None:
    layer = MemoryLayer(max_bytes=60_000, policy="fifo")
    manager, strategy = tuned(layer, scanned(), max_bytes=60_000)
    result = manager.optimize_cache_performance(
        strategy.id, CacheOptimizationConfig(skip_types=["policy", "size"])
    )
    assert result.steps == []
    assert (layer.policy, layer.max_bytes) == ("fifo", 60_000)
    assert any(advice.startswith("policy: left out as asked") for advice in result.recommendations)


@pytest.mark.parametrize("skipped", ["policy", ["polcy"], ["size", "compression"]])
def test_an_unknown_step_to_skip_is_refused(skipped: str | list[str]) -> None:
    layer = MemoryLayer(max_bytes=60_000, policy="fifo")
    manager, strategy = tuned(layer, scanned(), max_bytes=60_000)
    with pytest.raises(ValueError, match="skip_types: a list of size, policy, ttl, not"):
        manager.optimize_cache_performance(strategy.id, CacheOptimizationConfig(skip_types=skipped))
    assert layer.policy == "fifo"


def test_what_does_not_help_is_undone() -> None:
    layer = MemoryLayer(max_bytes=60_000, policy="s3fifo")
    manager, strategy = tuned(layer, scanned(), max_bytes=60_000)
    strategy.configuration = replace(strategy.configuration, eviction_policy="fifo", max_size=1_000)
    result = manager.optimize_cache_performance(strategy.id)
    tried = [(step.optimization_type, step.success) for step in result.steps]
    assert tried == [("size", False), ("policy", False), ("size+policy", False)]
    assert (layer.policy, layer.max_bytes) == ("s3fifo", 60_000)


def test_a_step_that_fails_is_survived() -> None:
    layer = MemoryLayer(max_bytes=60_000, policy="fifo")
    manager, strategy = tuned(layer, changing(5_000), max_bytes=60_000)
    strategy.configuration.eviction_policy = "nosuch"
    result = manager.optimize_cache_performance(strategy.id)
    by_kind = {step.optimization_type: step for step in result.steps}
    assert "nosuch" in by_kind["policy"].error
    assert by_kind["ttl"].success  # the step after it
    assert layer.policy == "fifo"
    assert any("nosuch" in advice for advice in result.recommendations)


def test_a_lifetime_that_ends_stale_answers_is_kept_though_it_costs_hits() -> None:
    layer = MemoryLayer(max_bytes=60_000)
    manager, strategy = tuned(layer, changing(2_000, cost=0.1), max_bytes=60_000)
    result = manager.optimize_cache_performance(strategy.id)
    assert layer.ttl == strategy.configuration.ttl
    assert result.performance_improvement.stale_rate < -0.5
    assert result.new_hit_rate < result.old_hit_rate
    assert result.latency_reduction < 0


def test_steps_that_help_only_together_are_made_together() -> None:
    chances, numbers = random.Random(1), range(300)
    wanted = chances.choices(numbers, [1 / (number + 1) for number in numbers], k=8_000)
    reads = [
        WorkloadEvent(f"/{number}", 2_000, time=at / 10, version=str(at // 1_600))
        for at, number in enumerate(wanted)
    ]
    layer = MemoryLayer(max_bytes=20_000, policy="fifo")
    manager, strategy = tuned(layer, reads, max_bytes=200_000)
    result = manager.optimize_cache_performance(strategy.id)
    together = result.steps[-1]
    assert (together.optimization_type, together.success) == ("size+policy+ttl", True)
    assert [step.success for step in result.steps[:-1]] == [False] * 3, "more that is kept is too stale"
    assert result.new_hit_rate > result.old_hit_rate + 0.1
    assert (layer.max_bytes, layer.ttl) == (200_000, strategy.configuration.ttl)


def test_another_workload_may_be_measured_by() -> None:
    layer = MemoryLayer(max_bytes=60_000, policy="fifo")
    manager, strategy = tuned(layer, scanned(), max_bytes=60_000)
    result = manager.optimize_cache_performance(strategy.id, CacheOptimizationConfig(workload=["a"] * 100))
    assert result.new_hit_rate == 0.99


def test_what_cannot_be_optimized_says_why() -> None:
    manager = IntelligentCacheManager()
    made = manager.create_cache_strategy("shop", CacheStrategyConfig(["a", "a"]))
    with pytest.raises(ValueError, match="bounded by bytes"):
        manager.optimize_cache_performance(made.id)
    with pytest.raises(LookupError, match="no cache strategy with the id 'x'"):
        manager.optimize_cache_performance("x")


def test_old_strategies_are_forgotten() -> None:
    manager = IntelligentCacheManager()
    config = CacheStrategyConfig(["a", "a"])
    made = [manager.create_cache_strategy(str(number), config) for number in range(MOST_STRATEGIES + 2)]
    assert manager.strategies == made[2:]
