"""Resource managers: a named view on pools, with what they show over time."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, get_args

from perfmw.contracts.profiles import OptimizationResult, PerformanceProfile
from perfmw.contracts.resources import (
    Bottleneck,
    PoolSample,
    ResourceAllocation,
    ResourceGoal,
    ResourceManager,
    ResourceManagerMetadata,
    ResourceManagerMetrics,
    ResourceMonitoring,
    ResourceOptimizationRequest,
    ResourceOptimizationResult,
    ResourcePools,
    ResourceProposal,
    ResourceScope,
)
from perfmw.resources.bottlenecks import bottlenecks, demands_of
from perfmw.resources.efficiency import efficiency
from perfmw.resources.outcome import outcome
from perfmw.resources.prices import ResourcePrices, hourly_costs
from perfmw.resources.proposals import proposals
from perfmw.resources.sampler import ResourceSampler

_NAMED = ("cpu", "memory", "storage", "network", "database")


class AllocationHost(Protocol):
    """What a management system needs of the process it runs in."""

    @property
    def prices(self) -> ResourcePrices: ...

    def allocation(self) -> ResourceAllocation:
        """What the settings limit, and for whom."""

    def waste(self) -> Mapping[str, float]:
        """Shares, 0..1, of what is held and not used, beside the pools."""

    def profiles(self) -> Sequence[PerformanceProfile]:
        """What routes used, to tell who drives a pool."""

    async def try_out(self, request: ResourceOptimizationRequest) -> OptimizationResult | None:
        """Try what can be changed while running, by experiment and ledger; None where that is off."""


@dataclass(frozen=True, slots=True)
class ManagerRecord:
    """That a manager was made, or with ``gone`` removed, at unix time ``at``, for the other workers."""

    name: str
    scope: ResourceScope
    pools: tuple[str, ...]
    at: float
    gone: bool = False

    @property
    def id(self) -> str:
        return hashlib.sha256(f"{self.scope}\0{self.name}".encode()).hexdigest()[:16]


_MOST_RECORDS: Final = 200


class ResourceManagementSystem:
    """Keeps resource managers over the pools of one sampler; the first, ``host``, covers them all.

    :param host: who tries changes, and knows routes and prices; without one there are only proposals.
    """

    def __init__(
        self,
        sampler: ResourceSampler,
        clock: Callable[[], float] = time.time,
        host: AllocationHost | None = None,
    ) -> None:
        self._sampler = sampler
        self._clock = clock
        self._host = host
        self._managers: dict[str, tuple[ResourceManager, tuple[str, ...]]] = {}
        self._records: dict[str, ManagerRecord] = {}
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
        record = ManagerRecord(name, scope, chosen, self._clock())
        return self._refresh(self._add(record, allocation or self._own_allocation()), chosen)

    def _add(self, record: ManagerRecord, allocation: ResourceAllocation) -> ResourceManager:
        manager = ResourceManager(
            id=record.id,
            name=record.name,
            scope=record.scope,
            pools=ResourcePools(),
            allocation=allocation,
            monitoring=ResourceMonitoring(predictive_scaling=True, cost_optimization=self._host is not None),
            metrics=ResourceManagerMetrics(),
            metadata=ResourceManagerMetadata(created_at=record.at, last_optimized=record.at),
        )
        self._managers[record.id] = (manager, record.pools)
        self._remember(record)
        return manager

    def _remember(self, record: ManagerRecord) -> None:
        self._records.pop(record.id, None)
        self._records[record.id] = record
        gone = [one.id for one in self._records.values() if one.gone]
        for oldest in gone[: max(0, len(self._records) - _MOST_RECORDS)]:
            del self._records[oldest]

    def records(self) -> list[ManagerRecord]:
        """What was made and removed, for the other workers."""
        return list(self._records.values())

    def take_over(self, records: Iterable[ManagerRecord]) -> None:
        """Make and remove what another worker did, where that is later than what is known here."""
        for record in records:
            known = self._records.get(record.id)
            if known is not None and known.at >= record.at:
                continue
            if record.gone:
                self._managers.pop(record.id, None)
                self._remember(record)
            elif record.id not in self._managers and set(record.pools) <= set(self._sampler.names):
                self._add(record, self._own_allocation())

    def _own_allocation(self) -> ResourceAllocation:
        return self._host.allocation() if self._host is not None else ResourceAllocation()

    def managers(self) -> list[ResourceManager]:
        """All managers, with the latest samples."""
        return [self._refresh(manager, pools) for manager, pools in self._managers.values()]

    def get(self, manager_id: str) -> ResourceManager | None:
        """One manager with the latest samples, None if there is none of that id."""
        known = self._managers.get(manager_id)
        return self._refresh(*known) if known else None

    def delete(self, manager_id: str) -> bool:
        """Remove a manager; False if there was none of that id. Its pools go on being sampled."""
        if self._managers.pop(manager_id, None) is None:
            return False
        self._remember(replace(self._records[manager_id], at=self._clock(), gone=True))
        return True

    def _refresh(self, manager: ResourceManager, pools: tuple[str, ...]) -> ResourceManager:
        samples = [sample for sample in self._sampler.latest() if sample.name in pools]
        costs = hourly_costs(samples, self._host.prices) if self._host is not None else {}
        manager.pools = _pools(samples)
        manager.metrics = ResourceManagerMetrics(
            efficiency=efficiency(samples),
            utilization={one.name: one.utilization for one in samples if one.utilization is not None},
            costs=costs,
            waste=self._waste(pools),
            bottlenecks=self._bottlenecks(pools, samples, costs),
        )
        return manager

    def _bottlenecks(
        self, pools: Iterable[str], samples: Sequence[PoolSample], costs: Mapping[str, float]
    ) -> list[Bottleneck]:
        profiles = self._host.profiles() if self._host is not None else ()
        histories = {name: self._sampler.history(name) for name in pools}
        return bottlenecks(histories, demands_of(profiles, samples), costs)

    async def optimize_resource_allocation(
        self, manager_id: str, request: ResourceOptimizationRequest | None = None
    ) -> ResourceOptimizationResult:
        """Look at what a manager's pools show, propose what would serve the goals, and try what can be tried.

        Changes of what runs are made by the engine: measured by its experiments, written to its ledger, and
        reverted unless they prove themselves. What only a restart can change is proposed.

        :raises KeyError: there is no such manager. :raises ValueError: an unknown goal.
        :raises RuntimeError: another run is under way.
        """
        request = request or ResourceOptimizationRequest()
        if unknown := sorted(set(request.goals) - set(get_args(ResourceGoal))):
            raise ValueError(f"{unknown[0]!r} is no goal; there are {', '.join(get_args(ResourceGoal))}")
        manager = self.get(manager_id)
        if manager is None:
            raise KeyError(f"no resource manager {manager_id!r}")
        metrics = manager.metrics
        histories = {one.pool: self._sampler.history(one.pool) for one in metrics.bottlenecks}
        told = proposals(metrics.bottlenecks, histories, request.goals, metrics.costs)
        tried = await self._host.try_out(request) if request.apply and self._host is not None else None
        if tried is not None:
            manager.metadata.last_optimized = self._clock()
        return self._concluded(manager, told, tried)

    def _concluded(
        self, manager: ResourceManager, told: list[ResourceProposal], tried: OptimizationResult | None
    ) -> ResourceOptimizationResult:
        result = ResourceOptimizationResult(
            manager.id, bottlenecks=manager.metrics.bottlenecks, proposals=told
        )
        if tried is not None and self._host is not None:
            outcome(result, tried, self._host.profiles(), self._host.prices)
        return result

    def _waste(self, pools: Iterable[str]) -> dict[str, float]:
        """By pool, the share of its capacity that not even the busiest kept sample used; and the host's."""
        waste = dict(self._host.waste()) if self._host is not None else {}
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
