"""At which hours of the day values change: in a nightly batch, or while people work."""

from __future__ import annotations

import math
from collections.abc import Iterator

DAY = 86_400.0
CELLS = 24
_WIDTH = DAY / CELLS
_PRIOR = 0.5
_HASTE = 1.2
"""At first a step goes so much further than it would have to: it takes many to get to a single hour."""
_LONGEST = 0.95 * DAY
"""What lies between two refreshes further apart says little about hours."""
_SURE, _STILL_SURE = 60.0, 30.0
"""Twice the logarithm of how much likelier the hours are than none: to begin with, and to stay with."""
_REFRESH, _FIRST_MEMORY, _MEMORY = 8, 100.0, 400.0
_MOST_DAYS = 100.0
_AHEAD = 7
"""Days that lifetimes are told by the hour; what changes weekly at most needs no hours."""


class Hours:
    """How many times as likely as on the mean a change is, by the time of day; flat until that is sure.

    Time is counted so that changes come evenly in it: ``at`` turns a clock's seconds into such ones, of which
    a day has as many. A refresh that found a change tells that it was within a span: it counts for the hours
    of the span as likely as each is by what is known (an expectation-maximisation step), and the time before
    it as time without one.
    """

    __slots__ = ("_days", "_events", "_exposure", "_last", "_likely", "_memory", "_seen", "_sums", "factors")

    def __init__(self) -> None:
        self._events, self._exposure = [0.0] * CELLS, [0.0] * CELLS
        self._seen = 0
        self._days, self._last = 0.0, -DAY
        self._memory = _FIRST_MEMORY
        self._likely = [1.0] * CELLS
        self.factors: list[float] | None = None
        """By hours since midnight, their mean is 1; None while there is no difference."""
        self._sums = [0.0] * (CELLS + 1)

    def at(self, now: float) -> float:
        """``now`` on a clock by which changes come evenly."""
        if self.factors is None:
            return now
        day, second = divmod(now, DAY)
        cell = min(int(second / _WIDTH), CELLS - 1)
        return day * DAY + self._sums[cell] + (second - cell * _WIDTH) * self.factors[cell]

    def busy(self) -> list[int]:
        """The hours at which a change is at least twice as likely as on the mean."""
        return [hour for hour, factor in enumerate(self.factors or ()) if factor >= 2.0]

    def ahead(self, now: float) -> Iterator[tuple[float, float]]:
        """Spans of time from ``now`` on, in seconds, and the factor of each; of some days."""
        factors = self.factors
        if factors is None:
            return
        second = now % DAY
        cell = min(int(second / _WIDTH), CELLS - 1)
        yield (cell + 1) * _WIDTH - second, factors[cell]
        for number in range(cell + 1, cell + 1 + _AHEAD * CELLS):
            yield _WIDTH, factors[number % CELLS]

    def change(self, now: float) -> None:
        """There was a change just now."""
        self._events[int(now % DAY / _WIDTH) % CELLS] += 1.0
        self._found(now)

    def observe(self, since: float, until: float, rate: float, *, changed: bool) -> None:
        """Between a fetch and a refresh, of a key with so many changes a second, there was one, or not."""
        if not 0 < until - since <= _LONGEST:
            return
        survived, spans, total = 1.0, [], 0.0
        haste = _HASTE if self._memory < _MEMORY else 1.0
        for cell, span in _cells(since, until):
            dies = -math.expm1(-rate * span * self._likely[cell] ** haste)
            spans.append((cell, span, survived, survived * dies))
            total += survived * dies
            survived *= 1.0 - dies
        found = changed / max(total, 1e-12)
        for cell, span, alive, died in spans:
            # with a change only the time before it counts, which ends in one of the cells
            before = max(alive - died / 2 - survived, 0.0) / max(total, 1e-12) if changed else 1.0
            self._exposure[cell] += rate * span * before
            self._events[cell] += died * found
        if changed:
            self._found(until)
        self._seen += 1
        if self._seen % _REFRESH == 0:
            self._tell()

    def _found(self, now: float) -> None:
        """What many keys have in common is one change, so days are counted that had one, not changes."""
        if now - self._last >= DAY / 2:
            self._last = now
            self._days += 1.0

    def _tell(self) -> None:
        events, exposure = sum(self._events), sum(self._exposure)
        if events <= 0.0 or exposure <= 0.0:
            return
        mean = events / exposure
        cells = list(zip(self._events, (due * mean for due in self._exposure), strict=True))
        apart = sum(found * math.log(found / due) for found, due in cells if found > 0.0 < due) / events
        likely = [(found + _PRIOR) / (due + _PRIOR) for found, due in cells]
        scale = CELLS / sum(likely)
        self._likely = [one * scale for one in likely]
        if 2 * self._days * apart > (_SURE if self.factors is None else _STILL_SURE):
            self.factors = self._likely
            for cell, factor in enumerate(self.factors):
                self._sums[cell + 1] = self._sums[cell] + factor * _WIDTH
        else:
            self.factors = None
        if events > self._memory:
            self._memory = min(2 * self._memory, _MEMORY)
            self._days = min(self._days, _MOST_DAYS)
            self._events = [one / 2 for one in self._events]
            self._exposure = [one / 2 for one in self._exposure]


def _cells(since: float, until: float) -> Iterator[tuple[int, float]]:
    """The cells of the day between two times, and the seconds in each."""
    while since < until:
        number = math.floor(since / _WIDTH)
        end = min((number + 1) * _WIDTH, until)
        if end <= since:  # rounding
            return
        yield number % CELLS, end - since
        since = end
