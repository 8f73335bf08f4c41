"""What to prepare for load that is foreseen: a warm cache, larger pools, more workers. Pure.

What is prepared can not be tried beforehand: the load that it is for is not there yet. So it is done within
bounds, written down, and undone when the load has passed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perfmw.contracts import (
    Controls,
    OptimizationOpportunity,
    OptimizationRecommendation,
    RuntimeSnapshot,
)
from perfmw.optimization.host import EVERYTHING

RISE = 1.3
"""How many times today's rate must be expected."""
MOST = 2.0
"""No pool is made larger than this many times what it was."""
BUSY = 0.8
"""The share of a pool that may be in use."""


@dataclass(frozen=True, slots=True)
class Due:
    """Requests a second: ``rate`` today, ``expected`` in ``horizon`` seconds."""

    rate: float
    expected: float
    horizon: float

    @property
    def factor(self) -> float:
        return self.expected / max(self.rate, 1e-9)

    def __str__(self) -> str:
        hours = f"{self.horizon / 3600:.0f} h"
        return f"{self.expected:.3g} requests a second are expected in {hours}, {self.rate:.3g} come now"


def load_due(forecast: Mapping[str, Any]) -> Due | None:
    """The load that a snapshot's ``forecast`` foresees; None where it is no more than now, or not known."""
    rate, expected, interval = (forecast.get(name) for name in ("rate", "expected", "interval"))
    if rate is None or expected is None or interval is None:
        return None
    due = Due(float(rate), float(expected), float(forecast.get("horizon", 3600.0)))
    return due if due.expected >= 1.0 and due.factor >= RISE and interval[0] > due.rate else None


class ForecastOptimizer:
    """Prepares for load that is due. Proposes nothing to try: what it does is for later."""

    name = "forecast"

    def propose(self, snapshot: RuntimeSnapshot) -> Sequence[OptimizationOpportunity]:
        """Nothing."""
        return ()

    def prepare(self, snapshot: RuntimeSnapshot, resizable: Collection[str]) -> list[OptimizationOpportunity]:
        """What to do now for the load that is due; ``resizable`` names pools that can be made larger."""
        due = load_due(snapshot.forecast)
        if due is None:
            return []
        return [_warm_up(due), *_larger_pools(due, snapshot, resizable)]

    def recommend(
        self, snapshot: RuntimeSnapshot, target: str | None = None
    ) -> list[OptimizationRecommendation]:
        """How many workers the load takes, if that is more than there are."""
        due, advice = load_due(snapshot.forecast), snapshot.forecast.get("advice")
        if due is None or target is not None or not advice or advice["wanted"] <= advice["current"]:
            return []
        wanted = int(advice["wanted"])
        return [
            OptimizationRecommendation(
                f"Have {wanted} workers within {due.horizon / 3600:.0f} h instead of {advice['current']}",
                f"{due}: {advice['reason']}. No time saved is estimated: nobody waits for that load yet.",
                f"perfmw run app:app --workers {wanted}",
                type="scale",
            )
        ]

    def apply(self, opportunity: OptimizationOpportunity, controls: Controls) -> None:
        """Raises ValueError for parameters that are not an option's, or an option that is not there."""
        option, value = opportunity.parameters.get("option"), opportunity.parameters.get("value")
        if not isinstance(option, str) or value is None:
            raise ValueError(f"{opportunity.id}: not the parameters of an option")
        controls.set_option(option, value)

    def revert(self, opportunity: OptimizationOpportunity, controls: Controls) -> None:
        """A warm-up is not undone: what it fetched grows old by itself."""
        if "before" in opportunity.parameters:
            controls.set_option(opportunity.parameters["option"], opportunity.parameters["before"])


def _warm_up(due: Due) -> OptimizationOpportunity:
    return OptimizationOpportunity(
        "forecast:warm_up",
        "warm_up",
        EVERYTHING,
        "Warm the cache up with what was asked for most",
        ForecastOptimizer.name,
        {"option": "warm_up", "value": ["hottest"]},
        {"rate": due.rate, "expected": due.expected, "horizon": due.horizon},
        toggles=False,
    )


def _larger_pools(
    due: Due, snapshot: RuntimeSnapshot, resizable: Collection[str]
) -> Iterator[OptimizationOpportunity]:
    for pool in snapshot.pools:
        if pool.name not in resizable or not pool.capacity:
            continue
        needed = pool.used * due.factor / BUSY
        wanted = math.ceil(min(needed, MOST * pool.capacity))
        if wanted > pool.capacity:
            yield OptimizationOpportunity(
                f"forecast:pool:{pool.name}",
                "pool_size",
                EVERYTHING,
                f"Give the pool {pool.name} {wanted} {pool.unit} instead of {pool.capacity:.0f}",
                ForecastOptimizer.name,
                {"option": f"pool:{pool.name}", "value": wanted, "before": pool.capacity},
                {"used": pool.used, "rate": due.rate, "expected": due.expected, "horizon": due.horizon},
                risk="medium",
                level="advanced",
                toggles=False,
            )
