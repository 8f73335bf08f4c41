"""Has a profile become worse than its baseline, its targets or its thresholds allow? Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from perfmw.contracts import AlertThreshold, PerformanceProfile

Severity = Literal["low", "medium", "high"]
DEFAULT_TARGET = 0.7
"""The latency target that a profile has by default, as a share of its baseline."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong now. ``key`` stays the same for as long as it is the same thing.

    ``since``: unix seconds from which on, as well as it can be told; None means since it was first seen.
    ``confidence``: 0..1, None where nothing was estimated.
    """

    key: str
    type: str
    severity: Severity
    message: str
    target: str
    details: Mapping[str, Any] = field(default_factory=dict)
    since: float | None = None
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Tolerances:
    """When a profile counts as worse. Ratios are to the baseline; rates are shares, 0..1.

    Below ``min_requests`` nothing is said: a few slow requests are no degradation. Neither is a latency that
    grew by less than ``latency_floor`` seconds: nobody feels 0.1 ms become 0.3 ms.
    """

    min_requests: int = 50
    latency_ratio: float = 1.3
    latency_ratio_high: float = 2.0
    latency_floor: float = 0.005
    throughput_ratio: float = 0.5
    error_rate: float = 0.01
    error_rate_high: float = 0.05


def degradations(profile: PerformanceProfile, tolerances: Tolerances | None = None) -> list[Finding]:
    """Every finding about one profile, at most one a key."""
    limits = tolerances or Tolerances()
    if profile.metrics.latency.count < limits.min_requests:
        return []
    checks = (
        _latency(profile, limits),
        _throughput(profile, limits),
        _errors(profile, limits),
        _target(profile),
    )
    return [found for found in checks if found is not None] + list(_thresholds(profile))


def metric(profile: PerformanceProfile, path: str) -> float | None:
    """The number at a dotted path into the profile's metrics, such as ``latency.p95``; None without one."""
    value: object = profile.metrics
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else getattr(value, part, None)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _latency(profile: PerformanceProfile, limits: Tolerances) -> Finding | None:
    baseline, mean = profile.performance.baseline, profile.metrics.latency.mean
    if baseline is None or baseline.latency <= 0 or mean < limits.latency_ratio * baseline.latency:
        return None
    if mean - baseline.latency < limits.latency_floor:
        return None
    ratio = mean / baseline.latency
    severity: Severity = "high" if ratio >= limits.latency_ratio_high else "medium"
    message = f"{profile.name} takes {mean * 1000:.1f} ms on average, {ratio:.1f} times its baseline"
    return _finding(profile, "latency", severity, message, value=mean, limit=baseline.latency)


def _throughput(profile: PerformanceProfile, limits: Tolerances) -> Finding | None:
    """Less traffic is often just the hour of day, so this is never more than a low severity."""
    baseline, rate = profile.performance.baseline, profile.metrics.throughput.recent_per_second
    if baseline is None or rate >= limits.throughput_ratio * baseline.throughput:
        return None
    message = f"{profile.name} gets {rate:.1f} requests/s, usually {baseline.throughput:.1f}"
    return _finding(profile, "throughput", "low", message, value=rate, limit=baseline.throughput)


def _errors(profile: PerformanceProfile, limits: Tolerances) -> Finding | None:
    rate = profile.metrics.error_rates.rate
    if rate < limits.error_rate:
        return None
    severity: Severity = "high" if rate >= limits.error_rate_high else "medium"
    message = f"{rate:.1%} of {profile.name} fail"
    return _finding(profile, "errors", severity, message, value=rate, limit=limits.error_rate)


def _target(profile: PerformanceProfile) -> Finding | None:
    """A missed target is worth a word if a person chose it; at first every profile misses the default."""
    targets, baseline = profile.performance.targets, profile.performance.baseline
    mean = profile.metrics.latency.mean
    if targets is None or mean <= targets.latency:
        return None
    if baseline is not None and math.isclose(
        targets.latency, DEFAULT_TARGET * baseline.latency, rel_tol=0.01
    ):
        return None
    message = f"{profile.name} takes {mean * 1000:.1f} ms, its target is {targets.latency * 1000:.1f} ms"
    return _finding(profile, "target", "low", message, value=mean, limit=targets.latency)


def _thresholds(profile: PerformanceProfile) -> Iterator[Finding]:
    seen: dict[str, tuple[AlertThreshold, float]] = {}
    for threshold in profile.monitoring.alert_thresholds:
        value = metric(profile, threshold.metric)
        if value is None or not _passes(value, threshold):
            continue
        name = f"{threshold.metric}:{threshold.direction}"
        if name not in seen or RANK[threshold.severity] > RANK[seen[name][0].severity]:
            seen[name] = (threshold, value)
    for name, (threshold, value) in seen.items():
        message = (
            f"{profile.name}: {threshold.metric} is {value:.4g}, {threshold.direction} {threshold.limit:.4g}"
        )
        yield _finding(
            profile, f"threshold:{name}", threshold.severity, message, value=value, limit=threshold.limit
        )


RANK: Mapping[str, int] = {"low": 0, "medium": 1, "high": 2}
"""Severities in order."""


def _passes(value: float, threshold: AlertThreshold) -> bool:
    return value > threshold.limit if threshold.direction == "above" else value < threshold.limit


def _finding(
    profile: PerformanceProfile, kind: str, severity: Severity, message: str, *, value: float, limit: float
) -> Finding:
    details = {
        "value": value,
        "limit": limit,
        "requests": profile.metrics.latency.count,
        "profile_type": profile.type,
    }
    type_ = "threshold" if kind.startswith("threshold") else f"degraded_{kind}"
    return Finding(f"{profile.id}:{kind}", type_, severity, message, profile.name, details)
