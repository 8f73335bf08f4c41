"""Bottlenecks, proposals, costs, and what an allocation comes to."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from perfmw import PerfMiddleware, Settings
from perfmw.contracts import (
    AppliedOptimization,
    Measurement,
    OptimizationResult,
    OptimizationStepResult,
    PerformanceProfile,
    ResourceOptimizationRequest,
    ScaleAdvice,
)
from perfmw.contracts.resources import PoolSample, ResourceGoal, ResourceOptimizationResult
from perfmw.profiles import ProfileStore
from perfmw.resources import ResourceManagementSystem, ResourceSampler
from perfmw.resources.bottlenecks import bottlenecks, demands_of
from perfmw.resources.outcome import outcome
from perfmw.resources.prices import ResourcePrices, hourly_costs, worth_of
from perfmw.resources.proposals import proposals
from perfmw.settings import Concurrency, Quota
from perfmw.testing import Client

GIB = 1024**3
GOALS: tuple[ResourceGoal, ...] = ("latency", "cost", "efficiency")


def of(name: str, used: float, capacity: float, unit: str = "cores", **more: Any) -> PoolSample:
    return PoolSample(name, unit, capacity, used, used / capacity, **more)


def profiles() -> list[PerformanceProfile]:
    store = ProfileStore()
    for name, seconds in (("GET /a", 0.3), ("GET /b", 0.1)):
        recorder = store.recorder(name)
        for _ in range(10):
            recorder.origin(seconds, 200, "uri-miss")
    found = [one for one in store.snapshot() if one.type == "component"]
    for profile, cpu in zip(sorted(found, key=lambda one: one.name), (3.0, 1.0), strict=True):
        profile.metrics.resource_usage.cpu_seconds = cpu
        profile.metrics.resource_usage.database_seconds = 4.0 - cpu
        profile.metrics.throughput.per_second = 1.0
    return found


def test_the_pool_with_the_least_headroom_is_first_and_names_who_drives_it() -> None:
    samples = {
        "network": [of("network", 10, 100, "bytes/s")] * 5,
        "cpu": [of("cpu", 3, 4)] * 5,
        "orders": [of("orders", 2, 10, "connections", waiting=0, errors=0)] * 5,
    }
    found = bottlenecks(samples, demands_of(profiles(), [one[0] for one in samples.values()]), {"cpu": 0.16})
    assert [one.pool for one in found] == ["cpu", "orders", "network"]
    cpu, orders, _ = found
    assert cpu.headroom == pytest.approx(4 / 3)
    assert not cpu.saturated
    assert cpu.routes == {"GET /a": 0.75, "GET /b": 0.25}
    assert orders.routes == {"GET /b": 0.75, "GET /a": 0.25}
    assert (cpu.cost, orders.cost) == (0.16, None)
    assert cpu.reason == "75% used, 1.3 times the load fits"


def test_where_no_request_was_sampled_the_time_of_requests_tells_who_drives_a_pool() -> None:
    seen = profiles()
    for one in seen:
        one.metrics.resource_usage.cpu_seconds = one.metrics.resource_usage.database_seconds = None
    samples = [
        of("cpu", 3, 4),
        of("anyio-threads", 4, 4, "threads"),
        of("orders", 2, 10, "connections"),
        of("network", 1, 9, "bytes/s"),
    ]
    found = {
        one.pool: one for one in bottlenecks({one.name: [one] for one in samples}, demands_of(seen, samples))
    }
    for name in ("cpu", "anyio-threads", "orders"):
        assert found[name].routes == {"GET /a": pytest.approx(0.75), "GET /b": pytest.approx(0.25)}
    assert found["network"].routes == {}


def test_who_waits_or_gives_up_makes_a_pool_the_bottleneck_however_much_is_free_elsewhere() -> None:
    waits = [
        of("orders", 5, 10, "connections", saturation=0.1, wait_seconds=0.2, waiting=2, errors=number)
        for number in range(4)
    ]
    found = bottlenecks({"cpu": [of("cpu", 3.5, 4)] * 4, "orders": waits})
    assert [one.pool for one in found] == ["orders", "cpu"]
    assert (found[0].waiting, found[0].errors, found[0].saturated) == (2.0, 3, True)
    assert found[0].wait_seconds == pytest.approx(0.2)
    assert found[0].reason == "50% used, 2.0 wait on average, 3 gave up"


def test_nothing_is_judged_without_samples() -> None:
    assert bottlenecks({"cpu": []}) == []


def test_a_pool_that_makes_wait_is_to_be_larger_within_twice_what_it_is() -> None:
    samples = [of("orders", 10, 10, "connections", saturation=0.9, waiting=90, errors=0)] * 5
    histories = {"orders": samples}
    [told] = proposals(bottlenecks(histories), histories, GOALS, {})
    assert (told.pool, told.goal, told.restart) == ("orders", "latency", True)
    assert told.snippet == "create_engine(url, pool_size=20, max_overflow=0)"
    assert proposals(bottlenecks(histories), histories, ("cost",), {}) == []


def test_what_is_never_used_is_to_be_smaller_and_says_what_that_saves() -> None:
    idle = {"cpu": [of("cpu", 0.7, 7)] * 60, "orders": [of("orders", 2, 20, "connections")] * 60}
    told = {one.pool: one for one in proposals(bottlenecks(idle), idle, ("cost",), {"cpu": 0.28})}
    assert told["cpu"].saves == pytest.approx(0.28 * (1 - 0.1 / 0.7))
    assert told["orders"].title == "3 connections would do instead of 20"
    short = {"cpu": idle["cpu"][:10]}
    assert proposals(bottlenecks(short), short, ("cost",), {}) == []


def test_costs_and_what_is_spared_are_money_an_hour() -> None:
    prices = ResourcePrices(gb_hour=0.005, cpu_hour=0.04, origin_call=0.001)
    samples = [of("cpu", 1, 4), of("memory", GIB, 8 * GIB, "bytes"), of("network", 1, 2)]
    assert hourly_costs(samples, prices) == pytest.approx({"cpu": 0.16, "memory": 0.04})
    worth = worth_of(prices, cpu_seconds=1800.0, origin_calls=100.0, memory_bytes=2 * GIB)
    assert worth == pytest.approx(0.02 + 0.1 - 0.01)


def test_what_was_kept_is_added_up_from_what_was_measured() -> None:
    before = Measurement(requests=100, mean=0.2, origin_calls=100)
    after = Measurement(requests=100, mean=0.1, origin_calls=50)
    step = OptimizationStepResult("memory:2", True, verdict="kept", before=before, after=after)
    parameters = {"option": "memory_max_bytes", "before": GIB, "value": 2 * GIB}
    kept = AppliedOptimization("memory:2", "memory_max_bytes", "all", parameters, 1.0, step)
    tried = OptimizationResult("all", 9.0, 1, 1, 0.5, [kept], None, [])
    result = ResourceOptimizationResult("host")
    outcome(result, tried, profiles(), ResourcePrices(0.005, 0.04, 0.0))
    assert result.optimizations_applied == 1
    assert result.resources_saved == -GIB
    assert result.performance_improvement == 0.5
    # half of 7,200 requests an hour spare 4 s / 20 calls of the processor each
    assert result.cost_savings == pytest.approx(3600 * 0.2 / 3600 * 0.04 - 0.005)
    assert result.ledger_entries == ["memory:2"]


class Busy:
    name = "orders"

    def sample(self, now: float) -> PoolSample:
        return of("orders", 9, 10, "connections", saturation=0.3, waiting=4, errors=0)


@pytest.mark.anyio
async def test_without_anybody_to_try_changes_there_are_proposals() -> None:
    sampler = ResourceSampler([Busy()])
    sampler.sample(1.0)
    system = ResourceManagementSystem(sampler)
    [manager] = system.managers()
    result = await system.optimize_resource_allocation(manager.id)
    assert result.manager_id == manager.id
    assert (result.optimizations_applied, result.resources_saved, result.cost_savings) == (0, None, None)
    assert [one.pool for one in result.proposals] == ["orders"]
    assert [one.pool for one in manager.metrics.bottlenecks] == ["orders"]
    with pytest.raises(KeyError, match="no resource manager 'nobody'"):
        await system.optimize_resource_allocation("nobody")
    request = ResourceOptimizationRequest(goals=("speed",))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'speed' is no goal; there are latency, cost, efficiency"):
        await system.optimize_resource_allocation(manager.id, request)


@pytest.mark.anyio
async def test_in_a_running_app_changes_are_tried_by_the_engine_and_stand_in_the_ledger() -> None:
    """A cache with room for a few pages of many: another policy is tried, measured and judged."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"cache-control", b"max-age=60"), (b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x" * 1000})

    settings = Settings(memory_max_entries=20, eviction_policy="fifo", plugins=[], price_cpu_hour=0.04)
    client = Client(site := PerfMiddleware(app, settings))
    for number in range(400):
        await client.get(f"/{number % 37}")
    site.runtime.tick(time.time())
    system = site.runtime.rounds.resources
    [manager] = system.managers()
    assert manager.metrics.costs["cpu"] > 0.0
    request = ResourceOptimizationRequest(goals=("efficiency",), blocks=2, block_seconds=0.1, max_steps=1)
    run = asyncio.create_task(system.optimize_resource_allocation(manager.id, request))
    while not run.done():
        for number in range(37):
            await client.get(f"/{number}")
        await asyncio.sleep(0)
    result = run.result()
    assert result.performance_improvement is not None or result.optimizations_applied == 0
    tried = [entry.opportunity.type for entry in site.runtime.ledger.entries()]
    assert "eviction_policy" in tried
    await site.runtime.stop()


@pytest.mark.anyio
async def test_where_optimizations_are_off_nothing_is_tried() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise NotImplementedError

    site = PerfMiddleware(app, Settings(optimizations_enabled=False, plugins=[]))
    system = site.runtime.rounds.resources
    result = await system.optimize_resource_allocation(system.managers()[0].id)
    assert result.optimizations_applied == 0
    assert result.performance_improvement is None
    await site.runtime.stop()


def test_a_manager_tells_what_the_settings_limit() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise NotImplementedError

    quotas = [Quota(name="per-user", limit=60, burst=6, scope="user"), Quota(name="exports", at_once=2)]
    settings = Settings(
        quotas=quotas,
        concurrency_limit="on",
        concurrency=Concurrency(strategy="weighted", most=50),
        plugins=[],
    )
    [manager] = PerfMiddleware(app, settings).runtime.rounds.resources.managers()
    allocation = manager.allocation
    assert [(one.name, one.pool) for one in allocation.strategies] == [("weighted", "requests")]
    assert {one.name: one.weight for one in allocation.priorities} == {"low": 1.0, "normal": 3.0, "high": 6.0}
    assert {one.pool: one.limit for one in allocation.limits} == {"exports": 2.0, "requests": 50.0}
    assert [(one.name, one.limit, one.window, one.burst) for one in allocation.quotas] == [
        ("per-user", 60.0, 60.0, 6.0)
    ]


@pytest.mark.anyio
async def test_workers_that_the_forecast_can_do_without_are_waste() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise NotImplementedError

    site = PerfMiddleware(app, Settings(plugins=[]))
    rounds = site.runtime.rounds
    assert "idle-workers" not in rounds.resources.managers()[0].metrics.waste
    rounds.scaling.advice = ScaleAdvice(at=1.0, current=4, wanted=3, reason="quiet")
    assert rounds.resources.managers()[0].metrics.waste["idle-workers"] == 0.25
    await site.runtime.stop()


@pytest.mark.anyio
async def test_memory_that_hardly_gives_a_hit_is_waste() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"cache-control", b"max-age=600"), (b"content-length", b"500")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x" * 500})

    settings = Settings(memory_max_bytes=10_000_000, usage_pattern_learning=True, plugins=[])
    client = Client(site := PerfMiddleware(app, settings))
    for number in range(3000):
        await client.get(f"/{number % 50}")
    [manager] = site.runtime.rounds.resources.managers()
    assert manager.metrics.waste["cache-beyond-knee"] > 0.9
    await site.runtime.stop()


@pytest.mark.anyio
async def test_memory_held_after_the_last_read_is_waste() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"cache-control", b"max-age=600"), (b"content-length", b"500")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x" * 500})

    client = Client(site := PerfMiddleware(app, Settings(usage_pattern_learning=True, plugins=[])))
    for number in range(20):
        await client.get(f"/{number % 10}")
    manage = site.runtime.rounds.resources.managers
    assert "cache-idle-ttl" not in manage()[0].metrics.waste
    site.runtime.learning.tick(time.time() + 601.0)
    assert manage()[0].metrics.waste["cache-idle-ttl"] > 0.99
    await site.runtime.stop()
