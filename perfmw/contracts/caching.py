"""Cache strategies and cache managers, as the plan names them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

from perfmw.contracts.profiles import LatencyMetrics

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


class WorkloadEvent(NamedTuple):
    """A read, or a write, of a workload.

    ``size`` is the value's, in bytes (1: not told); ``time`` unix seconds; ``seconds`` what computing the
    value takes. ``version`` is the same for as long as the value is: an ETag, a digest. None: not known.
    """

    key: str
    size: int = 1
    time: float | None = None
    method: str = "GET"
    version: str | None = None
    seconds: float | None = None


Workload = Iterable[str | tuple[str, int] | WorkloadEvent]
"""Keys, or keys and sizes in bytes, or events, in the order they happened."""


@dataclass(frozen=True, slots=True)
class CacheConstraints:
    """``max_bytes`` is the memory there is (None: what the workload can use); ``max_stale`` the share of
    reads, 0..1, that may be stale.

    :raises ValueError: for bounds that are none.
    """

    max_bytes: int | None = None
    max_stale: float = 0.01

    def __post_init__(self) -> None:
        if self.max_bytes is not None and self.max_bytes < 1:
            raise ValueError(f"max_bytes: at least 1, or None, not {self.max_bytes!r}")
        if not 0.0 <= self.max_stale <= 1.0:
            raise ValueError(f"max_stale: a share from 0 to 1, not {self.max_stale!r}")


@dataclass(frozen=True, slots=True)
class CacheStrategyConfig:
    """What ``create_cache_strategy`` is asked for.

    ``patterns`` is what is known of the use besides, as ``UsagePatterns`` of ``perfmw.learning`` learns it.
    The flags go into the strategy as they are.

    :raises ValueError: for a type that is none.
    """

    target_workload: Workload
    type: StrategyType = "memory"
    constraints: CacheConstraints = CacheConstraints()
    patterns: CachePatterns | None = None
    encryption_required: bool = False
    auto_tuning: bool = True
    dynamic_ttl: bool = True
    intelligent_prefetching: bool = True
    adaptive_eviction: bool = True
    created_by: str = "IntelligentCacheManager"

    def __post_init__(self) -> None:
        if self.type not in get_args(StrategyType):
            raise ValueError(f"type: one of {', '.join(get_args(StrategyType))}, not {self.type!r}")


@dataclass(frozen=True, slots=True)
class CacheOptimizationConfig:
    """``skip_types`` are steps to leave out; ``workload`` is what to measure by, None: what the strategy was
    made of."""

    skip_types: Collection[str] = ()
    workload: Workload | None = None


@dataclass(slots=True)
class CacheImpact:
    """Differences: ``hit_rate`` and ``stale_rate`` as shares of the reads, ``latency`` in milliseconds a read
    (negative: faster), ``memory_usage`` in bytes."""

    hit_rate: float = 0.0
    latency: float = 0.0
    memory_usage: int = 0
    stale_rate: float = 0.0


@dataclass(slots=True)
class CacheOptimizationStep:
    """One change that was tried; ``success``: it is in force. ``error`` tells what failed, ``change`` what
    from and to."""

    optimization_type: str
    success: bool
    change: str
    impact: CacheImpact = field(default_factory=CacheImpact)
    error: str = ""


@dataclass(slots=True)
class CacheOptimizationResult:
    """What ``optimize_cache_performance`` did, measured by simulation of the workload.

    ``latency_reduction`` is the share, 0..1, of the time reads take that is saved (every miss counts the same
    where the workload tells no times); ``memory_efficiency`` the hits per MiB of the cache.
    """

    strategy_id: str
    optimizations_applied: int
    performance_improvement: CacheImpact
    old_hit_rate: float
    new_hit_rate: float
    latency_reduction: float
    memory_efficiency: float
    recommendations: list[str] = field(default_factory=list)
    steps: list[CacheOptimizationStep] = field(default_factory=list)


@dataclass(slots=True)
class CacheLayerInfo:
    """One layer as it runs: its name, kind, bound and what it did since the start. None: not known.

    Entries leave by ``evictions`` (for lack of room), ``expirations``, ``invalidations`` and ``replacements``
    (a new value in their place); ``refusals`` were never let in. ``hit_bytes`` weighs the entries that were
    found; where reads are only sampled it is an estimate. ``latency`` is of reads, in seconds; of memory a
    sample, of other layers every one. ``skipped`` counts calls that a circuit breaker held back, and
    ``available`` is False while it does. ``namespace`` is "" for what all namespaces share. ``queued`` and
    ``queued_bytes`` wait to be written (or, at a CDN, purged); ``dropped`` found no room there or no time at
    the end, ``written`` went out. ``queued`` is None where nothing queues.
    """

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
    fills: int = 0
    hit_bytes: int | None = None
    expirations: int | None = None
    invalidations: int | None = None
    replacements: int | None = None
    refusals: int = 0
    skipped: int = 0
    latency: LatencyMetrics | None = None
    namespace: str = ""
    available: bool = True
    queued: int | None = None
    queued_bytes: int = 0
    dropped: int = 0
    written: int = 0

    def left(self) -> dict[str, int]:
        """Entries that left, by cause; causes that are not known are left out."""
        causes = {
            "capacity": self.evictions,
            "expired": self.expirations,
            "invalidated": self.invalidations,
            "replaced": self.replacements,
        }
        return {cause: count for cause, count in causes.items() if count is not None}


@dataclass(slots=True)
class CacheUse:
    """What the cache did for one route, function or namespace; bytes and seconds.

    ``stale`` and ``coalesced`` are among the ``hits``: answers past their freshness, and callers who waited
    for another's. ``hit_bytes`` were sent from the cache, ``stored_bytes`` kept in it. ``seconds_saved`` is
    the time that computing took for what was answered from the cache instead, less the time of answering.
    """

    kind: Literal["route", "function", "namespace"]
    name: str
    hits: int = 0
    misses: int = 0
    stale: int = 0
    coalesced: int = 0
    fills: int = 0
    hit_bytes: int | None = None
    stored_bytes: int | None = None
    seconds_saved: float | None = None
    latency: LatencyMetrics | None = None

    @property
    def hit_rate(self) -> float | None:
        """Share of hits among all that was asked for; None while nothing was."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else None


@dataclass(slots=True)
class CacheStatistics:
    """What the caches of a host did since ``since`` (unix seconds).

    ``whole`` is all of HTTP together; ``coalesced`` counts callers, of functions too, who waited for
    another's call, ``timeouts`` those who gave up waiting.
    """

    since: float
    whole: CacheUse
    layers: Sequence[CacheLayerInfo] = ()
    namespaces: Sequence[CacheUse] = ()
    routes: Sequence[CacheUse] = ()
    functions: Sequence[CacheUse] = ()
    coalesced: int = 0
    timeouts: int = 0


class Purged(int):
    """How many entries an invalidation removed, made stale or, in a dry run, would concern.

    ``layers`` tells it by layer, None for one that cannot know; of an invalidation that was carried out, by
    namespace. What is found only when it is next asked for, such as entries under a tag, is not counted but
    in a dry run.
    """

    layers: Mapping[str, int | None]
    soft: bool
    dry_run: bool

    def __new__(
        cls, layers: Mapping[str, int | None], *, soft: bool = False, dry_run: bool = False
    ) -> Purged:
        self = super().__new__(cls, sum(count or 0 for count in layers.values()))
        self.layers, self.soft, self.dry_run = dict(layers), soft, dry_run
        return self


PurgeKind = Literal["url", "tag", "prefix"]


@dataclass(frozen=True, slots=True)
class Purge:
    """What a CDN is to forget, or with ``soft`` to take for stale.

    ``value`` is an absolute URL, a tag as the CDN was sent it, or the absolute URL that others begin with.
    """

    kind: PurgeKind
    value: str
    soft: bool = False


class PurgeError(Exception):
    """A CDN did not carry out a purge.

    :param retry: whether it may later; False for what it will never accept.
    """

    def __init__(self, message: str, *, retry: bool = True) -> None:
        super().__init__(message)
        self.retry = retry


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
