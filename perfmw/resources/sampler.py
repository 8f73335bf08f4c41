"""Reads all pools at once, on the runtime's timer; a pool that fails is left out, never fatal."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from perfmw.contracts.protocols import ResourcePool
from perfmw.contracts.resources import PoolSample

HISTORY: Final = 600

_log = logging.getLogger("perfmw.resources")


class ResourceSampler:
    """Samples pools and keeps the last 600 samples of each. ``pools`` by name, or a sequence of them."""

    def __init__(
        self, pools: Mapping[str, ResourcePool] | Sequence[ResourcePool], history: int = HISTORY
    ) -> None:
        named = pools if isinstance(pools, Mapping) else {pool.name: pool for pool in pools}
        self._pools = dict(named)
        self._history: dict[str, deque[PoolSample]] = {name: deque(maxlen=history) for name in self._pools}
        self.failures: dict[str, int] = {}
        """How often a pool could not be read."""

    @property
    def names(self) -> list[str]:
        return list(self._pools)

    def sample(self, now: float) -> list[PoolSample]:
        """One sample of each pool that could be read; ``now`` in unix seconds."""
        samples = [self._one(name, pool, now) for name, pool in self._pools.items()]
        return [sample for sample in samples if sample is not None]

    def _one(self, name: str, pool: ResourcePool, now: float) -> PoolSample | None:
        try:
            sample = pool.sample(now)
        except Exception as error:
            self.failures[name] = self.failures.get(name, 0) + 1
            if self.failures[name] == 1:
                _log.warning("resource pool %r cannot be read and is left out: %r", name, error)
            return None
        sample.name = name
        self._history[name].append(sample)
        return sample

    def latest(self) -> list[PoolSample]:
        """The last sample of each pool that has one."""
        return [history[-1] for history in self._history.values() if history]

    def history(self, name: str) -> list[PoolSample]:
        """The kept samples of one pool, oldest first; empty for an unknown name."""
        return list(self._history.get(name, ()))
