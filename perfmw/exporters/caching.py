"""What the caches did, for Prometheus: why entries left, how long reads take, bytes and time saved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from perfmw.contracts.caching import CacheLayerInfo, CacheStatistics, CacheUse
from perfmw.exporters.exposition import Family, in_parts

_COUNTERS: tuple[tuple[str, str, Callable[[CacheUse], float | None]], ...] = (
    ("hit_bytes", "Bytes that were sent from the cache.", lambda use: use.hit_bytes),
    ("stored_bytes", "Bytes that were kept in the cache.", lambda use: use.stored_bytes),
    ("fills", "Answers that were kept in the cache.", lambda use: use.fills),
    ("stale", "Answers from the cache past their freshness.", lambda use: use.stale),
    ("coalesced", "Callers that got the answer to another's call.", lambda use: use.coalesced),
)


def cache_families(statistics: CacheStatistics | None) -> Iterator[Family]:
    """Families of a host's caches; nothing where nobody counts."""
    if statistics is None:
        return
    yield from _of_layers(statistics.layers)
    uses = [*statistics.namespaces, *statistics.routes, *statistics.functions]
    counters = (partial(_counter, *one) for one in _COUNTERS)
    yield from in_parts(uses, *counters, _saved)


def _counter(
    name: str, help_text: str, value: Callable[[CacheUse], float | None], uses: Sequence[CacheUse]
) -> Family:
    family = Family(f"perfmw_cache_{name}_total", "counter", help_text)
    for use in uses:
        family.add(value(use), ("kind", use.kind), ("name", use.name))
    return family


def _saved(uses: Sequence[CacheUse]) -> Family:
    saved = Family(
        "perfmw_cache_saved_seconds",
        "gauge",
        "Time that computing took for what the cache answered with, less the time of answering.",
    )
    for use in uses:
        saved.add(use.seconds_saved, ("kind", use.kind), ("name", use.name))
    return saved


def _of_layers(layers: Sequence[CacheLayerInfo]) -> Iterator[Family]:
    left = Family("perfmw_cache_layer_left_total", "counter", "Entries that left a cache layer, by cause.")
    fills = Family("perfmw_cache_layer_fills_total", "counter", "Entries that a cache layer took in.")
    skipped = Family(
        "perfmw_cache_layer_skipped_total", "counter", "Calls that a cache layer's circuit breaker held back."
    )
    sent = Family("perfmw_cache_layer_hit_bytes_total", "counter", "Bytes of what a cache layer had.")
    reads = Family(
        "perfmw_cache_layer_read_seconds", "summary", "Time of reads of a cache layer; of memory a sample."
    )
    for layer in layers:
        labels = (("layer", layer.name), ("kind", layer.kind))
        for cause, count in layer.left().items():
            left.add(count, *labels, ("cause", cause))
        fills.add(layer.fills, *labels)
        skipped.add(layer.skipped, *labels)
        sent.add(layer.hit_bytes, *labels)
        if (latency := layer.latency) is not None:
            for quantile, seconds in (("0.5", latency.p50), ("0.95", latency.p95), ("0.99", latency.p99)):
                reads.add(seconds, *labels, ("quantile", quantile))
            reads.add(latency.mean * latency.count, *labels, suffix="_sum")
            reads.add(latency.count, *labels, suffix="_count")
    yield from (left, fills, skipped, sent, reads)
