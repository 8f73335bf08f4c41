"""Reads all pools at once, on the runtime's timer; a pool that fails is left out, never fatal."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from perfmw.contracts.protocols import ResourcePool
from perfmw.contracts.resources import PoolSample

HISTORY: Final = 600
_LATELY: Final = 10
"""Rounds in which ``busiest`` looks."""

_log = logging.getLogger("perfmw.resources")


class ResourceSampler:
    """Samples pools and keeps the last 600 samples of each.

    :param pools: by name, or a sequence of them.
    :param merge: makes of this process's samples what is kept, such as those of all workers of the host.
    """

    def __init__(
        self,
        pools: Mapping[str, ResourcePool] | Sequence[ResourcePool],
        history: int = HISTORY,
        merge: Callable[[list[PoolSample]], list[PoolSample]] | None = None,
    ) -> None:
        named = pools if isinstance(pools, Mapping) else {pool.name: pool for pool in pools}
        self._pools = dict(named)
        self._history: dict[str, deque[PoolSample]] = {name: deque(maxlen=history) for name in self._pools}
        self._lately: deque[list[PoolSample]] = deque(maxlen=_LATELY)
        self._merge = merge
        self.kept: list[PoolSample] = []
        """The last round of samples as it was kept."""
        self.failures: dict[str, int] = {}
        """How often a pool could not be read."""

    @property
    def names(self) -> list[str]:
        return list(self._pools)

    def sample(self, now: float) -> list[PoolSample]:
        """One sample of each pool of this process that could be read; ``now`` in unix seconds."""
        found = [self._one(name, pool, now) for name, pool in self._pools.items()]
        samples = [sample for sample in found if sample is not None]
        self.kept = self._merge(samples) if self._merge is not None else samples
        for sample in self.kept:
            if sample.name in self._history:
                self._history[sample.name].append(sample)
        self._lately.append(samples)
        return samples

    def busiest(self) -> list[PoolSample]:
        """Of the last ten samples of each pool of this process, at its present size, that in which most wait.

        A moment says little: work that waits comes and goes in waves.
        """
        found: dict[str, PoolSample] = {}
        for samples in reversed(self._lately):
            for one in samples:
                best = found.setdefault(one.name, one)
                if one.capacity == best.capacity and (one.waiting or 0) > (best.waiting or 0):
                    found[one.name] = one
        return list(found.values())

    def _one(self, name: str, pool: ResourcePool, now: float) -> PoolSample | None:
        try:
            sample = pool.sample(now)
        except Exception as error:
            self.failures[name] = self.failures.get(name, 0) + 1
            if self.failures[name] == 1:
                _log.warning("resource pool %r cannot be read and is left out: %r", name, error)
            return None
        sample.name = name
        return sample

    def latest(self) -> list[PoolSample]:
        """The last sample of each pool that has one."""
        return [history[-1] for history in self._history.values() if history]

    def history(self, name: str) -> list[PoolSample]:
        """The kept samples of one pool, oldest first; empty for an unknown name."""
        return list(self._history.get(name, ()))
