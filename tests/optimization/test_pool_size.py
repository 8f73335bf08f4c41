"""Larger pools: proposed where work waits, within bounds, and tried in a real runtime by the engine."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import anyio.to_thread
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmw import PerfMiddleware, Settings
from perfmw.contracts import ResourceOptimizationRequest, RuntimeSnapshot
from perfmw.contracts.resources import PoolSample
from perfmw.optimization import PoolSizeOptimizer
from perfmw.optimization.pool_size import GROWTH, MOST
from perfmw.resources.sampler import ResourceSampler
from perfmw.testing import Client


def pool(used: float, capacity: float, waiting: int, *, resizable: bool = True) -> PoolSample:
    return PoolSample("orders", "connections", capacity, used, None, waiting=waiting, resizable=resizable)


def proposed(*pools: PoolSample) -> list[dict[str, Any]]:
    snapshot = RuntimeSnapshot(taken_at=0.0, window_seconds=60.0, pools=pools)
    return [dict(one.parameters) for one in PoolSizeOptimizer().propose(snapshot)]


def test_a_full_pool_that_is_waited_for_gets_room_for_those_who_wait() -> None:
    assert proposed(pool(10, 10, 3)) == [{"option": "pool:orders", "value": 19, "before": 10}]
    assert proposed(pool(10, 10, 90)) == [{"option": "pool:orders", "value": 20, "before": 10}]


def test_other_pools_are_left_as_they_are_and_it_says_why() -> None:
    calm, fixed = pool(3, 10, 0), pool(10, 10, 5, resizable=False)
    assert proposed(calm, fixed) == []
    snapshot = RuntimeSnapshot(taken_at=0.0, window_seconds=60.0, pools=[calm, fixed])
    assert [one.missing for one in PoolSizeOptimizer().explain(snapshot)] == [
        "orders: 3 of 10 connections are used, 0 wait"
    ]


def test_a_lull_at_the_last_sample_hides_nobody_who_waited_before() -> None:
    class Waves:
        name = "orders"

        def __init__(self) -> None:
            self.samples = iter([pool(5, 5, 9), pool(10, 10, 3), pool(10, 10, 7), pool(2, 10, 0)])

        def sample(self, now: float) -> PoolSample:
            return next(self.samples)

    sampler = ResourceSampler([Waves()])
    for now in range(4):
        last = sampler.sample(float(now))
    snapshot = RuntimeSnapshot(0.0, 60.0, pools=last, busiest_pools=sampler.busiest())
    assert [dict(one.parameters) for one in PoolSizeOptimizer().propose(snapshot)] == [
        {"option": "pool:orders", "value": 20, "before": 10}
    ]


@given(st.floats(0, 1000), st.floats(1, 1000), st.integers(0, 10_000))
def test_it_stays_within_bounds(used: float, capacity: float, waiting: int) -> None:
    for one in proposed(pool(used, capacity, waiting)):
        assert capacity < one["value"] <= min(GROWTH * capacity + 1, MOST)
        assert one["before"] == capacity


@pytest.mark.anyio
async def test_an_allocation_tries_more_threads_and_keeps_them_if_requests_become_faster() -> None:
    limiter = anyio.to_thread.current_default_thread_limiter()
    before, limiter.total_tokens = limiter.total_tokens, 4

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await anyio.to_thread.run_sync(time.sleep, 0.02)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    site = PerfMiddleware(app, Settings(optimization_level="advanced"))
    going = True

    async def ask() -> None:
        client = Client(site)
        while going:
            await client.post("/work")

    tasks = [asyncio.create_task(ask()) for _ in range(12)]
    try:
        await site.runtime.start()
        await asyncio.sleep(0.3)
        site.runtime.tick(time.time())
        system = site.runtime.rounds.resources
        request = ResourceOptimizationRequest(goals=("latency",), blocks=8, block_seconds=0.3)
        result = await system.optimize_resource_allocation(system.managers()[0].id, request)
        tried = [one for one in site.runtime.ledger.entries() if one.opportunity.type == "pool_size"]
        *steps, end = [one.kind for one in tried]
        assert steps == ["proposed", "applied", "measured"]
        assert tried[0].opportunity.parameters["option"] == "pool:anyio-threads"
        assert end in ("kept", "rolled_back")  # which, is for the measurement on this machine
        assert limiter.total_tokens == (8 if end == "kept" else 4)
        assert result.optimizations_applied == (end == "kept")
        advice = next(one for one in result.proposals if one.pool == "anyio-threads")
        assert not advice.restart
    finally:
        going = False
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks)
        await site.runtime.stop()
        limiter.total_tokens = before
