"""Resource managers: pools, allocation, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ResourceScope = Literal["global", "application", "component", "user"]


@dataclass(slots=True)
class PoolSample:
    """One reading of a pool. ``utilization`` is used/capacity, 0..1; ``wait_seconds`` queueing time.

    ``unit`` names what capacity and used count: ``cores``, ``bytes``, ``bytes/s``, ``connections``.
    ``saturation``: work that waits or is lost, as a share, 0..1. ``waiting``: how many wait at the moment;
    ``errors``: how often something was lost or given up since the start; None where nobody counts.
    """

    name: str
    unit: str
    capacity: float | None
    used: float
    utilization: float | None
    saturation: float | None = None
    wait_seconds: float | None = None
    sampled_at: float = 0.0
    waiting: int | None = None
    errors: int | None = None


@dataclass(slots=True)
class ResourcePools:
    cpu: PoolSample | None = None
    memory: PoolSample | None = None
    storage: PoolSample | None = None
    network: PoolSample | None = None
    database: PoolSample | None = None
    other: Mapping[str, PoolSample] = field(default_factory=dict)


@dataclass(slots=True)
class AllocationStrategy:
    name: Literal["fair", "priority", "weighted", "reserve"]
    pool: str
    parameters: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class ResourcePriority:
    name: str
    weight: float


@dataclass(slots=True)
class ResourceLimit:
    pool: str
    limit: float


@dataclass(slots=True)
class ResourceQuota:
    """``limit`` operations per ``window`` seconds, with ``burst`` beyond it."""

    name: str
    limit: float
    window: float
    burst: float = 0.0


@dataclass(slots=True)
class ResourceAllocation:
    strategies: list[AllocationStrategy] = field(default_factory=list)
    priorities: list[ResourcePriority] = field(default_factory=list)
    limits: list[ResourceLimit] = field(default_factory=list)
    quotas: list[ResourceQuota] = field(default_factory=list)


@dataclass(slots=True)
class ResourceMonitoring:
    utilization_tracking: bool = True
    bottleneck_detection: bool = True
    predictive_scaling: bool = False
    cost_optimization: bool = False


@dataclass(slots=True)
class ResourceManagerMetrics:
    """``efficiency`` 0..1; utilisation and waste by pool, 0..1; costs per hour in the price table's money."""

    efficiency: float | None = None
    utilization: Mapping[str, float] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    waste: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class ResourceManagerMetadata:
    created_at: float
    last_optimized: float
    auto_optimization: bool = False


@dataclass(slots=True)
class ResourceManager:
    id: str
    name: str
    scope: ResourceScope
    pools: ResourcePools
    allocation: ResourceAllocation
    monitoring: ResourceMonitoring
    metrics: ResourceManagerMetrics
    metadata: ResourceManagerMetadata
