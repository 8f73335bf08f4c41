"""Larger pools where work waits for a place in one. Pure."""

from __future__ import annotations

import math
from typing import Final

from perfmw.contracts import (
    OptimizationOpportunity,
    PoolSample,
    PotentialOptimization,
    RuntimeSnapshot,
)
from perfmw.optimization.cache_route import DAY
from perfmw.optimization.host import EVERYTHING
from perfmw.optimization.option import Found, OptionOptimizer

COMFORTABLE: Final = 0.7
"""The share of a pool that may be in use."""
GROWTH: Final = 2.0
"""No change makes a pool larger than so many times what it is: what it brings justifies the next."""
MOST: Final = 200.0
"""Nor does any make it larger than that, be it threads or connections: what is behind has its bounds too."""
_FULL: Final = 0.95


class PoolSizeOptimizer(OptionOptimizer):
    """More threads or connections where requests wait for one, in pools that can be changed while running.

    Whether more at once makes them faster or only moves the queue (into the database, or to the lock of the
    interpreter) is for the trial to say: a pool is switched between both sizes on live traffic, and goes back
    unless requests became faster.
    """

    name = "pool_size"

    def _found(self, snapshot: RuntimeSnapshot) -> Found:
        for pool in snapshot.busiest_pools or snapshot.pools:
            if pool.resizable and pool.capacity:
                yield self._of(pool, pool.capacity)

    def _of(self, pool: PoolSample, capacity: float) -> OptimizationOpportunity | PotentialOptimization:
        waiting, wait = pool.waiting or 0, pool.wait_seconds or 0.0
        wanted = math.ceil(min(GROWTH * capacity, MOST, (pool.used + waiting) / COMFORTABLE))
        if (not waiting and not wait) or pool.used < _FULL * capacity or wanted <= capacity:
            why = f"{pool.used:.0f} of {capacity:.0f} {pool.unit} are used, {waiting} wait"
            return PotentialOptimization(self.name, EVERYTHING, f"{pool.name}: {why}")
        return OptimizationOpportunity(
            f"{self.name}:{pool.name}:{wanted}",
            self.name,
            EVERYTHING,
            f"Give the pool {pool.name} {wanted} {pool.unit} instead of {capacity:.0f}",
            self.name,
            {"option": f"pool:{pool.name}", "value": wanted, "before": capacity},
            {"used": pool.used, "waiting": waiting, "wait_seconds": wait},
            expected_gain=waiting / (pool.used + waiting) if waiting else 0.0,
            saved_seconds_per_day=waiting * DAY,  # by Little's law; what it brings is for the trial to say
            risk="medium",
            level="advanced",
        )
