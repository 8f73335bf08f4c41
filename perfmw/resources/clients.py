"""Connection pools of HTTP clients: httpx, httpcore and aiohttp. None of them is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perfmw.contracts.protocols import ResourcePool
from perfmw.contracts.resources import PoolSample
from perfmw.hookspecs import hookimpl
from perfmw.settings import Settings


class HttpClientPool:
    """Connections of an ``httpx`` client (sync or async), an ``httpcore`` pool or an ``aiohttp`` session.

    ``used``: connections with a request under way. ``waiting``: requests without a connection, where the
    client tells.

    :raises TypeError: for anything else.
    """

    def __init__(self, name: str, client: Any) -> None:
        self.name = name
        self._pool = _pool_of(client)

    def sample(self, now: float) -> PoolSample:
        pool = self._pool
        capacity, used, waiting = _aiohttp(pool) if hasattr(pool, "_acquired") else _httpcore(pool)
        return PoolSample(
            name=self.name,
            unit="sockets",
            capacity=capacity,
            used=float(used),
            utilization=min(1.0, used / capacity) if capacity else None,
            saturation=waiting / (used + waiting) if waiting else 0.0,
            sampled_at=now,
            waiting=waiting,
        )


def _pool_of(client: Any) -> Any:
    transport = getattr(client, "_transport", client)
    for one in (getattr(transport, "_pool", transport), getattr(client, "connector", None)):
        if hasattr(one, "connections") or hasattr(one, "_acquired"):
            return one
    raise TypeError(f"{type(client).__name__} is no client of httpx, httpcore or aiohttp")


def _httpcore(pool: Any) -> tuple[float | None, int, int]:
    used = sum(not one.is_idle() and not one.is_closed() for one in tuple(pool.connections))
    most = getattr(pool, "_max_connections", None)
    waiting = sum(one.is_queued() for one in tuple(getattr(pool, "_requests", ())))
    return (float(most) if most and most < 1_000_000 else None), used, waiting


def _aiohttp(connector: Any) -> tuple[float | None, int, int]:
    waiting = sum(len(one) for one in getattr(connector, "_waiters", {}).values())
    return (float(connector.limit) if connector.limit else None), len(connector._acquired), waiting


class HttpClientPools:
    """A plugin that watches clients under names: ``plugins=[HttpClientPools(partner=client)]``.

    :raises TypeError: for something that is no such client.
    """

    def __init__(self, **clients: Any) -> None:
        self._pools = {name: HttpClientPool(name, client) for name, client in clients.items()}

    @hookimpl
    def perfmw_register_resource_pools(self, settings: Settings) -> Mapping[str, ResourcePool]:
        return dict(self._pools)
