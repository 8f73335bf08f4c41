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
    ``resizable``: whether the capacity can be changed at present, while running; ``sized_by``: the code that
    sets it where the pool is made, with {} for the number.
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
    resizable: bool = False
    sized_by: str = ""


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
    """``limit`` operations per ``window`` seconds; with a ``burst`` evenly, and that many at once."""

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
class Bottleneck:
    """How near a pool is to its end, by the USE method: utilisation, saturation, errors.

    ``headroom``: how many times the present load fits, None where the capacity is not known; the pool with
    the least runs out first. ``waiting``: requests that wait for it on average, which is also the seconds of
    waiting that it costs in each second (Little's law). ``errors``: new ones in the time that was looked at.
    ``saturated``: work waits or is lost already. ``routes``: who drives it, with shares of what is known,
    0..1. ``cost``: of an hour of what it has, None without a price.
    """

    pool: str
    utilization: float | None
    saturation: float | None
    errors: int
    wait_seconds: float | None
    waiting: float
    headroom: float | None
    saturated: bool
    routes: Mapping[str, float] = field(default_factory=dict)
    cost: float | None = None
    reason: str = ""


ResourceGoal = Literal["latency", "cost", "efficiency"]


@dataclass(slots=True)
class ResourceOptimizationRequest:
    """What an allocation is to be better at, and how far it may go.

    ``apply``: try what can be changed while running, in an experiment, and keep what proves itself; else only
    propose. ``max_steps``, ``blocks``, ``block_seconds`` size the experiment.
    """

    goals: tuple[ResourceGoal, ...] = ("latency", "cost", "efficiency")
    apply: bool = True
    max_steps: int = 3
    blocks: int = 8
    block_seconds: float = 10.0
    requested_by: str = "user"


@dataclass(slots=True)
class ResourceProposal:
    """A change of what a pool has. ``restart``: it is advice, since only a restart can make it.

    ``snippet``: what to paste. ``saves``: of an hour of it, in money; None without a price.
    """

    pool: str
    goal: ResourceGoal
    title: str
    reason: str
    snippet: str = ""
    restart: bool = True
    saves: float | None = None


@dataclass(slots=True)
class ResourceOptimizationResult:
    """What came of an allocation. What is not known because nothing was measured is None.

    ``resources_saved``: bytes of memory that kept changes gave back, negative where they took some.
    ``performance_improvement``: the relative change in mean latency, 0.3 = 30% faster.
    ``cost_savings``: money an hour: computing and origin calls spared, less memory taken.
    ``optimizations_applied``: changes that were tried, measured and kept; the ledger has each.
    """

    manager_id: str
    optimizations_applied: int = 0
    resources_saved: float | None = None
    performance_improvement: float | None = None
    cost_savings: float | None = None
    bottlenecks: list[Bottleneck] = field(default_factory=list)
    proposals: list[ResourceProposal] = field(default_factory=list)
    ledger_entries: list[str] = field(default_factory=list)


@dataclass(slots=True)
class ResourceManagerMetrics:
    """``efficiency`` 0..1; utilisation and waste by pool, 0..1; costs per hour in the settings' money.

    ``waste``: the share of a pool that not even its busiest sample used; ``cache-beyond-knee``: of the memory
    of the shared cache, what hardly gives a hit; ``cache-idle-ttl``: of the memory that pages took over time,
    what was held after their last read; ``idle-workers``: of the workers, what the forecast can do
    without. ``costs``: of the capacity of pools that have a price. ``bottlenecks``: the one that runs out
    first at the head.
    """

    efficiency: float | None = None
    utilization: Mapping[str, float] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    waste: Mapping[str, float] = field(default_factory=dict)
    bottlenecks: list[Bottleneck] = field(default_factory=list)


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
