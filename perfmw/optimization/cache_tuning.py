"""Tune what is cached already: lifetimes of rules that were kept, and the memory layer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from perfmw.contracts import (
    CacheLayerInfo,
    Controls,
    OptimizationLevel,
    OptimizationOpportunity,
    PotentialOptimization,
    RouteObservation,
    RuntimeSnapshot,
)
from perfmw.optimization.cache_route import DAY, CacheRouteOptimizer, halves, hit_share, put_rule
from perfmw.optimization.host import EVERYTHING
from perfmw.optimization.option import seconds_a_day
from perfmw.optimization.paths import contains, pattern_of

LONGEST_STEP = 3.0
"""One change multiplies a lifetime by at most so much: what is learned from it justifies the next."""
WORTHWHILE = 1.5
Lifetime = tuple[float, float]
"""Seconds of freshness, and seconds after it in which an old answer still serves."""


class RuleTtlOptimizer:
    """Longer or shorter lifetimes for rules that ``cache_route`` put in, as evidence grows.

    The lifetime, fresh and stale together, is the one that ``cache_route`` would choose now, from how often
    bodies were seen to change; longer by at most a factor of three at a time, shorter at once. What is stored
    under another lifetime is dropped, so the change cannot be switched to and fro: it is measured before and
    after.
    """

    name = "rule_ttl"

    def __init__(self, level: OptimizationLevel = "basic") -> None:
        self._level = level
        self._judge = CacheRouteOptimizer(level)

    def propose(self, snapshot: RuntimeSnapshot) -> Sequence[OptimizationOpportunity]:
        """Pure. The most time saved first."""
        found = [self._opportunity(rule, route, snapshot) for rule, route in _ruled(snapshot)]
        return sorted((one for one in found if one), key=lambda one: (-one.saved_seconds_per_day, one.id))

    def apply(self, opportunity: OptimizationOpportunity, controls: Controls) -> None:
        """Raises ValueError for parameters that are not a rule's."""
        put_rule(opportunity, controls, "ttl", "stale_while_revalidate")

    def revert(self, opportunity: OptimizationOpportunity, controls: Controls) -> None:
        put_rule(opportunity, controls, "before", "stale_before")

    def _opportunity(
        self, rule: Mapping[str, Any], route: RouteObservation, snapshot: RuntimeSnapshot
    ) -> OptimizationOpportunity | None:
        before = float(rule["ttl"]), float(rule.get("stale_while_revalidate", 0.0))
        now = sum(before)
        oldest = float(math.floor(min(self._judge.oldest(route), LONGEST_STEP * now)))
        changes = route.repeats - route.equal_repeats
        if now / WORTHWHILE < oldest < WORTHWHILE * now or route.repeats < 20:
            return None
        after = halves(oldest)
        saved = _saved_by(route, before, after, snapshot)
        longer = oldest > now
        return OptimizationOpportunity(
            id=f"{self.name}:{rule['name']}:{oldest:.0f}",
            type=self.name,
            target=route.route,
            title=f"Cache {rule['path']} for {oldest:.0f} s instead of {now:.0f} s",
            optimizer=self.name,
            parameters={
                "rule_id": rule["name"],
                "path": rule["path"],
                "ttl": after[0],
                "stale_while_revalidate": after[1],
                "before": before[0],
                "stale_before": before[1],
            },
            evidence={"repeats": route.repeats, "changes": changes, "url_seconds_watched": route.exposure},
            expected_gain=max(saved[0], 0.0),
            saved_seconds_per_day=max(saved[1], 0.0),
            risk="low" if changes == 0 or not longer else "medium",
            level="basic" if not longer or changes == 0 else "advanced",
            toggles=False,
        )


def _ruled(snapshot: RuntimeSnapshot) -> Iterator[tuple[Mapping[str, Any], RouteObservation]]:
    """Rules that an optimizer put in, each with the route it was made for."""
    for rule in snapshot.cache_rules:
        if not str(rule.get("name", "")).startswith("cache_route:") or not rule.get("ttl"):
            continue
        for route in snapshot.routes:
            method, _, template = route.route.partition(" ")
            pattern = pattern_of(template)
            if method == "GET" and pattern is not None and contains(str(rule["path"]), pattern):
                yield rule, route
                break


def _saved_by(
    route: RouteObservation, before: Lifetime, after: Lifetime, snapshot: RuntimeSnapshot
) -> tuple[float, float]:
    """The share of requests that would hit besides, and the seconds that saves a day."""
    profile = next((one for one in snapshot.profiles if one.name == route.route), None)
    if profile is None or not route.distinct_urls:
        return 0.0, 0.0
    window = max(snapshot.window_seconds, 1e-9)
    urls = max(route.distinct_urls / max(route.sampled, 1e-9), 1.0)
    rate = route.requests / window
    gain = hit_share(rate / urls, *after) - hit_share(rate / urls, *before)
    latency, hits = profile.metrics.latency, profile.metrics.throughput.hits
    origin = latency.mean * latency.count / max(latency.count - hits, 1)
    return gain, gain * origin * rate * DAY


class MemoryLayerOptimizer:
    """Another eviction policy, or more room, for a memory layer that throws out what is wanted again.

    Evidence is a layer that evicts and misses. The policy goes to S3-FIFO, which keeps what is read once from
    driving out the rest (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023);
    contents are handed over. Room is doubled, up to ``most_bytes`` in all. Both are switched on and off on
    live traffic: they concern all requests, so that none are left to measure a before and an after beside.
    """

    name = "memory_layer"

    def __init__(self, level: OptimizationLevel = "basic", most_bytes: int = 1024**3) -> None:
        self._level = level
        self._most = most_bytes

    def propose(self, snapshot: RuntimeSnapshot) -> Sequence[OptimizationOpportunity]:
        """Pure."""
        found = [one for layer in _memory(snapshot) if _pressed(layer) for one in self._for(layer, snapshot)]
        return sorted(found, key=lambda one: (-one.saved_seconds_per_day, one.id))

    def explain(self, snapshot: RuntimeSnapshot) -> list[PotentialOptimization]:
        """Why the layer is left as it is."""
        return [
            PotentialOptimization(self.name, EVERYTHING, f"{layer.name}: {_calm(layer)}")
            for layer in _memory(snapshot)
            if not _pressed(layer)
        ]

    def apply(self, opportunity: OptimizationOpportunity, controls: Controls) -> None:
        """Raises ValueError for parameters that are not an option's."""
        _set(opportunity, controls, "value")

    def revert(self, opportunity: OptimizationOpportunity, controls: Controls) -> None:
        _set(opportunity, controls, "before")

    def _for(self, layer: CacheLayerInfo, snapshot: RuntimeSnapshot) -> Iterator[OptimizationOpportunity]:
        if layer.policy in ("lru", "fifo", "random", "lfu"):
            title = f"Evict by s3fifo instead of {layer.policy}"
            yield self._change("eviction_policy", layer.policy, "s3fifo", title, layer, snapshot)
        size = layer.max_bytes
        if size is not None and 2 * size <= self._most:
            more, now = (round(one / 2**20, 2) for one in (2 * size, size))
            title = f"Give the memory layer {more:,g} MiB instead of {now:,g} MiB"
            yield self._change("memory_max_bytes", size, 2 * size, title, layer, snapshot)

    def _change(
        self,
        option: str,
        before: object,
        value: object,
        title: str,
        layer: CacheLayerInfo,
        snapshot: RuntimeSnapshot,
    ) -> OptimizationOpportunity:
        misses = layer.misses / max(layer.hits + layer.misses, 1)
        gain = 0.1 * misses  # a guess that only ranks it: what it brings is for the trial to say
        return OptimizationOpportunity(
            id=f"{self.name}:{option}:{value}",
            type=option,
            target=EVERYTHING,
            title=title,
            optimizer=self.name,
            parameters={"option": option, "value": value, "before": before},
            evidence={"evictions": layer.evictions, "fills": layer.fills, "miss_share": misses},
            expected_gain=gain,
            saved_seconds_per_day=gain * seconds_a_day(snapshot),
            risk="low" if option == "eviction_policy" else "medium",
            level="basic" if option == "eviction_policy" else "advanced",
        )


def _memory(snapshot: RuntimeSnapshot) -> list[CacheLayerInfo]:
    return [layer for layer in snapshot.layers if layer.kind == "memory" and not layer.namespace]


def _pressed(layer: CacheLayerInfo) -> bool:
    return layer.fills >= 100 and layer.evictions >= 0.05 * layer.fills and layer.misses > 0


def _calm(layer: CacheLayerInfo) -> str:
    if layer.fills < 100:
        return f"too little is stored yet: {layer.fills} of 100 needed"
    return f"there is room: {layer.evictions} of {layer.fills} entries were evicted"


def _set(opportunity: OptimizationOpportunity, controls: Controls, which: str) -> None:
    option, value = opportunity.parameters.get("option"), opportunity.parameters.get(which)
    if not isinstance(option, str) or value is None:
        raise ValueError(f"{opportunity.id}: not the parameters of an option")
    controls.set_option(option, value)
