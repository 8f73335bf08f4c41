"""The caches of a runtime by namespace, and what is told of each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

from perfmw.cache.coalescing import Coalescer
from perfmw.cache.spaces import SHARED, ResponseCache, Spaces
from perfmw.cache.tags import TagIndex
from perfmw.cache.tiered import TieredCache
from perfmw.contracts import (
    CacheIntelligence,
    CacheLayerInfo,
    CacheLayers,
    CacheManager,
    CacheManagerConfiguration,
    CacheManagerMetadata,
    CacheManagerMetrics,
    ManagerType,
)
from perfmw.http.messages import StoredResponse
from perfmw.learning.cost import CacheEconomy
from perfmw.runtime.building import cache_of, cache_of_namespace
from perfmw.runtime.economy import economy_of
from perfmw.settings.namespaces import type_of

if TYPE_CHECKING:
    from perfmw.plugins import Plugins
    from perfmw.runtime.runtime import Runtime
    from perfmw.settings import Settings


def spaces_of(settings: Settings, plugins: Plugins, coalescer: Coalescer) -> Spaces:
    """The caches that the settings describe. Raises SettingsError."""
    tags = TagIndex()
    caches = {SHARED: cache_of(settings, plugins, tags)}
    for name in settings.namespaces:
        caches[name] = cache_of_namespace(name, settings, plugins, tags)
    return Spaces(caches, coalescer)


def responses_of(spaces: Spaces) -> TieredCache | ResponseCache:
    """Where responses are kept: in the namespaces ``content`` and ``api`` where there are any."""
    content = spaces.caches.get("content", spaces.shared)
    api = spaces.caches.get("api")
    return content if api is None else ResponseCache(content, api, is_api)


def space_of(spaces: Spaces, response: Any) -> str:
    """The namespace whose cache keeps a response."""
    if "api" in spaces.caches and is_api(response):
        return "api"
    return "content" if "content" in spaces.caches else SHARED


def is_api(value: Any) -> bool:
    """JSON, XML and their kin, by the media type; what is no response goes with the content."""
    if not isinstance(value, StoredResponse):
        return False
    kind = (value.field(b"content-type") or b"").partition(b";")[0].strip().lower()
    return kind.endswith((b"/json", b"+json", b"/xml", b"+xml", b"/x-ndjson")) and kind not in _PAGES


_LEARNING = frozenset({"adaptive", "arc", "wtinylfu"})
"""Policies that change what they keep by what is asked for."""
_PAGES = frozenset({b"application/xhtml+xml", b"image/svg+xml"})


def managers_of(runtime: Runtime) -> list[CacheManager]:
    """One for what all share, then one for each namespace, with the figures as they are now."""
    infos = runtime.caching.infos()
    return [
        _manager(runtime, name, [info for info in infos if info.namespace == name and info.kind != "cdn"])
        for name in runtime.spaces.caches
    ]


def _manager(runtime: Runtime, name: str, layers: list[CacheLayerInfo]) -> CacheManager:
    settings = runtime.settings
    kind = cast(ManagerType, type_of(name) if name else "application")
    cdn = next((info for info in runtime.cdn.infos()), None) if kind != "session" else None
    policies = {info.policy for info in layers if info.policy is not None}
    return CacheManager(
        id=f"cache-{name or 'shared'}",
        name=name or "shared",
        type=kind,
        layers=_by_level(layers, cdn),
        intelligence=_intelligence(settings, policies),
        metrics=_metrics(layers, economy_of(runtime, name, layers, time.time())),
        configuration=_configuration(settings, name, layers),
        metadata=CacheManagerMetadata(
            created_at=runtime.spaces.created_at,
            last_optimized=runtime.spaces.created_at,
            auto_optimization=settings.auto_optimization,
        ),
    )


def _intelligence(settings: Settings, policies: set[str]) -> CacheIntelligence:
    return CacheIntelligence(
        predictive_prefetching=settings.predictive_prefetching,
        adaptive_ttl=settings.dynamic_ttl,
        usage_pattern_learning=settings.usage_pattern_learning,
        intelligent_eviction=not policies.isdisjoint(_LEARNING),
    )


def _by_level(layers: list[CacheLayerInfo], cdn: CacheLayerInfo | None) -> CacheLayers:
    def first(*kinds: str) -> CacheLayerInfo | None:
        return next((info for info in layers if info.kind in kinds), None)

    near, disk = first("memory"), first("perfmw-disk")
    return CacheLayers(near, disk, next((info for info in layers if info not in (near, disk)), None), cdn)


def _metrics(layers: list[CacheLayerInfo], money: CacheEconomy) -> CacheManagerMetrics:
    """What the farthest layer did not have, or had for too long, is a miss of all."""
    rates = {info.name: info.hits / (info.hits + info.misses) for info in layers if info.hits + info.misses}
    asked = money.hits + (max(layers[-1].misses, layers[-1].fills) if layers else 0)
    seconds = [(info.latency.mean, info.hits) for info in layers if info.latency is not None and info.hits]
    weight = sum(count for _, count in seconds)
    return CacheManagerMetrics(
        overall_hit_rate=money.hits / asked if asked else 0.0,
        layer_hit_rates=rates,
        average_latency=1_000 * sum(each * count for each, count in seconds) / weight if weight else 0.0,
        memory_efficiency=money.memory_efficiency,
        cost_efficiency=money.cost_efficiency,
    )


def _configuration(settings: Settings, name: str, layers: list[CacheLayerInfo]) -> CacheManagerConfiguration:
    table = settings.namespaces.get(name)
    return CacheManagerConfiguration(
        global_settings={
            "cache_strategy": settings.cache_strategy,
            "default_ttl": table.ttl if table is not None else None,
            "codecs": list(settings.codecs) if settings.codecs is not None else None,
            "layer_deadline": settings.layer_deadline,
            "write_behind": list(settings.write_behind),
        },
        layer_settings={
            info.name: {
                "kind": info.kind,
                "max_bytes": info.max_bytes,
                "max_entries": info.max_entries,
                "eviction_policy": info.policy,
            }
            for info in layers
        },
        optimization_settings={
            "auto_optimization": settings.auto_optimization,
            "optimization_level": settings.optimization_level,
            "auto_tuning": settings.auto_tuning,
        },
    )
