"""Larger pools where work waits for a place in one. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from perfmw.contracts import (
    Controls,
    OptimizationOpportunity,
    PoolSample,
    PotentialOptimization,
    RuntimeSnapshot,
)
from perfmw.optimization.cache_route import DAY
from perfmw.optimization.host import EVERYTHING

COMFORTABLE: Final = 0.7
"""The share of a pool that may be in use."""
GROWTH: Final = 2.0
"""No change makes a pool larger than so many times what it is: what it brings justifies the next."""
MOST: Final = 200.0
"""Nor does any make it larger than that, be it threads or connections: what is behind has its bounds too."""
_FULL: Final = 0.95


class PoolSizeOptimizer:
    """More threads or connections where requests wait for one, in pools that can be changed while running.

    Whether more at once makes them faster or only moves the queue (into the database, or to the lock of the
    interpreter) is for the trial to say: a pool is switched between both sizes on live traffic, and goes back
    unless requests became faster.
    """

    name = "pool_size"

    def propose(self, snapshot: RuntimeSnapshot) -> Sequence[OptimizationOpportunity]:
        """Pure. The most waiting first."""
        found = [one for one in self._found(snapshot) if isinstance(one, OptimizationOpportunity)]
        return sorted(found, key=lambda one: (-one.saved_seconds_per_day, one.id))

    def explain(self, snapshot: RuntimeSnapshot) -> list[PotentialOptimization]:
        """Why a pool is left as it is."""
        return [one for one in self._found(snapshot) if isinstance(one, PotentialOptimization)]

    def apply(self, opportunity: OptimizationOpportunity, controls: Controls) -> None:
        """Raises ValueError for a pool that is not there, or a capacity that it does not take."""
        controls.set_option(str(opportunity.parameters.get("option")), opportunity.parameters.get("value"))

    def revert(self, opportunity: OptimizationOpportunity, controls: Controls) -> None:
        controls.set_option(str(opportunity.parameters.get("option")), opportunity.parameters.get("before"))

    def _found(self, snapshot: RuntimeSnapshot) -> Iterator[OptimizationOpportunity | PotentialOptimization]:
        for pool in snapshot.pools:
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
