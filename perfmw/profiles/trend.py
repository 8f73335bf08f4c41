"""Is a target becoming faster or slower? Theil-Sen slope with the Mann-Kendall test on slot means. Pure.

Sen, "Estimates of the regression coefficient based on Kendall's tau", JASA 63 (1968);
Mann, "Nonparametric tests against trend", Econometrica 13 (1945). Both shrug off single wild slots.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import erfc, exp, log, sqrt
from statistics import median
from typing import Final

from perfmw.contracts.profiles import TrendDirection

LEAST_POINTS: Final = 6
MOST_POINTS: Final = 32
LEAST_CHANGE: Final = 0.05
"""A course that changed by less than this share is stable, however certain."""
CONFIDENCE: Final = 0.95


@dataclass(slots=True, frozen=True)
class Trend:
    """``change``: relative change over the whole stretch; ``confidence`` 0..1 in the direction given."""

    direction: TrendDirection
    confidence: float
    change: float


STEADY: Final = Trend("stable", 0.0, 0.0)


def trend(points: Sequence[tuple[float, float]]) -> Trend:
    """The course of (time, mean seconds) points, oldest first; lower is better.

    Means are compared as logarithms, so that a doubling weighs as much as a halving. With fewer than
    six points the answer is stable with confidence 0.
    """
    usable = [(at, log(value)) for at, value in _thinned(points) if value > 0.0]
    if len(usable) < LEAST_POINTS or usable[0][0] == usable[-1][0]:
        return STEADY
    slope = theil_sen(usable)
    change = exp(max(-50.0, min(50.0, slope * (usable[-1][0] - usable[0][0])))) - 1.0
    certain = 1.0 - mann_kendall([value for _, value in usable])
    if certain < CONFIDENCE or abs(change) < LEAST_CHANGE:
        doubt = certain * min(1.0, abs(change) / LEAST_CHANGE)
        return Trend("stable", 1.0 - doubt, change)
    return Trend("improving" if change < 0.0 else "degrading", certain, change)


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most 32 points, neighbours averaged: the estimators compare every pair."""
    size = -(-len(points) // MOST_POINTS)
    if size <= 1:
        return list(points)
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(sum(at for at, _ in g) / len(g), sum(v for _, v in g) / len(g)) for g in groups]


def theil_sen(points: Sequence[tuple[float, float]]) -> float:
    """The median slope over all pairs of points with different times; 0.0 without such a pair."""
    slopes = [
        (later - value) / (then - at)
        for i, (at, value) in enumerate(points)
        for then, later in points[i + 1 :]
        if then != at
    ]
    return median(slopes) if slopes else 0.0


def mann_kendall(values: Sequence[float]) -> float:
    """The two-sided p-value of "no trend", with the correction for ties; 1.0 for fewer than 3 values."""
    n = len(values)
    if n < 3:
        return 1.0
    s = sum((later > value) - (later < value) for i, value in enumerate(values) for later in values[i + 1 :])
    ties = Counter(values).values()
    variance = (n * (n - 1) * (2 * n + 5) - sum(t * (t - 1) * (2 * t + 5) for t in ties)) / 18.0
    if s == 0 or variance <= 0.0:
        return 1.0
    z = (abs(s) - 1) / sqrt(variance)
    return erfc(z / sqrt(2.0))
