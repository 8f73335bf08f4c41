"""Anomalies in a stream of numbers: is its value, level, range, step or hour new to this series?"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort
from collections import deque
from math import log
from typing import ClassVar, Final

WINDOW: Final = 1200
"""Points a value is ranked among."""
_LEVEL: Final = 30
_SLOTS: Final = 48
_SLOT_SECONDS: Final = 1800.0
_SLOT_POINTS: Final = 14
_SLOT_LEAST: Final = 3
_DECAY: Final = 0.98
"""A point, of the height that a later alarm must exceed: one incident, one alarm."""
_SECOND: Final = 0.3
"""What a second view that agrees adds: two witnesses are worth more than one."""
_GREATEST: Final = 1e150
_HALF: Final = 10.4
"""The surprise, in nats, that scores 0.5."""


class _Ranks:
    """How surprising a value is among the last ``WINDOW``, in nats: -log of its tail's share.

    Beyond the extremes the tail's share says nothing of how far, so distance goes on from there, in units of
    the spread between the 5th and the 95th percentile.
    """

    __slots__ = ("_next", "_ring", "_sorted")

    MIN = 20
    _SLOPE = 3.0
    _CAP = 6.0

    def __init__(self) -> None:
        self._ring = array("d")
        self._sorted = array("d")
        self._next = 0

    def surprise(self, value: float) -> float:
        """The surprise of ``value`` among those before it, which it then joins."""
        ranked = self._sorted
        n, at = len(ranked), bisect_left(ranked, value)
        if n < self.MIN:
            surprise = 0.0
        elif at == n or (at == 0 and value < ranked[0]):
            beyond = value - ranked[-1] if at else ranked[0] - value
            surprise = log(2.0 * (n + 1)) + min(self._CAP, self._SLOPE * beyond / self._spread())
        else:
            above = n - at
            below = at if ranked[at] != value else bisect_right(ranked, value, at)
            surprise = log((n + 1) / ((above if above < below else below) + 0.5))
        ranked.insert(at, value)
        if n < WINDOW:
            self._ring.append(value)
        else:
            ring, oldest = self._ring, self._next
            del ranked[bisect_left(ranked, ring[oldest])]
            ring[oldest] = value
            self._next = (oldest + 1) % WINDOW
        return surprise

    def _spread(self) -> float:
        ranked = self._sorted
        n = len(ranked)
        spread = ranked[int(n * 0.95)] - ranked[int(n * 0.05)]
        return spread or (ranked[-1] - ranked[0]) or abs(ranked[0]) * 0.01 or 1e-9


class AnomalyDetector:
    """Scores each point of one series as it comes, in constant memory (about 100 KB) and some microseconds.

    A point is looked at five ways: its value, the mean and the range of the last 30, the step from the one
    before, and its distance from the median of its half hour of the day (UTC). Each is ranked among its last
    1,200; the most surprising counts, and a second one that agrees adds to it. After an alarm only something
    greater is one, until that has faded: a repeated alarm is what ruins naive detectors.

    Pure: time is an argument. Not made for several threads.
    """

    threshold: ClassVar[float] = 0.5
    """An alarm is a score at or above it."""

    def __init__(self) -> None:
        self._views = tuple(_Ranks() for _ in range(5))
        self._recent: deque[float] = deque(maxlen=_LEVEL)
        self._ordered: list[float] = []
        """The same, by size: to ask for the greatest and the least each time costs five times as much."""
        self._slots: list[deque[float]] = [deque(maxlen=_SLOT_POINTS) for _ in range(_SLOTS)]
        self._peak = 0.0

    def score(self, timestamp: float, value: float) -> float:
        """The anomaly score of the next point, 0 to 1. One that is not finite (or beyond 1e150, whose
        differences would not be) is left out and scores 0.

        :param timestamp: unix seconds, for the hour of the day; need not be evenly spaced.
        """
        if not -_GREATEST < value < _GREATEST:
            return 0.0
        surprise = self._surprise(timestamp, value)
        self._peak *= _DECAY
        if surprise <= self._peak:
            return 0.0
        self._peak = surprise
        return surprise / (surprise + _HALF)

    def _surprise(self, timestamp: float, value: float) -> float:
        values, levels, ranges, steps, hours = self._views
        recent, ordered = self._recent, self._ordered
        step = value - recent[-1] if recent else 0.0
        if len(recent) == _LEVEL:
            del ordered[bisect_left(ordered, recent[0])]
        recent.append(value)
        insort(ordered, value)
        found = [
            values.surprise(value),
            levels.surprise(sum(recent) / len(recent)),
            ranges.surprise(ordered[-1] - ordered[0]),
            steps.surprise(step),
        ]
        slot = self._slots[int(timestamp % 86400.0 / _SLOT_SECONDS) % _SLOTS]
        if len(slot) >= _SLOT_LEAST:
            found.append(hours.surprise(value - sorted(slot)[len(slot) // 2]))
        slot.append(value)
        found.sort()
        return found[-1] + _SECOND * found[-2]
