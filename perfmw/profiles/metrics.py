"""From readings to the metrics of a profile. Pure."""

from __future__ import annotations

from perfmw.contracts.profiles import (
    ErrorRateMetrics,
    LatencyMetrics,
    ThroughputMetrics,
    UserExperienceMetrics,
)
from perfmw.profiles.apdex import apdex
from perfmw.profiles.reading import Reading
from perfmw.profiles.sketch import LatencySketch

_QUANTILES = (0.5, 0.75, 0.9, 0.95, 0.99, 0.999)


def latency_metrics(sketch: LatencySketch) -> LatencyMetrics:
    """Count, extremes, mean and quantiles of a sketch."""
    p50, p75, p90, p95, p99, p999 = sketch.quantiles(_QUANTILES)
    return LatencyMetrics(
        count=sketch.count,
        min=sketch.min,
        mean=sketch.mean,
        p50=p50,
        p75=p75,
        p90=p90,
        p95=p95,
        p99=p99,
        p999=p999,
        max=sketch.max,
        std=sketch.std,
    )


def throughput_metrics(reading: Reading, elapsed: float, recent_per_second: float) -> ThroughputMetrics:
    """Counts of a reading over ``elapsed`` seconds."""
    return ThroughputMetrics(
        count=reading.count,
        per_second=reading.count / elapsed if elapsed > 0.0 else 0.0,
        recent_per_second=recent_per_second,
        hits=reading.hits,
        hit_rate=reading.hit_rate,
    )


def error_metrics(reading: Reading) -> ErrorRateMetrics:
    """Failures by kind: each failing status by its number, and ``exception``."""
    by_kind = {str(status): n for status, n in sorted(reading.statuses.items()) if status >= 400}
    if reading.exceptions:
        by_kind["exception"] = reading.exceptions
    return ErrorRateMetrics(
        rate=reading.error_rate,
        server_errors=sum(n for status, n in reading.statuses.items() if status >= 500),
        client_errors=reading.client_errors,
        exceptions=reading.exceptions,
        by_kind=by_kind,
    )


def experience_metrics(reading: Reading, apdex_t: float) -> UserExperienceMetrics:
    """Apdex and its counts."""
    counts = apdex(reading, apdex_t)
    return UserExperienceMetrics(
        apdex=counts.value,
        apdex_t=apdex_t,
        satisfied=counts.satisfied,
        tolerating=counts.tolerating,
        frustrated=counts.frustrated,
    )
