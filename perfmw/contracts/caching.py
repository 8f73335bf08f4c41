"""Cache strategies and cache managers, as the plan names them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

StrategyType = Literal["memory", "disk", "distributed", "hybrid"]
ManagerType = Literal["application", "database", "api", "content", "session"]


@dataclass(slots=True)
class CacheStrategyConfiguration:
    """``max_size`` is in bytes; ``ttl`` in seconds; ``eviction_policy`` any registered name."""

    max_size: int
    ttl: float
    eviction_policy: str = "lru"
    compression_enabled: bool = False
    encryption_enabled: bool = False


@dataclass(slots=True)
class CacheKeyPattern:
    """A family of keys, such as ``/items/*``, and how many distinct keys it had."""

    pattern: str
    cardinality: int = 0
    share: float = 0.0


@dataclass(slots=True)
class InvalidationRule:
    """A write to ``trigger`` invalidates what ``invalidates`` matches."""

    trigger: str
    invalidates: str
    confidence: float = 0.0


@dataclass(slots=True)
class WarmupStrategy:
    """URLs to ask for at start, and where the list came from."""

    source: str
    urls: list[str] = field(default_factory=list)


@dataclass(slots=True)
class PrefetchingRule:
    """After ``after`` a client asks for ``fetch`` with this probability."""

    after: str
    fetch: str
    confidence: float = 0.0


@dataclass(slots=True)
class CachePatterns:
    cache_keys: list[CacheKeyPattern] = field(default_factory=list)
    invalidation_rules: list[InvalidationRule] = field(default_factory=list)
    warmup_strategies: list[WarmupStrategy] = field(default_factory=list)
    prefetching_rules: list[PrefetchingRule] = field(default_factory=list)


@dataclass(slots=True)
class CachePerformance:
    """Rates 0..1; ``average_latency`` in milliseconds, as the plan has it; memory in bytes."""

    hit_rate: float = 0.0
    miss_rate: float = 0.0
    average_latency: float = 0.0
    throughput: float = 0.0
    memory_usage: int = 0


@dataclass(slots=True)
class CacheOptimizationFlags:
    auto_tuning: bool = True
    dynamic_ttl: bool = True
    intelligent_prefetching: bool = True
    adaptive_eviction: bool = True


@dataclass(slots=True)
class CacheStrategyMetadata:
    created_by: str
    created_at: float
    last_optimized: float
    status: Literal["active", "disabled", "optimizing"] = "active"


@dataclass(slots=True)
class CacheStrategy:
    id: str
    name: str
    type: StrategyType
    configuration: CacheStrategyConfiguration
    patterns: CachePatterns
    performance: CachePerformance
    optimization: CacheOptimizationFlags
    metadata: CacheStrategyMetadata
    evidence: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class CacheLayerInfo:
    """One layer as it runs: its name, kind, bound and what it did."""

    name: str
    kind: str
    entries: int | None = None
    bytes: int | None = None
    max_entries: int | None = None
    max_bytes: int | None = None
    hits: int = 0
    misses: int = 0
    evictions: int = 0
    errors: int = 0
    policy: str | None = None


@dataclass(slots=True)
class CacheLayers:
    l1_cache: CacheLayerInfo | None = None
    l2_cache: CacheLayerInfo | None = None
    l3_cache: CacheLayerInfo | None = None
    cdn_cache: CacheLayerInfo | None = None


@dataclass(slots=True)
class CacheIntelligence:
    predictive_prefetching: bool = False
    adaptive_ttl: bool = False
    usage_pattern_learning: bool = False
    intelligent_eviction: bool = False


@dataclass(slots=True)
class CacheManagerMetrics:
    """``memory_efficiency`` is hits per MiB held; ``cost_efficiency`` money saved per money spent."""

    overall_hit_rate: float = 0.0
    layer_hit_rates: Mapping[str, float] = field(default_factory=dict)
    average_latency: float = 0.0
    memory_efficiency: float = 0.0
    cost_efficiency: float | None = None


@dataclass(slots=True)
class CacheManagerConfiguration:
    global_settings: Mapping[str, Any] = field(default_factory=dict)
    layer_settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    optimization_settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class CacheManagerMetadata:
    created_at: float
    last_optimized: float
    auto_optimization: bool = False
    status: Literal["active", "optimizing", "maintenance"] = "active"


@dataclass(slots=True)
class CacheManager:
    id: str
    name: str
    type: ManagerType
    layers: CacheLayers
    intelligence: CacheIntelligence
    metrics: CacheManagerMetrics
    configuration: CacheManagerConfiguration
    metadata: CacheManagerMetadata
