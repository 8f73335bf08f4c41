"""How few misses could lifetimes give at all? What they come to that are told what nobody is told.

Run it as a script: ``python -m tests.benchmarks.bench_ttl_bounds [--seed 3] [--reads 60000]``. Told are, of
every key, the true rates of reads and of changes; beside these, when its value last changed, to the second,
and how the danger of a change depends on that; or how it depends on the time of day. All have the one price
of a stale read that gives the share of stale reads asked for. What is printed is their misses over those of
the best fixed TTL, which makes as many reads stale. Keys change by themselves in all of this: where many
change at one moment, one tells of the others, and less is possible.
"""

from __future__ import annotations

import argparse
import math
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from functools import cache

from perfmw.learning import fixed_miss_ratio
from perfmw.learning.hazard import AgeHazard, best_ttl
from tests.benchmarks.bench_ttl import PROCESSES, Changes, made, reads_of, recorded
from tests.benchmarks.families import DAY, histories
from tests.benchmarks.verdicts import told

Order = list[tuple[float, str]]
Lifetime = Callable[[str, float, float], float]
"""Of a key, fetched now, that last changed then: the seconds it may be served for."""
WIDTH = DAY / 120
LONGEST = 200
"""Days."""
STEPS = 9


class Oracle:
    """The truth about reads and changes, and the lifetimes that follow from it."""

    def __init__(self, order: Order, changes: Changes) -> None:
        self.order, self.changes = order, changes
        end, span = order[-1][0], order[-1][0] - order[0][0]
        self.reads = {key: count / span for key, count in Counter(key for _, key in order).items()}
        self.rates = {key: max(len(at) - 1, 0.3) / (end - at[0] + 1) for key, at in changes.items()}
        self.shape = self._shape(end)
        counts = Counter(int(at % DAY / WIDTH) for times in changes.values() for at in times[1:])
        mean = counts.total() * WIDTH / DAY
        self.hours = [(cell * WIDTH, count / mean) for cell, count in sorted(counts.items())]

    def _shape(self, end: float) -> list[float]:
        hazard = AgeHazard()
        for key, times in self.changes.items():
            for one, other in zip(times, [*times[1:], end], strict=True):
                hazard.observe(0.0, max(other - one, 0.0) * self.rates[key], changed=float(other < end))
        return hazard.factors

    def by_rates(self, price: float) -> Lifetime:
        known = cache(lambda key: best_ttl(self.reads[key], self.rates[key], price)[0])
        return lambda key, _now, _last: known(key)

    def by_age(self, price: float) -> Lifetime:
        reads, rates, shape = self.reads, self.rates, self.shape
        return lambda key, now, last: best_ttl(
            reads[key], rates[key], price, (now - last) * rates[key], shape
        )[0]

    def by_hour(self, price: float) -> Lifetime:
        return lambda key, now, _last: self._until(now, self.reads[key], self.rates[key], price)

    def _until(self, now: float, reads: float, rate: float, price: float) -> float:
        """From cell to cell of the day in which there are changes, until a stale read costs too much."""
        ttl = danger = stale = 0.0
        ahead = sorted(((start - now) % DAY, factor) for start, factor in self.hours)
        for day in range(LONGEST):
            for after, factor in ahead:
                stale += reads * -math.expm1(-danger) * (day * DAY + after - ttl)
                ttl = day * DAY + after
                steps = max(1, min(20, int(factor * rate * WIDTH / 0.02) + 1))
                for _ in range(steps):
                    old = -math.expm1(-danger - factor * rate * WIDTH / steps / 2)
                    if price * reads * old * (ttl + 1 / reads) >= 1 + price * stale:
                        return ttl
                    danger += factor * rate * WIDTH / steps
                    stale += reads * old * WIDTH / steps
                    ttl += WIDTH / steps
        return ttl

    def misses(self, lifetimes: Callable[[float], Lifetime], stale_share: float) -> float:
        """The miss ratio at the least price that keeps to ``stale_share``."""
        low, high, found = 0.0, math.log(1e5), 1.0
        for _ in range(STEPS):
            middle = (low + high) / 2
            stale, misses = self._replayed(lifetimes(math.exp(middle)))
            if stale > stale_share:
                low = middle
            else:
                high, found = middle, misses
        return found

    def _replayed(self, lifetime: Lifetime) -> tuple[float, float]:
        stale = misses = 0
        kept: dict[str, tuple[float, int]] = {}
        for now, key in self.order:
            times = self.changes[key]
            version = bisect_right(times, now)
            expires, held = kept.get(key, (now, -1))
            if now < expires:
                stale += version != held
            else:
                misses += 1
                kept[key] = now + lifetime(key, now, times[version - 1]), version
        return stale / len(self.order), misses / len(self.order)


def main() -> int:
    """Print the bounds. There is nothing here that could fall short."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reads", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args()
    cases = {name: made(gap, seed=100 + options.seed) for name, gap in PROCESSES.items()}
    cases |= {name: one for name, one in histories(options.seed).items() if name != "releases"}
    if documents := recorded():
        cases["recorded"] = documents
    for name, changes in cases.items():
        order = reads_of(changes, options.reads, 102 + options.seed)
        oracle = Oracle(order, changes)
        kinds = {"rates": oracle.by_rates, "rates and ages": oracle.by_age}
        if name in ("working hours", "nightly batch"):
            kinds["rates and hours"] = oracle.by_hour
        for cap in (0.01, 0.05):
            fixed = fixed_miss_ratio(order, changes, cap, steps=12)
            for kind, lifetimes in kinds.items():
                ratio = oracle.misses(lifetimes, cap) / fixed
                told(f"{name}, {cap:.0%} stale: misses over the best fixed TTL's, told {kind}", ratio)
    return 0


if __name__ == "__main__":
    sys.exit(main())
