"""The performance score 0..100: five parts with visible weights, each with its reason.

A part that cannot be judged (no target, no samples) is left out and its weight goes to the others in
proportion. The score is the weighted arithmetic mean, so that parts, weights and score always add up.

- **latency**: log-normal, as web vitals tools score durations: durations spread evenly on a logarithmic
  scale. Two control points fix the curve: 90 at the target, 50 at the baseline. Multiplied by the share
  of requests that succeeded, since a failure has no good latency.
- **errors**: the error budget of a 99.9% objective: 100 without errors, 90 with the budget just spent,
  50 at ten times the budget, 0 from 30 times (3%).
- **experience**: Apdex times 100.
- **resources**: the utilisation against its target: 100 at the target or below, 50 at the baseline. Of a
  route it is the share of a core that the baseline's load would take with what a request costs by now.
- **throughput**: only when it can be told from demand: at or above target 100; below the baseline
  together with a latency above the baseline (the target is being held up) in proportion.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import erfc, log, log10, sqrt
from typing import Final

from perfmw.contracts.profiles import (
    PerformanceBaseline,
    PerformanceProfile,
    PerformanceTargets,
    ScorePart,
)

WEIGHTS: Final = {"latency": 0.60, "errors": 0.13, "experience": 0.12, "resources": 0.10, "throughput": 0.05}
ERROR_BUDGET: Final = 0.001
_Z90: Final = 1.2815515655446004
"""The 90th percentile of the standard normal distribution."""
_LEAST_SPREAD: Final = 1.05
"""A target this close to the baseline (as a ratio) still gives a curve, not a cliff."""


@dataclass(slots=True, frozen=True)
class Observed:
    """What a window saw: ``latency`` is the mean of successes in seconds, ``throughput`` a second."""

    requests: int
    latency: float
    error_rate: float
    throughput: float | None = None
    apdex: float | None = None
    resource_utilization: float | None = None


def score_parts(
    observed: Observed, baseline: PerformanceBaseline, targets: PerformanceTargets, floor: float = 0.0
) -> list[ScorePart]:
    """The parts that can be judged; their weights sum to 1. Empty without requests.

    ``floor``: seconds below which nobody notices a difference; targets below it are scored as if at it.
    """
    if not observed.requests:
        return []
    parts = [
        _latency(observed, baseline, targets, floor),
        _errors(observed),
        _experience(observed),
        _resources(observed, baseline, targets),
        _throughput(observed, baseline, targets),
    ]
    known = [part for part in parts if part is not None]
    total = sum(part.weight for part in known)
    for part in known:
        part.weight /= total
    return known


def total(parts: Iterable[ScorePart]) -> float | None:
    """The score that parts make, 0..100; None without parts."""
    listed = list(parts)
    if not listed:
        return None
    return sum(part.score * part.weight for part in listed) / sum(part.weight for part in listed)


def latency_score(latency: float, target: float, median: float) -> float:
    """0..100 for a duration: 90 at ``target``, 50 at ``median`` (above it); all in seconds, above 0."""
    if latency <= 0.0:
        return 100.0
    sigma = log(median / target) / _Z90
    return 50.0 * erfc(log(latency / median) / sigma / sqrt(2.0))


def error_score(rate: float) -> float:
    """0..100 for a share of failed requests."""
    spent = rate / ERROR_BUDGET
    if spent <= 1.0:
        return 100.0 - 10.0 * spent
    if spent <= 10.0:
        return 90.0 - 40.0 * log10(spent)
    return max(0.0, 50.0 - 50.0 * log10(spent / 10.0) / log10(3.0))


def _part(name: str, score: float, reason: str) -> ScorePart:
    return ScorePart(name, round(min(100.0, max(0.0, score)), 2), WEIGHTS[name], reason)


def _latency(
    observed: Observed, baseline: PerformanceBaseline, targets: PerformanceTargets, floor: float
) -> ScorePart:
    target = max(targets.latency, floor, 1e-9)
    median = max(baseline.latency, target * _LEAST_SPREAD)
    if targets.latency < floor:
        median = max(median, target * baseline.latency / max(targets.latency, 1e-9))
    success = 1.0 - observed.error_rate
    reason = f"mean {duration(observed.latency)}, target {duration(targets.latency)}"
    if targets.latency < floor:
        reason += f" (nobody notices less than {duration(floor)})"
    if observed.error_rate:
        reason += f", {observed.error_rate:.1%} failed"
    return _part("latency", success * latency_score(observed.latency, target, median), reason)


def _errors(observed: Observed) -> ScorePart:
    rate = observed.error_rate
    reason = f"{rate:.2%} failed, budget {ERROR_BUDGET:.1%}" if rate else "no failures"
    return _part("errors", error_score(rate), reason)


def _experience(observed: Observed) -> ScorePart | None:
    if observed.apdex is None:
        return None
    return _part("experience", 100.0 * observed.apdex, f"Apdex {observed.apdex:.2f}")


def _resources(
    observed: Observed, baseline: PerformanceBaseline, targets: PerformanceTargets
) -> ScorePart | None:
    used, target, before = observed.resource_utilization, targets.resource_utilization, None
    before = baseline.resource_utilization
    if used is None or target is None or before is None:
        return None
    over = (used - target) / max(before - target, 0.05)
    return _part("resources", 100.0 - 50.0 * over, f"{used:.0%} used, target {target:.0%}")


def _throughput(
    observed: Observed, baseline: PerformanceBaseline, targets: PerformanceTargets
) -> ScorePart | None:
    rate = observed.throughput
    if rate is None or targets.throughput <= 0.0:
        return None
    reason = f"{rate:.3g}/s, target {targets.throughput:.3g}/s"
    if rate >= targets.throughput:
        return _part("throughput", 100.0, reason)
    if rate < baseline.throughput and observed.latency > baseline.latency:
        return _part("throughput", 100.0 * rate / targets.throughput, reason)
    return None


def overall(profiles: Iterable[PerformanceProfile]) -> float | None:
    """One score for all components, weighted by the time their requests would take at the baseline.

    So a route does not lose its weight by becoming fast. Queries and calls are left out, as they are part
    of the requests that make them, and so are profiles without a score; None if none has one.
    """
    return weighted_mean(
        (profile.performance.current_score, profile.metrics.throughput.count * baseline.latency)
        for profile in profiles
        if profile.type == "component" and (baseline := profile.performance.baseline) is not None
    )


def weighted_mean(scores: Iterable[tuple[float | None, float]]) -> float | None:
    """The mean of (score, weight) pairs whose score is known; None if none is."""
    known = [(score, max(weight, 1e-12)) for score, weight in scores if score is not None]
    weights = sum(weight for _, weight in known)
    return sum(score * weight for score, weight in known) / weights if known else None


def duration(seconds: float) -> str:
    """Seconds with three digits in a unit people read: ``42.0 ms``."""
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms")):
        if seconds < limit:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s"
