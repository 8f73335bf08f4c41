"""Whether another eviction policy would have hit more of the last reads: told by trying it on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from perfmw.cache.simulation import Access, simulate
from perfmw.contracts import EvictionPolicyFactory, OptimizationOpportunity
from perfmw.optimization.host import EVERYTHING

LEAST_READS: Final = 2_000
MOST_READS: Final = 4_000
"""Trying two policies on so many takes a tenth of a second, in a thread."""
WANTED: Final = "adaptive"
_WORTH_A_CHANGE = 0.02


def better_policy(
    reads: Sequence[Access], entries: int, policy: str, policies: Mapping[str, EvictionPolicyFactory]
) -> OptimizationOpportunity | None:
    """What is to be changed about a memory that holds so many ``entries``; None where it is well as it is.

    It counts entries and not bytes, since what is remembered of a read is its body alone. Pure.
    """
    if len(reads) < LEAST_READS or policy not in policies or policy.startswith(WANTED):
        return None
    alike = [(key, 1) for key, _ in reads]
    before, after = (simulate(alike, name, entries, policies=policies).hit_ratio for name in (policy, WANTED))
    if after - before < _WORTH_A_CHANGE:
        return None
    return OptimizationOpportunity(
        id=f"memory_layer:eviction_policy:{WANTED}",
        type="eviction_policy",
        target=EVERYTHING,
        title=f"Evict by {WANTED} instead of {policy}: of the last reads {after:.0%} hit, not {before:.0%}",
        optimizer="memory_layer",
        parameters={"option": "eviction_policy", "value": WANTED, "before": policy},
        evidence={"reads": len(reads), "hit_ratio": before, "predicted_hit_ratio": after},
        expected_gain=(after - before) / (1.0 - before),
        risk="low",
        level="basic",
        toggles=True,
    )
