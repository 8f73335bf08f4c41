"""The four figures at the head of the dashboard, from what the runtime's timer has sampled. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from perfmw.contracts import Overview, Stat
from perfmw.profiles import SeriesPoint

WINDOW = 300
"""Points of the series that a figure covers: five minutes at one a second."""
BARS = 60
Sampled = Sequence[tuple[float, float | None]]
"""(unix seconds, value) pairs, oldest first."""
_Amount = Callable[[SeriesPoint], float]


def overview_of(
    points: Sequence[SeriesPoint], scores: Sampled, efficiencies: Sampled, now: float
) -> Overview:
    """Figures over the last ``WINDOW`` points; what was not measured is None, never zero."""
    recent = points[-WINDOW:]
    return Overview(
        performance_score=_sampled("Performance Score", "/100", scores),
        cache_hit_rate=_hit_rate(recent),
        resource_efficiency=_sampled("Resource Efficiency", "%", efficiencies, scale=100.0),
        response_time=_response_time(recent),
        taken_at=now,
    )


def trend_of(values: Sequence[float]) -> float | None:
    """The newer half's mean against the older half's, 0.1 = 10% more; None for too few or zero values."""
    if len(values) < 4:
        return None
    middle = len(values) // 2
    older, newer = _mean(values[:middle]), _mean(values[middle:])
    return (newer - older) / abs(older) if older else None


def _hit_rate(points: Sequence[SeriesPoint]) -> Stat:
    requests = sum(point.requests for point in points)
    hits = sum(point.hits for point in points)
    series = [100.0 * hits / total for total, hits in _bars(points, lambda point: float(point.hits))]
    value = 100.0 * hits / requests if requests else None
    return Stat("Cache Hit Rate", value, "%", requests, trend_of(series), "up", series)


def _response_time(points: Sequence[SeriesPoint]) -> Stat:
    requests = sum(point.requests for point in points)
    spent = sum(point.mean * point.requests for point in points)
    bars = _bars(points, lambda point: point.mean * point.requests)
    series = [1000.0 * seconds / total for total, seconds in bars]
    value = 1000.0 * spent / requests if requests else None
    return Stat("Response Time", value, "ms", requests, trend_of(series), "down", series)


def _sampled(title: str, unit: str, samples: Sampled, scale: float = 1.0) -> Stat:
    series = [value * scale for _, value in samples if value is not None][-BARS:]
    latest = series[-1] if series else None
    return Stat(title, latest, unit, len(series), trend_of(series), "up", series)


def _bars(points: Sequence[SeriesPoint], amount: _Amount) -> list[tuple[int, float]]:
    """At most ``BARS`` groups of neighbouring points that had requests: (requests, amount)."""
    step = max(1, -(-len(points) // BARS))
    groups = (points[start : start + step] for start in range(0, len(points), step))
    sums = ((sum(point.requests for point in group), sum(map(amount, group))) for group in groups)
    return [(total, value) for total, value in sums if total]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
