from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from perfmw.contracts import (
    AlertThreshold,
    ErrorRateMetrics,
    LatencyMetrics,
    PerformanceBaseline,
    PerformanceProfile,
    PerformanceState,
    PerformanceTargets,
    ProfileMetadata,
    ProfileMetrics,
    ProfileMonitoring,
    ProfileOptimizations,
    ThroughputMetrics,
)
from perfmw.monitoring import Finding, Tolerances, degradations
from perfmw.monitoring.degradation import metric


def profile(
    *,
    mean: float = 0.1,
    count: int = 1_000,
    rate: float = 10.0,
    errors: float = 0.0,
    targets: PerformanceTargets | None = None,
    thresholds: list[AlertThreshold] | None = None,
    baseline: bool = True,
) -> PerformanceProfile:
    """A baseline of 100 ms and 10 requests a second."""
    return PerformanceProfile(
        id="p1",
        name="GET /x",
        type="component",
        metrics=ProfileMetrics(
            latency=LatencyMetrics(count=count, mean=mean, p95=2 * mean),
            throughput=ThroughputMetrics(count=count, recent_per_second=rate),
            error_rates=ErrorRateMetrics(rate=errors, by_kind={"timeout": 3}),
        ),
        performance=PerformanceState(
            baseline=PerformanceBaseline(0.1, 10.0, None, 0.0) if baseline else None, targets=targets
        ),
        optimizations=ProfileOptimizations(),
        monitoring=ProfileMonitoring(alert_thresholds=thresholds or []),
        metadata=ProfileMetadata(0.0, 0.0),
    )


def found(**facts: Any) -> list[tuple[str, str]]:
    return [(finding.type, finding.severity) for finding in degradations(profile(**facts))]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, []),
        ({"mean": 0.129}, []),
        ({"mean": 0.14}, [("degraded_latency", "medium")]),
        ({"mean": 0.25}, [("degraded_latency", "high")]),
        ({"mean": 9.0, "baseline": False}, []),
        ({"mean": 9.0, "count": 49}, []),
        ({"rate": 6.0}, []),
        ({"rate": 4.0}, [("degraded_throughput", "low")]),
        ({"errors": 0.009}, []),
        ({"errors": 0.02}, [("degraded_errors", "medium")]),
        ({"errors": 0.10}, [("degraded_errors", "high")]),
        ({"targets": PerformanceTargets(0.05, 1.0)}, [("degraded_target", "low")]),
        ({"targets": PerformanceTargets(0.07, 13.0)}, []),
        ({"targets": PerformanceTargets(0.2, 1.0)}, []),
        ({"mean": 0.3, "errors": 0.5}, [("degraded_latency", "high"), ("degraded_errors", "high")]),
    ],
)
def test_what_counts_as_worse(facts: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert found(**facts) == expected


def test_a_finding_says_what_and_how_much() -> None:
    (finding,) = degradations(profile(mean=0.25))
    assert finding == Finding(
        key="p1:latency",
        type="degraded_latency",
        severity="high",
        message="GET /x takes 250.0 ms on average, 2.5 times its baseline",
        target="GET /x",
        details={"value": 0.25, "limit": 0.1, "requests": 1_000, "profile_type": "component"},
    )


def test_tolerances_can_be_chosen() -> None:
    assert degradations(profile(mean=0.14), Tolerances(latency_ratio=1.5)) == []
    assert len(degradations(profile(mean=0.14, count=5), Tolerances(min_requests=5))) == 1


def test_thresholds_of_the_user() -> None:
    high = AlertThreshold("latency.p95", 0.19, severity="high")
    low = AlertThreshold("latency.p95", 0.10, severity="low")
    quiet = AlertThreshold("throughput.recent_per_second", 20.0, "below")
    fine = AlertThreshold("error_rates.rate", 0.5)
    unknown = AlertThreshold("latency.p42", 0.0)
    findings = degradations(profile(thresholds=[low, high, quiet, fine, unknown]))
    assert [(finding.key, finding.severity) for finding in findings] == [
        ("p1:threshold:latency.p95:above", "high"),
        ("p1:threshold:throughput.recent_per_second:below", "medium"),
    ]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("latency.mean", 0.1),
        ("error_rates.by_kind.timeout", 3.0),
        ("latency", None),
        ("nothing.here", None),
        ("user_experience.apdex", None),
        ("", None),
    ],
)
def test_metrics_by_path(path: str, value: float | None) -> None:
    assert metric(profile(), path) == value


def test_a_baseline_of_nothing_is_no_baseline() -> None:
    broken = profile(mean=0.5)
    broken.performance = replace(broken.performance, baseline=PerformanceBaseline(0.0, 0.0, None, 0.0))
    assert degradations(broken) == []
