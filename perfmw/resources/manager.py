"""Resource managers: a named view on pools, with what they show over time."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence

from perfmw.contracts.resources import (
    PoolSample,
    ResourceAllocation,
    ResourceManager,
    ResourceManagerMetadata,
    ResourceManagerMetrics,
    ResourceMonitoring,
    ResourcePools,
    ResourceScope,
)
from perfmw.resources.efficiency import efficiency
from perfmw.resources.sampler import ResourceSampler

_NAMED = ("cpu", "memory", "storage", "network", "database")


class ResourceManagementSystem:
    """Keeps resource managers over the pools of one sampler; the first, ``host``, covers them all."""

    def __init__(self, sampler: ResourceSampler, clock: Callable[[], float] = time.time) -> None:
        self._sampler = sampler
        self._clock = clock
        self._managers: dict[str, tuple[ResourceManager, tuple[str, ...]]] = {}
        self.create("host", "global")

    def create(
        self,
        name: str,
        scope: ResourceScope = "application",
        pools: Sequence[str] | None = None,
        allocation: ResourceAllocation | None = None,
    ) -> ResourceManager:
        """Add a manager over the named pools, all of them by default.

        :raises ValueError: the name is taken, or a pool does not exist.
        """
        if any(manager.name == name for manager, _ in self._managers.values()):
            raise ValueError(f"there is a resource manager named {name!r} already")
        chosen = tuple(self._sampler.names if pools is None else pools)
        unknown = sorted(set(chosen) - set(self._sampler.names))
        if unknown:
            known = ", ".join(self._sampler.names)
            raise ValueError(f"no resource pool named {', '.join(unknown)}; there are {known}")
        manager = self._new(name, scope, allocation or ResourceAllocation())
        self._managers[manager.id] = (manager, chosen)
        return self._refresh(manager, chosen)

    def _new(self, name: str, scope: ResourceScope, allocation: ResourceAllocation) -> ResourceManager:
        now = self._clock()
        return ResourceManager(
            id=hashlib.sha256(f"{scope}\0{name}".encode()).hexdigest()[:16],
            name=name,
            scope=scope,
            pools=ResourcePools(),
            allocation=allocation,
            monitoring=ResourceMonitoring(bottleneck_detection=False),
            metrics=ResourceManagerMetrics(),
            metadata=ResourceManagerMetadata(created_at=now, last_optimized=now),
        )

    def managers(self) -> list[ResourceManager]:
        """All managers, with the latest samples."""
        return [self._refresh(manager, pools) for manager, pools in self._managers.values()]

    def get(self, manager_id: str) -> ResourceManager | None:
        """One manager with the latest samples, None if there is none of that id."""
        known = self._managers.get(manager_id)
        return self._refresh(*known) if known else None

    def delete(self, manager_id: str) -> bool:
        """Remove a manager; False if there was none of that id. Its pools go on being sampled."""
        return self._managers.pop(manager_id, None) is not None

    def _refresh(self, manager: ResourceManager, pools: tuple[str, ...]) -> ResourceManager:
        samples = [sample for sample in self._sampler.latest() if sample.name in pools]
        manager.pools = _pools(samples)
        manager.metrics = ResourceManagerMetrics(
            efficiency=efficiency(samples),
            utilization={one.name: one.utilization for one in samples if one.utilization is not None},
            waste=self._waste(pools),
        )
        return manager

    def _waste(self, pools: Iterable[str]) -> dict[str, float]:
        """By pool, the share of its capacity that not even the busiest kept sample used."""
        waste: dict[str, float] = {}
        for name in pools:
            seen = [one.utilization for one in self._sampler.history(name) if one.utilization is not None]
            if seen:
                waste[name] = 1.0 - max(seen)
        return waste


def _pools(samples: Iterable[PoolSample]) -> ResourcePools:
    pools = ResourcePools()
    other: dict[str, PoolSample] = {}
    for sample in samples:
        if sample.name in _NAMED:
            setattr(pools, sample.name, sample)
        else:
            other[sample.name] = sample
    pools.other = other
    return pools
