"""Resources: what can run out, sampled through psutil and by plugins' pools."""

from perfmw.resources.clients import HttpClientPool, HttpClientPools
from perfmw.resources.concurrency import ConcurrencyLimiter, Priority
from perfmw.resources.efficiency import efficiency, pool_efficiency
from perfmw.resources.forecast import Forecaster
from perfmw.resources.manager import ResourceManagementSystem
from perfmw.resources.pools import CpuPool, MemoryPool, NetworkPool, StoragePool, builtin_pools
from perfmw.resources.process import ProcessUsage
from perfmw.resources.sampler import ResourceSampler

__all__ = [
    "ConcurrencyLimiter",
    "CpuPool",
    "Forecaster",
    "HttpClientPool",
    "HttpClientPools",
    "MemoryPool",
    "NetworkPool",
    "Priority",
    "ProcessUsage",
    "ResourceManagementSystem",
    "ResourceSampler",
    "StoragePool",
    "builtin_pools",
    "efficiency",
    "pool_efficiency",
]
