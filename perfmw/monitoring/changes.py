"""Change points: a level that moved and stayed.

CUSUM raises the suspicion (Page, "Continuous inspection schemes", Biometrika 41, 1954), a test on the stored
buckets confirms it. Both work on logarithms, so that a step is a ratio.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import erfc, exp, isfinite, log, sqrt
from statistics import fmean, median
from typing import Final

REFERENCE: Final = 240
"""Buckets that say what is usual."""
_LEAST: Final = 30
_LEAST_AFTER: Final = 6
_SLACK: Final = 0.4
"""CUSUM's allowance, in standard deviations of a bucket: half the step it is quickest for."""
_RAISE: Final = 8.0
_CLIP: Final = 3.0
"""One wild bucket is an anomaly, not a change of level."""
LEAST_CHANGE: Final = 0.10
_LEAST_EFFECT: Final = 0.6
_CONFIDENCE: Final = 1.0 - 3e-7


@dataclass(frozen=True, slots=True)
class Change:
    """The level moved. ``ratio`` 1.2 = 20% higher than ``before``; levels are geometric means.

    ``since`` is the time of the first bucket after the change, as well as it can be told; ``confidence`` is
    one minus the probability of such a difference without a change (Welch's test on log values).
    """

    since: float
    before: float
    after: float
    ratio: float
    confidence: float


class ChangeDetector:
    """Finds level changes in a series of positive bucket values, such as a latency a minute. Constant memory.

    Pure: time is an argument. A found change becomes the new usual.
    """

    def __init__(self) -> None:
        self._usual: deque[float] = deque(maxlen=REFERENCE)
        self._suspects: deque[tuple[float, float]] = deque(maxlen=REFERENCE)
        self._up = self._down = 0.0
        self._rising = self._falling = 0
        self._known: tuple[float, float] | None = None
        """Centre and spread of what is usual; None once that is another."""

    def update(self, at: float, value: float) -> Change | None:
        """The change that the bucket of time ``at`` (unix seconds) confirms, if any.

        Values that are not positive and finite (an empty bucket) are left out.
        """
        if not (value > 0.0 and isfinite(value)):
            return None
        logged = log(value)
        if len(self._usual) < _LEAST:
            self._usual.append(logged)
            return None
        self._suspects.append((at, logged))
        raised = self._accumulate(logged)
        change = self._confirmed() if raised else None
        if change is not None:
            self._start_anew()
        else:
            self._acquit()
        return change

    def state(self) -> list[float]:
        """What is usual, to be kept over a restart; suspicions are not."""
        return [*self._usual]

    def restore(self, usual: Sequence[float]) -> None:
        """Take up what ``state`` gave."""
        self._usual.extend(value for value in usual if isfinite(value))
        self._known = None

    def _accumulate(self, logged: float) -> bool:
        if self._known is None:
            self._known = _usual_of(self._usual)
        centre, spread = self._known
        off = max(-_CLIP, min(_CLIP, (logged - centre) / spread))
        self._up = max(0.0, self._up + off - _SLACK)
        self._down = max(0.0, self._down - off - _SLACK)
        self._rising = self._rising + 1 if self._up else 0
        self._falling = self._falling + 1 if self._down else 0
        return max(self._up, self._down) >= _RAISE

    def _confirmed(self) -> Change | None:
        before, (since, after) = list(self._usual), _split(self._suspects, fmean(self._usual))
        if len(after) < _LEAST_AFTER:
            return None
        confidence, effect = _welch(before, after, _widening(before))
        ratio = exp(fmean(after) - fmean(before))
        enough = abs(ratio - 1.0) >= LEAST_CHANGE and effect >= _LEAST_EFFECT
        if confidence < _CONFIDENCE or not enough:
            return None
        return Change(since, exp(fmean(before)), exp(fmean(after)), ratio, confidence)

    def _start_anew(self) -> None:
        _, after = _split(self._suspects, fmean(self._usual))
        self._usual.clear()
        self._usual.extend(after)
        self._known = None
        self._suspects.clear()
        self._up = self._down = 0.0
        self._rising = self._falling = 0

    def _acquit(self) -> None:
        """What came before the suspicions that are left was usual."""
        suspected = max(self._rising, self._falling)
        while len(self._suspects) > suspected:
            self._usual.append(self._suspects.popleft()[1])
            self._known = None


def _usual_of(values: Sequence[float]) -> tuple[float, float]:
    """Centre and spread of a bucket, robust, and widened where neighbours resemble each other."""
    centre = median(values)
    spread = 1.4826 * median([abs(value - centre) for value in values])
    return centre, max(spread * sqrt(_widening(values)), 0.02)


def _widening(values: Sequence[float]) -> float:
    """How much less sure a mean is than that of independent buckets; neighbours may resemble each other."""
    mean = fmean(values)
    variance = fmean([(value - mean) ** 2 for value in values])
    if variance <= 0.0:
        return 1.0
    steps = [later - earlier for earlier, later in pairwise(values)]
    resemblance = 1.0 - fmean([step * step for step in steps]) / (2.0 * variance)
    resemblance = max(0.0, min(0.8, resemblance))
    return sqrt((1.0 + resemblance) / (1.0 - resemblance))


def _split(suspects: Sequence[tuple[float, float]], centre: float) -> tuple[float, list[float]]:
    """Where the suspects' level most probably moved: the later part that is furthest off for its length."""
    logged = [value for _, value in suspects]
    best, begin, total = -1.0, 0, 0.0
    for index in range(len(logged) - 1, -1, -1):
        total += logged[index] - centre
        weight = total * total / (len(logged) - index)
        if weight > best:
            best, begin = weight, index
    return suspects[begin][0], logged[begin:]


def _welch(before: Sequence[float], after: Sequence[float], widening: float) -> tuple[float, float]:
    """The confidence that the means differ (normal tail), and the difference in standard deviations."""
    one, two = _variance(before), _variance(after)
    error = widening * sqrt(max(one / len(before) + two / len(after), 1e-12))
    difference = abs(fmean(after) - fmean(before))
    pooled = sqrt(max((one + two) / 2.0, 1e-12))
    return 1.0 - erfc(difference / error / sqrt(2.0)), difference / pooled


def _variance(values: Sequence[float]) -> float:
    mean = fmean(values)
    return sum([(value - mean) ** 2 for value in values]) / (len(values) - 1)
