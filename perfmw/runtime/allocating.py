"""What resource management needs of a runtime: routes, prices, what is limited, and the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from perfmw.contracts import OptimizationRequest, OptimizationResult, PerformanceProfile
from perfmw.contracts.resources import (
    AllocationStrategy,
    ResourceAllocation,
    ResourceLimit,
    ResourceOptimizationRequest,
    ResourcePriority,
    ResourceQuota,
)
from perfmw.resources.prices import ResourcePrices
from perfmw.runtime.economy import prices_of
from perfmw.settings.limits import PRIORITIES

if TYPE_CHECKING:
    from perfmw.runtime.runtime import Runtime

_TYPES = {
    "latency": ("pool_size", "limit", "memory_parts", "memory_max_bytes", "eviction_policy"),
    "efficiency": ("memory_parts", "eviction_policy"),
    "cost": ("cache_route", "rule_ttl", "memory_parts", "eviction_policy"),
}
"""By goal, the types of changes that the engine tries: larger pools and more memory make faster and cost,
what is cached spares computing.
"""


class Allocation:
    """An ``AllocationHost`` of one runtime."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    @property
    def prices(self) -> ResourcePrices:
        known = prices_of(self._runtime.settings)
        return ResourcePrices(known.gb_hour, known.cpu_hour, known.origin_call)

    def profiles(self) -> Sequence[PerformanceProfile]:
        return self._runtime.profiles.snapshot()

    def waste(self) -> Mapping[str, float]:
        """Memory of the cache that hardly gives a hit or is held after it was last read, and workers that the
        forecast can do without.
        """
        waste = {}
        if (idle := self._runtime.learning.tails.share) is not None:
            waste["cache-idle-ttl"] = idle
        beyond = self._beyond_the_knee()
        if beyond is not None:
            waste["cache-beyond-knee"] = beyond
        rounds = vars(self._runtime).get("rounds")
        advice = rounds.scaling.advice if rounds is not None else None
        if advice is not None and advice.current:
            waste["idle-workers"] = max(0.0, 1.0 - advice.wanted / advice.current)
        return waste

    def _beyond_the_knee(self) -> float | None:
        tuner, layer = self._runtime.learning.tuner, self._runtime.cache.memory
        if tuner is None or layer is None or not layer.max_bytes:
            return None
        enough = tuner.curves.enough("", layer.max_bytes)
        return None if enough is None else 1.0 - enough / layer.max_bytes

    def allocation(self) -> ResourceAllocation:
        """What the settings say."""
        settings = self._runtime.settings
        limits = [ResourceLimit(one.name, float(one.at_once)) for one in settings.quotas if one.at_once]
        quotas = [
            ResourceQuota(one.name, float(one.limit), one.window, float(one.burst or 0))
            for one in settings.quotas
            if one.limit is not None
        ]
        if settings.concurrency_limit == "off":
            return ResourceAllocation(limits=limits, quotas=quotas)
        bounds = settings.concurrency
        limits.append(ResourceLimit("requests", float(bounds.most)))
        shares = dict(zip(PRIORITIES, bounds.by_class, strict=True))
        return ResourceAllocation(
            strategies=[AllocationStrategy(bounds.strategy, "requests", shares)],
            priorities=[ResourcePriority(name, weight) for name, weight in shares.items()],
            limits=limits,
            quotas=quotas,
        )

    async def try_out(self, request: ResourceOptimizationRequest) -> OptimizationResult | None:
        """Raises EngineBusyError, a RuntimeError, when a run is under way."""
        runtime = self._runtime
        if not runtime.settings.optimizations_enabled:
            return None
        types = dict.fromkeys(name for goal in request.goals for name in _TYPES[goal])
        return await runtime.engine.optimize(
            OptimizationRequest(
                types=tuple(types),
                level="advanced",
                max_steps=request.max_steps,
                blocks=request.blocks,
                block_seconds=request.block_seconds,
                requested_by=request.requested_by,
            )
        )
