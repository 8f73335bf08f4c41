"""What the cache learns from the traffic. Pure: time and events are passed in; everything is bounded."""

from perfmw.learning.bytecurve import ByteCurve
from perfmw.learning.consequences import Starts, WriteEffects
from perfmw.learning.cost import CacheEconomy, Prices, WhatIf, economy, what_if
from perfmw.learning.curves import MissRatioCurve
from perfmw.learning.partition import Claim, Partitioner, PartitionPlan
from perfmw.learning.patterns import UsagePatterns, UsageSummary
from perfmw.learning.prefetch import Prefetcher
from perfmw.learning.rehearsal import (
    PrefetchOutcome,
    TTLOutcome,
    fixed_miss_ratio,
    rehearse_prefetch,
    rehearse_ttl,
)
from perfmw.learning.ttl import AdaptiveTTL
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
    "WhatIf",
    "Workload",
    "WriteEffects",
    "economy",
    "fixed_miss_ratio",
    "rehearse_prefetch",
    "rehearse_ttl",
    "what_if",
]
