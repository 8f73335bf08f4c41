"""What the cache learns from the traffic. Pure: time and events are passed in; everything is bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfmw._lazy import lazily

if TYPE_CHECKING:
    from perfmw.learning.bytecurve import ByteCurve
    from perfmw.learning.consequences import Starts, WriteEffects
    from perfmw.learning.cost import CacheEconomy, Prices, WhatIf, economy, what_if
    from perfmw.learning.curves import MissRatioCurve
    from perfmw.learning.partition import Claim, Partitioner, PartitionPlan
    from perfmw.learning.patterns import UsagePatterns, UsageSummary
    from perfmw.learning.prefetch import Prefetcher
    from perfmw.learning.recorded import patterns_of
    from perfmw.learning.rehearsal import (
        PrefetchOutcome,
        TTLOutcome,
        fixed_miss_ratio,
        rehearse_prefetch,
        rehearse_ttl,
    )
    from perfmw.learning.ttl import AdaptiveTTL
    from perfmw.learning.waste import Waste, waste_of
    from perfmw.learning.workload import Workload

__all__ = [
    "AdaptiveTTL",
    "ByteCurve",
    "CacheEconomy",
    "Claim",
    "MissRatioCurve",
    "PartitionPlan",
    "Partitioner",
    "PrefetchOutcome",
    "Prefetcher",
    "Prices",
    "Starts",
    "TTLOutcome",
    "UsagePatterns",
    "UsageSummary",
    "Waste",
    "WhatIf",
    "Workload",
    "WriteEffects",
    "economy",
    "fixed_miss_ratio",
    "patterns_of",
    "rehearse_prefetch",
    "rehearse_ttl",
    "waste_of",
    "what_if",
]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "AdaptiveTTL": "perfmw.learning.ttl",
        "ByteCurve": "perfmw.learning.bytecurve",
        "CacheEconomy": "perfmw.learning.cost",
        "Claim": "perfmw.learning.partition",
        "MissRatioCurve": "perfmw.learning.curves",
        "PartitionPlan": "perfmw.learning.partition",
        "Partitioner": "perfmw.learning.partition",
        "PrefetchOutcome": "perfmw.learning.rehearsal",
        "Prefetcher": "perfmw.learning.prefetch",
        "Prices": "perfmw.learning.cost",
        "Starts": "perfmw.learning.consequences",
        "TTLOutcome": "perfmw.learning.rehearsal",
        "UsagePatterns": "perfmw.learning.patterns",
        "UsageSummary": "perfmw.learning.patterns",
        "WhatIf": "perfmw.learning.cost",
        "Workload": "perfmw.learning.workload",
        "WriteEffects": "perfmw.learning.consequences",
        "economy": "perfmw.learning.cost",
        "fixed_miss_ratio": "perfmw.learning.rehearsal",
        "patterns_of": "perfmw.learning.recorded",
        "rehearse_prefetch": "perfmw.learning.rehearsal",
        "rehearse_ttl": "perfmw.learning.rehearsal",
        "Waste": "perfmw.learning.waste",
        "waste_of": "perfmw.learning.waste",
        "what_if": "perfmw.learning.cost",
    },
)
