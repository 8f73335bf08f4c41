"""Has a target become faster or slower? The last third of its slot means against the first, by ranks. Pure.

The test is Mann and Whitney's ("On a test of whether one of two random variables is stochastically larger
than the other", Annals of Mathematical Statistics 18, 1947). It shrugs off single wild slots and sees steps
as well as slopes; a test of monotony such as Mann-Kendall's loses a step among the noise of its plateaus.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import erfc, sqrt
from statistics import fmean, median
from typing import Final

from perfmw.contracts.profiles import TrendDirection

LEAST_POINTS: Final = 12
MOST_POINTS: Final = 36
LEAST_CHANGE: Final = 0.05
"""A course that changed by less than this share is stable, however certain."""
CONFIDENCE: Final = 0.95


@dataclass(slots=True, frozen=True)
class Trend:
    """``change``: relative change, last third against first; ``confidence`` 0..1 in the direction given."""

    direction: TrendDirection
    confidence: float
    change: float


STEADY: Final = Trend("stable", 0.0, 0.0)


def trend(means: Sequence[float]) -> Trend:
    """Where mean seconds, slot by slot and the oldest first, are going; lower is better.

    With fewer than twelve that are above 0 the answer is stable with confidence 0.
    """
    values = _thinned([value for value in means if value > 0.0])
    if len(values) < LEAST_POINTS:
        return STEADY
    third = len(values) // 3
    before, after = values[:third], values[-third:]
    change = median(after) / median(before) - 1.0
    certain = 1.0 - rank_sum(before, after)
    if certain < CONFIDENCE or abs(change) < LEAST_CHANGE:
        doubt = certain * min(1.0, abs(change) / LEAST_CHANGE)
        return Trend("stable", 1.0 - doubt, change)
    return Trend("improving" if change < 0.0 else "degrading", certain, change)


def _thinned(values: Sequence[float]) -> list[float]:
    """At most 36 values, neighbours averaged: the test compares every pair."""
    size = -(-len(values) // MOST_POINTS)
    if size <= 1:
        return list(values)
    return [fmean(values[i : i + size]) for i in range(0, len(values), size)]


def rank_sum(one: Sequence[float], two: Sequence[float]) -> float:
    """The two-sided p-value of "both come from the same distribution", by the normal approximation.

    Corrected for ties and continuity; 1.0 where either side is empty.
    """
    n, m = len(one), len(two)
    if not n or not m:
        return 1.0
    wins = sum((a > b) + (a == b) / 2 for a in one for b in two)
    ties = sum(t**3 - t for t in Counter([*one, *two]).values())
    variance = n * m / 12 * ((n + m + 1) - ties / ((n + m) * (n + m - 1)))
    if variance <= 0.0:
        return 1.0
    z = max(0.0, abs(wins - n * m / 2) - 0.5) / sqrt(variance)
    return erfc(z / sqrt(2.0))
