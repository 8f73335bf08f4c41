"""Strategies from workloads, and a layer tuned to them."""

from __future__ import annotations

import copy
import random
from functools import cache

import pytest

from perfmw.cache import IntelligentCacheManager, MemoryLayer
from perfmw.cache.eviction import POLICIES
from perfmw.contracts import CacheStrategy


def scanned() -> list[tuple[str, int]]:
    """A popular set of keys, and scans through keys that never come back."""
    source, scan = random.Random(4), iter(range(10**6))
    reads = []
    for _ in range(50):
        reads += [(f"GET https://shop/items/{source.randrange(40)}", 1_000) for _ in range(60)]
        reads += [(f"GET https://shop/search?page={next(scan)}", 1_000) for _ in range(60)]
    return reads


@cache
def _made() -> CacheStrategy:
    return IntelligentCacheManager().create_cache_strategy(scanned(), max_bytes=60_000)


def made() -> CacheStrategy:
    """A strategy for ``scanned``, the caller's own."""
    return copy.deepcopy(_made())


def test_a_strategy_names_its_evidence() -> None:
    strategy = IntelligentCacheManager(clock=lambda: 5.0).create_cache_strategy(scanned(), max_bytes=80_000)
    made = strategy.configuration
    assert made.eviction_policy != "lru"
    assert 0 < made.max_size <= 80_000
    assert 0.3 < strategy.performance.hit_rate < 0.5
    assert made.eviction_policy in strategy.evidence["eviction_policy"]
    assert strategy.metadata.created_at == 5.0
    families = {pattern.pattern: pattern for pattern in strategy.patterns.cache_keys}
    assert families["GET https://shop/items/*"].cardinality == 40
    assert families["GET https://shop/items/*"].share == 0.5
    assert all("/items/" in url for url in strategy.patterns.warmup_strategies[0].urls)


def test_a_small_workload_needs_a_small_cache() -> None:
    reads = [f"k{number % 10}" for number in range(1_000)]
    strategy = IntelligentCacheManager().create_cache_strategy(reads, max_bytes=10**9)
    assert strategy.configuration.max_size < 10_000
    assert strategy.configuration.eviction_policy == "lru"
    assert not strategy.configuration.compression_enabled
    rules = {(rule.after, rule.fetch): rule.confidence for rule in strategy.patterns.prefetching_rules}
    assert rules["k1", "k2"] == 1.0


def test_large_values_are_compressed() -> None:
    strategy = IntelligentCacheManager().create_cache_strategy([("a", 5_000), ("a", 5_000)])
    assert strategy.configuration.compression_enabled


def test_an_empty_workload_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        IntelligentCacheManager().create_cache_strategy([])


def test_optimizing_applies_what_helps() -> None:
    layer = MemoryLayer(max_bytes=60_000, policy="fifo")
    layer.set_nowait("kept", 1)
    manager = IntelligentCacheManager(layer)
    strategy = made()
    result = manager.optimize_cache_performance(scanned(), strategy)
    assert result.after > result.before
    assert layer.policy == strategy.configuration.eviction_policy
    assert layer.get_nowait("kept") == 1
    assert all(step.after > 0 for step in result.steps)


def test_steps_may_be_skipped() -> None:
    layer = MemoryLayer(max_bytes=60_000, policy="fifo")
    manager = IntelligentCacheManager(layer)
    strategy = made()
    result = manager.optimize_cache_performance(scanned(), strategy, skip_types=["policy", "size"])
    assert result.steps == []
    assert (layer.policy, layer.max_bytes) == ("fifo", 60_000)


def test_what_does_not_help_is_undone() -> None:
    layer = MemoryLayer(max_bytes=60_000, policy="s3fifo")
    manager = IntelligentCacheManager(layer)
    strategy = made()
    strategy.configuration.eviction_policy = "fifo"
    strategy.configuration.max_size = 1_000
    result = manager.optimize_cache_performance(scanned(), strategy)
    assert [step.kept for step in result.steps] == [False, False]
    assert (layer.policy, layer.max_bytes) == ("s3fifo", 60_000)


def test_a_step_that_fails_is_survived() -> None:
    layer = MemoryLayer(max_bytes=60_000, policy="fifo")
    manager = IntelligentCacheManager(layer, policies={**POLICIES})
    strategy = made()
    strategy.configuration.eviction_policy = "nosuch"
    result = manager.optimize_cache_performance(scanned(), strategy)
    assert "nosuch" in result.steps[-1].problem
    assert layer.policy == "fifo"


def test_a_layer_is_needed_to_optimize() -> None:
    manager = IntelligentCacheManager()
    with pytest.raises(ValueError, match="bounded by bytes"):
        manager.optimize_cache_performance(["a"], manager.create_cache_strategy(["a", "a"]))
