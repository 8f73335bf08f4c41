"""What "before" was, and what "good" is. Pure: time is an argument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from perfmw.contracts.profiles import PerformanceBaseline, PerformanceTargets
from perfmw.profiles.reading import Reading

ENOUGH_REQUESTS: Final = 50
FEW_REQUESTS: Final = 20
"""Enough for a baseline once ``PATIENCE`` seconds have passed."""
PATIENCE: Final = 60.0


@dataclass(slots=True, frozen=True)
class TargetFactors:
    """Targets as multiples of the baseline."""

    latency: float = 0.7
    throughput: float = 1.3
    resource_utilization: float = 0.8


def ready(reading: Reading, elapsed: float) -> bool:
    """Whether a reading over ``elapsed`` seconds is enough to learn a baseline from."""
    count = reading.count - reading.errors
    return count >= ENOUGH_REQUESTS or (elapsed >= PATIENCE and count >= FEW_REQUESTS)


def baseline_of(
    reading: Reading,
    elapsed: float,
    now: float,
    resource_utilization: float | None = None,
    source: Literal["learned", "pinned", "file"] = "learned",
) -> PerformanceBaseline:
    """The baseline that a reading over ``elapsed`` seconds gives.

    The latency is the mean of the requests that did not fail, hits included: a fast error is no
    performance. Throughput is requests per second.

    :raises ValueError: every request of the reading failed, or there was none.
    """
    count = reading.count - reading.errors
    if count <= 0:
        raise ValueError("a baseline needs requests that succeeded of late; there were none")
    seconds = max(0.0, reading.seconds - reading.failed_sketch.sum)
    return PerformanceBaseline(
        latency=seconds / count,
        throughput=reading.count / max(elapsed, 1e-9),
        resource_utilization=resource_utilization,
        timestamp=now,
        source=source,
    )


def targets_of(baseline: PerformanceBaseline, factors: TargetFactors) -> PerformanceTargets:
    """Targets derived from a baseline."""
    utilization = baseline.resource_utilization
    return PerformanceTargets(
        latency=baseline.latency * factors.latency,
        throughput=baseline.throughput * factors.throughput,
        resource_utilization=None if utilization is None else utilization * factors.resource_utilization,
    )
