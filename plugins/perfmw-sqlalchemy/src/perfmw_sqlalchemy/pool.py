"""Pools of database connections as a resource pool."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from perfmw import Settings, hookimpl
from perfmw.contracts import PoolSample, ResourcePool
from perfmw_sqlalchemy.sources import Reading, Source, source_of


class DatabasePool:
    """Connections in use of one or several pools, taken together.

    ``saturation``: of those who use a connection or want one, the share that waits. ``wait_seconds``: the
    mean of the waits that ended since the last sample. ``errors``: those who gave up, since the start.

    :raises TypeError: for something that is no pool of connections.
    """

    def __init__(self, name: str, pools: Iterable[Any] = ()) -> None:
        self.name = name
        self._own = [source_of(pool) for pool in pools]
        self._before: tuple[int, float] = (0, 0.0)

    def sources(self) -> Sequence[Source]:
        """What is watched at the moment."""
        return self._own

    def sample(self, now: float) -> PoolSample:
        readings = [one for one in (source.read() for source in self.sources()) if one is not None]
        used = sum(one.used for one in readings)
        waiting = sum(one.waiting for one in readings)
        capacity = _capacity(readings)
        return PoolSample(
            name=self.name,
            unit="connections",
            capacity=capacity,
            used=float(used),
            utilization=min(1.0, used / capacity) if capacity else None,
            saturation=waiting / (used + waiting) if waiting else 0.0,
            wait_seconds=self._waited(readings),
            sampled_at=now,
            waiting=waiting,
            errors=sum(one.gave_up for one in readings),
            resizable=self._resized() is not None,
            sized_by=next(iter({source.sized_by for source in self.sources()}), ""),
        )

    def resize(self, capacity: float) -> None:
        """Let so many connections be open at once, from now on; those in use stay.

        :raises ValueError: less than one, or not one pool alone that can be changed while running.
        """
        source = self._resized()
        if source is None or capacity < 1:
            raise ValueError(f"{self.name} can not have {capacity:g} connections")
        source.resize(round(capacity))

    def _resized(self) -> Source | None:
        """The one pool there is, if its size can be changed: among several nobody knows whose to change."""
        alive = [source for source in self.sources() if source.read() is not None]
        return alive[0] if len(alive) == 1 and alive[0].resizes() else None

    def _waited(self, readings: Sequence[Reading]) -> float:
        ended, seconds = sum(one.ended for one in readings), sum(one.seconds for one in readings)
        before, self._before = self._before, (ended, seconds)
        count, spent = ended - before[0], seconds - before[1]
        return spent / count if count > 0 and spent > 0.0 else 0.0


def _capacity(readings: Sequence[Reading]) -> float | None:
    known = [one.capacity for one in readings]
    if not known or None in known:
        return None
    return float(sum(one for one in known if one is not None))


class DatabasePools:
    """A plugin that watches pools under names: ``plugins=[DatabasePools(orders=engine, reports=pool)]``.

    :raises TypeError: for something that is no pool of connections.
    """

    def __init__(self, **pools: Any) -> None:
        self._pools = {name: DatabasePool(name, [pool]) for name, pool in pools.items()}

    @hookimpl
    def perfmw_register_resource_pools(self, settings: Settings) -> Mapping[str, ResourcePool]:
        return dict(self._pools)
