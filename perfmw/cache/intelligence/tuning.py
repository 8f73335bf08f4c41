"""What of a memory layer can be changed while it runs, and what is to be said where it can not."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from perfmw.cache.intelligence.rehearsal import Rehearsed
from perfmw.cache.memory import MemoryLayer
from perfmw.contracts import (
    CacheImpact,
    CacheOptimizationStep,
    CacheStrategy,
    CacheStrategyConfiguration,
)

TUNABLE = ("size", "policy", "ttl")


@dataclass(frozen=True, slots=True)
class Tunable:
    """A layer's settings; ``ttl`` in seconds, None: for ever."""

    policy: str
    max_bytes: int
    ttl: float | None

    @classmethod
    def of(cls, layer: MemoryLayer) -> Tunable:
        assert layer.max_bytes is not None, "the manager takes layers bounded by bytes"
        return cls(layer.policy, layer.max_bytes, layer.ttl)

    def towards(self, kind: str, wanted: CacheStrategyConfiguration) -> Tunable:
        """The same but for one step."""
        if kind == "size":
            return replace(self, max_bytes=wanted.max_size)
        if kind == "policy":
            return replace(self, policy=wanted.eviction_policy)
        return replace(self, ttl=None if math.isinf(wanted.ttl) else wanted.ttl)

    def apply(self, layer: MemoryLayer) -> None:
        if layer.max_bytes != self.max_bytes:
            layer.resize(max_entries=layer.max_entries, max_bytes=self.max_bytes)
        if layer.policy != self.policy:
            layer.set_policy(self.policy)
        if layer.ttl != self.ttl:
            layer.ttl = self.ttl

    def difference(self, other: Tunable) -> str:
        pairs = (
            (self.max_bytes, other.max_bytes),
            (self.policy, other.policy),
            (self.ttl or "never", other.ttl or "never"),
        )
        return ", ".join(f"{old} -> {new}" for old, new in pairs if old != new)


def impact_of(before: Rehearsed, after: Rehearsed, more_bytes: int) -> CacheImpact:
    return CacheImpact(
        hit_rate=after.hit_rate - before.hit_rate,
        latency=(after.latency or 0.0) - (before.latency or 0.0),
        memory_usage=more_bytes,
        stale_rate=after.stale_rate - before.stale_rate,
    )


def advice_for(
    strategy: CacheStrategy, steps: Sequence[CacheOptimizationStep], skipped: Collection[str]
) -> list[str]:
    """What is left to do by hand, most telling first."""
    told = [f"{step.optimization_type}: {step.change} failed: {step.error}" for step in steps if step.error]
    told += [
        f"{kind}: left out as asked; {strategy.evidence.get(name, '')}"
        for kind, name in (("size", "max_size"), ("policy", "eviction_policy"), ("ttl", "ttl"))
        if kind in skipped
    ]
    if strategy.configuration.compression_enabled and "compression" not in skipped:
        told.append(f'codecs = ["zstd"]: {strategy.evidence["compression_enabled"]}')
    if strategy.configuration.encryption_enabled:
        told.append("encryption_keys: what leaves the process is encrypted only with a key")
    rules, warm = strategy.patterns.invalidation_rules, strategy.patterns.warmup_strategies
    told += [f"invalidate {rule.invalidates} after {rule.trigger}" for rule in rules[:5]]
    if warm and warm[0].urls:
        told.append(f"warm up with the {len(warm[0].urls)} hottest keys after a start")
    return told
