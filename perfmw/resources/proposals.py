"""What to change about what a pool has, for latency, cost or efficiency. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Final

from perfmw.contracts.resources import (
    Bottleneck,
    PoolSample,
    ResourceGoal,
    ResourceProposal,
)

_IDLE: Final = 0.3
"""A pool that never used more is larger than it has to be."""
_COMFORTABLE: Final = 0.7
_MOST_GROWTH: Final = 2.0
"""One change makes a pool at most so many times larger."""
_SETTLED: Final = 60
"""Samples that have to be there before something is called idle."""


def proposals(
    found: Sequence[Bottleneck],
    histories: Mapping[str, Sequence[PoolSample]],
    goals: Sequence[ResourceGoal],
    costs: Mapping[str, float],
) -> list[ResourceProposal]:
    """Larger pools where work waits (for latency), smaller ones where nothing is ever used (for cost and
    efficiency).

    :param found: from ``bottlenecks``. :param costs: of an hour of each pool's capacity, in money.
    """
    told: list[ResourceProposal] = []
    for one in found:
        samples = histories.get(one.pool) or ()
        if not samples:
            continue
        if one.saturated and "latency" in goals:
            told += _larger(one, samples[-1])
        elif len(samples) >= _SETTLED and ("cost" in goals or "efficiency" in goals):
            goal: ResourceGoal = "cost" if "cost" in goals else "efficiency"
            told += _smaller(one, samples, goal, costs.get(one.pool))
    return told


def _larger(one: Bottleneck, last: PoolSample) -> Iterator[ResourceProposal]:
    drivers = ", ".join(f"{route} ({share:.0%})" for route, share in one.routes.items())
    reason = f"{one.pool}: {one.reason}" + (f"; driven by {drivers}" if drivers else "")
    wanted = _wanted(one, last)
    if last.unit == "connections" and wanted is not None:
        snippet = _sized(last, wanted)
        restart = not last.resizable
        yield ResourceProposal(one.pool, "latency", f"{wanted} connections", reason, snippet, restart)
    elif one.pool == "anyio-threads" and wanted is not None:
        snippet = f"anyio.to_thread.current_default_thread_limiter().total_tokens = {wanted}"
        restart = not last.resizable
        yield ResourceProposal(one.pool, "latency", f"{wanted} threads", reason, snippet, restart)
    elif one.pool == "threads" and wanted is not None:
        snippet = f"loop.set_default_executor(ThreadPoolExecutor({wanted}))"
        yield ResourceProposal(one.pool, "latency", f"{wanted} threads", reason, snippet)
    elif one.pool == "event-loop":
        yield ResourceProposal(one.pool, "latency", "One more worker", reason, "perfmw run … --workers N")
    elif one.pool == "cpu":
        title = "More cores, or less work for the routes that use them"
        yield ResourceProposal(one.pool, "latency", title, reason, "perfmw optimize run")
    elif one.pool == "memory":
        title = "More memory, or smaller caches"
        yield ResourceProposal(one.pool, "latency", title, reason, "memory_max_bytes = …")
    else:
        yield ResourceProposal(one.pool, "latency", f"More of {one.pool}", reason)


def _wanted(one: Bottleneck, last: PoolSample) -> int | None:
    """Room for those who use it and those who wait, within twice what there is."""
    if last.capacity is None:
        return None
    need = ((one.utilization or 0.0) * last.capacity + one.waiting) / _COMFORTABLE
    return ceil(min(_MOST_GROWTH * last.capacity, max(last.capacity + 1, need)))


def _smaller(
    one: Bottleneck, samples: Sequence[PoolSample], goal: ResourceGoal, cost: float | None
) -> Iterator[ResourceProposal]:
    busy = [sample.utilization for sample in samples if sample.utilization is not None]
    last = samples[-1]
    if not busy or max(busy) > _IDLE or last.capacity is None:
        return
    share = max(busy) / _COMFORTABLE
    saves = None if cost is None else cost * (1.0 - share)
    reason = f"{one.pool}: never more than {max(busy):.0%} of it was used"
    if last.unit == "connections":
        enough = max(1, ceil(share * last.capacity))
        if enough < last.capacity:
            title = f"{enough} connections would do instead of {last.capacity:.0f}"
            yield ResourceProposal(one.pool, goal, title, reason, _sized(last, enough))
    elif one.pool in ("cpu", "memory"):
        enough_of = _amount(share * last.capacity, last.unit)
        title = f"{enough_of} would do instead of {_amount(last.capacity, last.unit)}"
        yield ResourceProposal(one.pool, goal, title, reason, saves=saves)


def _sized(pool: PoolSample, wanted: int) -> str:
    return (pool.sized_by or "create_engine(url, pool_size={}, max_overflow=0)").replace("{}", str(wanted))


def _amount(value: float, unit: str) -> str:
    return f"{value / 1024**3:.1f} GiB" if unit == "bytes" else f"{value:.1f} {unit}"
