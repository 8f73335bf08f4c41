"""Which pool runs out first, what that costs, and which routes drive it. Pure.

The USE method (Brendan Gregg, "Thinking Methodically about Performance", ACM Queue 10(12), 2012): for every
resource its utilisation, saturation and errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from statistics import fmean
from typing import Final

from perfmw.contracts.profiles import PerformanceProfile, ResourceUsageMetrics
from perfmw.contracts.resources import Bottleneck, PoolSample

SATURATED: Final = 0.05
"""From this mean saturation on, work waits or is lost often enough to matter."""
FULL: Final = 0.9
_BUSY: Final = 0.95
"""Of the samples, this quantile of utilisation says how near the end a pool comes."""
_ROUTES: Final = 5
_LATELY: Final = 60
"""Samples that are looked at."""

Demands = Mapping[str, Mapping[str, float]]
"""Pool -> route -> how much of it that route used, in any unit."""


def bottlenecks(
    histories: Mapping[str, Sequence[PoolSample]],
    demands: Demands | None = None,
    costs: Mapping[str, float] | None = None,
) -> list[Bottleneck]:
    """Every pool that was sampled: first the saturated ones, then who has the least headroom.

    :param histories: samples by pool, oldest first; the latest 60 count. :param costs: of an hour, by pool.
    """
    found = [
        _judge(name, samples[-_LATELY:], (demands or {}).get(name, {}), (costs or {}).get(name))
        for name, samples in histories.items()
        if samples
    ]
    return sorted(found, key=lambda one: (not one.saturated, one.headroom or float("inf"), one.pool))


def _judge(
    name: str, samples: Sequence[PoolSample], demand: Mapping[str, float], cost: float | None
) -> Bottleneck:
    busy = sorted(one.utilization for one in samples if one.utilization is not None)
    peak = busy[ceil(_BUSY * len(busy)) - 1] if busy else None
    saturation = _mean(samples, lambda one: one.saturation)
    errors = _new_errors(samples)
    saturated = (saturation or 0.0) >= SATURATED or (peak or 0.0) >= FULL or errors > 0
    found = Bottleneck(
        pool=name,
        utilization=fmean(busy) if busy else None,
        saturation=saturation,
        errors=errors,
        wait_seconds=_mean(samples, lambda one: one.wait_seconds),
        waiting=_mean(samples, lambda one: one.waiting) or 0.0,
        headroom=1.0 / peak if peak else None,
        saturated=saturated,
        routes=_shares(demand),
        cost=cost,
    )
    found.reason = _reason(found)
    return found


def _mean(samples: Sequence[PoolSample], of: Callable[[PoolSample], float | None]) -> float | None:
    known = [value for value in map(of, samples) if value is not None]
    return fmean(known) if known else None


def _new_errors(samples: Sequence[PoolSample]) -> int:
    known = [one.errors for one in samples if one.errors is not None]
    return max(0, known[-1] - known[0]) if known else 0


def _shares(demand: Mapping[str, float]) -> dict[str, float]:
    total = sum(demand.values())
    first = sorted(demand.items(), key=lambda item: -item[1])[:_ROUTES]
    return {route: used / total for route, used in first} if total > 0.0 else {}


def _reason(found: Bottleneck) -> str:
    parts = []
    if found.utilization is not None:
        parts.append(f"{found.utilization:.0%} used")
    if found.waiting:
        parts.append(f"{found.waiting:.1f} wait on average")
    elif found.saturation and found.saturation >= SATURATED:
        parts.append(f"{found.saturation:.0%} saturated")
    if found.errors:
        parts.append(f"{found.errors} gave up")
    if not found.saturated and found.headroom is not None:
        parts.append(f"{found.headroom:.1f} times the load fits")
    return ", ".join(parts) or "not known"


_DRIVES: dict[str, Callable[[ResourceUsageMetrics], float | None]] = {
    "cpu": lambda used: used.cpu_seconds,
    "event-loop": lambda used: used.cpu_seconds,
    "memory": lambda used: used.memory_bytes,
    "storage": lambda used: used.io_bytes,
    "network": lambda used: used.network_bytes,
}


_BY_TIME: Final = ("threads", "sockets", "connections")
"""Units of pools whose places are taken for as long as a request goes on."""


def demands_of(profiles: Sequence[PerformanceProfile], samples: Sequence[PoolSample]) -> Demands:
    """What routes used of the pools, as far as their sampled requests tell; pools of connections: time in
    queries. Where no sampled request tells, the time that requests took stands for what they used of
    processors, threads and connections.
    """
    drives = dict(_DRIVES)
    drives |= {one.name: _in_queries for one in samples if one.unit == "connections"}
    routes = [one for one in profiles if one.type == "component"]
    found = {name: _used(routes, drive) for name, drive in drives.items()}
    seconds = {one.name: one.metrics.latency.mean * one.metrics.latency.count for one in routes}
    for one in samples:
        if one.unit in _BY_TIME or one.name in ("cpu", "event-loop"):
            found[one.name] = found.get(one.name) or seconds
    return found


def _in_queries(used: ResourceUsageMetrics) -> float | None:
    return used.database_seconds


def _used(
    routes: Sequence[PerformanceProfile], drive: Callable[[ResourceUsageMetrics], float | None]
) -> dict[str, float]:
    known = {one.name: drive(one.metrics.resource_usage) or 0.0 for one in routes}
    return {name: float(used) for name, used in known.items() if used > 0.0}
