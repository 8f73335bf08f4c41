"""A cache strategy made of what a running cache learned: its last reads, its patterns, its prefetches."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from perfmw.cache.intelligence import IntelligentCacheManager
from perfmw.contracts import (
    CacheConstraints,
    CachePatterns,
    CacheStrategy,
    CacheStrategyConfig,
    WorkloadEvent,
)
from perfmw.learning.waste import waste_of

if TYPE_CHECKING:
    from perfmw.runtime.runtime import Runtime
    from perfmw.settings import Settings

MOST_READS = 4_000
"""A simulation of each size and policy takes a few milliseconds for so many."""


async def strategy_of(runtime: Runtime) -> CacheStrategy:
    """See ``Learning.strategy``."""
    trail = runtime.learning.trail
    if trail is None:
        raise RuntimeError("nobody remembers reads: set usage_pattern_learning = true")
    events, patterns = trail.events(MOST_READS), _patterns(runtime)
    return await asyncio.to_thread(_make, events, patterns, runtime.settings)


def _make(events: list[WorkloadEvent], patterns: CachePatterns, settings: Settings) -> CacheStrategy:
    most = settings.memory_max_bytes
    config = CacheStrategyConfig(
        events,
        constraints=CacheConstraints(max_bytes=most),
        patterns=patterns,
        auto_tuning=settings.auto_tuning,
        dynamic_ttl=settings.dynamic_ttl,
        intelligent_prefetching=settings.predictive_prefetching,
        adaptive_eviction=settings.eviction_policy.startswith("adaptive"),
    )
    made = IntelligentCacheManager().create_cache_strategy("as learned", config)
    told = {
        "cache_keys": f"{len(patterns.cache_keys)} kinds of URLs took the reads",
        "invalidation_rules": f"{len(patterns.invalidation_rules)} writes were followed by changes",
        "warmup_strategies": f"{len(patterns.warmup_strategies)}: what is hottest, what starts begin with",
        "prefetching_rules": f"{len(patterns.prefetching_rules)} URLs were mostly followed by the same",
        "waste": waste_of(((event.key, event.size) for event in events), most).in_words(),
    }
    # the trail keeps no URLs, so patterns come from elsewhere
    return replace(made, patterns=patterns, evidence={**made.evidence, **told})


def _patterns(runtime: Runtime) -> CachePatterns:
    learning = runtime.learning
    found = learning.patterns.summary().cache_patterns() if learning.patterns is not None else CachePatterns()
    if learning.prefetching is not None:
        found.prefetching_rules = learning.prefetching.prefetcher.rules()
    return found
