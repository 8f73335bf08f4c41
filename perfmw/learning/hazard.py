"""How the danger of a change depends on the time since the last one, pooled over many keys."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

_FIRST, _LAST = -7, 5
CELLS = _LAST - _FIRST + 2
EDGES = [0.0, *(2.0**power for power in range(_FIRST, _LAST + 1)), math.inf]
UNKNOWN = 2 * EDGES[-2]
"""An age in the last, open cell: where it does not change any more."""
_PRIOR = 3.0
_CERTAIN = 30.0
_HALVINGS = 11


class AgeHazard:
    """The hazard of change by age, relative to each key's own mean rate; a histogram of 14 cells.

    An age is counted in mean times between two changes of its key, so that keys of all rates share one
    shape: 1 everywhere for a Poisson process, high for the young where changes come in bursts, low for
    the young where they come on schedule.
    """

    def __init__(self) -> None:
        self._events = [0.0] * CELLS
        self._exposure = [0.0] * CELLS
        self.factors = [1.0] * CELLS

    def observe(self, age: float, span: float, *, changed: float) -> None:
        """No change from ``age`` on for ``span``; then ``changed``, as likely as that, 0..1."""
        at, end = _cell(age), age + span
        while end > EDGES[at + 1]:
            self._exposure[at] += EDGES[at + 1] - age
            self._refresh(at)
            age = EDGES[at + 1]
            at += 1
        self._exposure[at] += end - age
        self._events[at] += changed
        self._refresh(at)

    def expected(self, age: float, span: float) -> float:
        """The expected number of changes from ``age`` on for ``span``."""
        at, end, total = _cell(age), age + span, 0.0
        while end > EDGES[at + 1]:
            total += (EDGES[at + 1] - age) * self.factors[at]
            age = EDGES[at + 1]
            at += 1
        return total + (end - age) * self.factors[at]

    def _refresh(self, at: int) -> None:
        self.factors[at] = (self._events[at] + _PRIOR) / (self._exposure[at] + _PRIOR)


def _cell(age: float) -> int:
    return min(math.frexp(age)[1] - _FIRST, CELLS - 1) if age >= EDGES[1] else 0


class _Cycle:
    """From a fetch to the first read after its TTL: what it costs, as the TTL grows cell by cell.

    With ``reads`` a second and a stale read worth ``price`` misses, a cycle of TTL t costs
    (1 + price * stale(t)) misses in t + 1/reads seconds; the slope of that tells whether t is too short.
    """

    def __init__(self, reads: float, price: float) -> None:
        self._reads, self._price = reads, price
        self._gap = 1.0 / reads
        self.ttl = self._stale = self.danger = 0.0

    def after(self, span: float, hazard: float) -> tuple[float, bool]:
        """Stale reads with a TTL longer by ``span`` at this hazard; and whether that is too long."""
        x = hazard * span
        # by expm1 and, below, the series: the differences of numbers near 1 are what counts
        late = span + math.expm1(-x) / hazard if x > 1e-4 else span * x / 2
        old, older = -math.expm1(-self.danger), -math.expm1(-self.danger - x)
        stale = self._stale + self._reads * (span * old + (1.0 - old) * late)
        slope = self._price * self._reads * older * (self.ttl + span + self._gap)
        return stale, slope >= 1.0 + self._price * stale

    def grow(self, span: float, hazard: float) -> None:
        self._stale, _ = self.after(span, hazard)
        self.danger += hazard * span
        self.ttl += span

    def end(self, span: float, hazard: float) -> tuple[float, float]:
        """The best TTL is reached within ``span``: by bisection. Returns it and its stale reads."""
        low, high = 0.0, min(span, math.sqrt(2 / (self._price * self._reads * hazard)))
        while high < span and not self.after(high, hazard)[1]:
            low, high = high, min(2 * high, span)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if self.after(middle, hazard)[1]:
                high = middle
            else:
                low = middle
        return self.ttl + high, self.after(high, hazard)[0]


def best_ttl(
    reads: float,
    changes: float,
    price: float,
    age: float = UNKNOWN,
    factors: Sequence[float] = (1.0,) * CELLS,
    ahead: Iterable[tuple[float, float]] = (),
) -> tuple[float, float]:
    """The TTL, in seconds, with the least misses and stale reads, and the stale reads it lets through.

    For small values it is the known √(2c/(reads·changes)) with c = 1/price; it is exact where reads
    are rare too, and for a hazard that depends on age.

    :param reads: reads a second of the key.
    :param changes: changes a second, on the mean.
    :param price: what a stale read costs, in misses.
    :param age: time since the last change, in mean times between changes.
    :param factors: the hazard by age, as ``AgeHazard.factors``.
    :param ahead: spans from now on, in seconds, and how many times as likely a change is in each; 1 after.
    """
    cycle = _Cycle(reads, price)
    for width, times in ahead:
        while width > 0.0 and cycle.danger < _CERTAIN:
            at, rate = _cell(age), changes * times
            hazard, to_edge = factors[at] * rate, (EDGES[at + 1] - age) / rate
            step = min(width, to_edge)
            if cycle.after(step, hazard)[1]:
                return cycle.end(step, hazard)
            cycle.grow(step, hazard)
            age = EDGES[at + 1] if step == to_edge else age + step * rate
            width -= step
    return _in_the_end(cycle, changes, age, factors)


def _in_the_end(cycle: _Cycle, changes: float, age: float, factors: Sequence[float]) -> tuple[float, float]:
    at = _cell(age)
    while at < CELLS - 1 and cycle.danger < _CERTAIN:
        hazard, width = factors[at] * changes, (EDGES[at + 1] - age) / changes
        if cycle.after(width, hazard)[1]:
            return cycle.end(width, hazard)
        cycle.grow(width, hazard)
        age, at = EDGES[at + 1], at + 1
    hazard = factors[at] * changes
    width = 1.0 / hazard
    while cycle.danger < _CERTAIN and not cycle.after(width, hazard)[1]:
        cycle.grow(width, hazard)
        width *= 2
    return cycle.end(width, hazard)
