"""What runs out: caches give memory back, alerts are raised, the forecast gives advice."""

from __future__ import annotations

import errno
from importlib import import_module
from typing import Any

import pytest

from perfmw import PerfMiddleware, Runtime, Settings, hookimpl
from perfmw.contracts import PoolSample, ResourceUsageMetrics, ScaleAdvice
from perfmw.runtime.guarding import Guard
from perfmw.runtime.scaling import Scaling
from perfmw.testing import Client

pytestmark = pytest.mark.anyio


def pool(name: str, utilization: float) -> PoolSample:
    return PoolSample(name, "bytes", 100.0, 100.0 * utilization, utilization)


def test_caches_shrink_when_memory_is_short_and_grow_back() -> None:
    runtime = Runtime(Settings(memory_max_bytes=1_000_000, plugins=[]))
    guard, memory = Guard(runtime), runtime.cache.memory
    assert memory is not None
    for number in range(1000):
        memory.set_nowait(str(number), b"x" * 500)
    used = ResourceUsageMetrics()
    guard.tick(0.0, [pool("memory", 0.95)], used)
    assert (memory.bytes or 0) <= (memory.max_bytes or 0) <= 500_000
    assert guard.share == 0.5
    for number in range(1, 20):
        guard.tick(number * 10.0, [pool("memory", 0.3)], used)
    assert memory.max_bytes == 1_000_000
    assert guard.share == 1.0


def test_a_cache_whose_bound_is_more_than_there_is_gives_back_half_of_what_it_holds() -> None:
    runtime = Runtime(Settings(memory_max_bytes=2_000_000_000, plugins=[]))
    guard, memory = Guard(runtime), runtime.cache.memory
    assert memory is not None
    for number in range(1000):
        memory.set_nowait(str(number), b"x" * 500)
    before, used = memory.bytes or 0, ResourceUsageMetrics()
    guard.tick(0.0, [pool("memory", 0.95)], used)
    assert 0 < (memory.bytes or 0) <= before / 2
    guard.tick(10.0, [pool("memory", 0.95)], used)
    assert (memory.bytes or 0) <= before / 4
    for number in range(2, 30):
        guard.tick(number * 10.0, [pool("memory", 0.3)], used)
    assert memory.max_bytes == 2_000_000_000


def test_zero_never_shrinks() -> None:
    runtime = Runtime(Settings(memory_limit=0, plugins=[]))
    guard, memory = Guard(runtime), runtime.cache.memory
    assert memory is not None
    before = memory.max_bytes
    guard.tick(0.0, [pool("memory", 1.0)], ResourceUsageMetrics())
    assert memory.max_bytes == before


def test_the_limits_of_the_plan_raise_alerts() -> None:
    guard = Guard(Runtime(Settings(plugins=[])))
    pools = [pool("cpu", 0.8), pool("storage", 0.95), pool("descriptors", 0.99)]
    for second in range(0, 310, 10):
        guard.tick(float(second), pools, ResourceUsageMetrics(memory_bytes=2_500_000_000))
    found = {one.target: one for one in guard.findings(300.0)}
    assert set(found) == {"memory", "cpu", "storage", "descriptors"}
    assert found["descriptors"].severity == "high"
    assert found["cpu"].severity == "medium"
    assert "80% of the CPU" in found["cpu"].message
    assert "2.33 GiB" in found["memory"].message


def test_within_the_limits_or_without_any_nothing_is_said() -> None:
    calm = Guard(Runtime(Settings(plugins=[])))
    off = Guard(Runtime(Settings(resource_alerts={"storage": 0, "memory_bytes": 1e10}, plugins=[])))
    for guard, use in ((calm, 0.5), (off, 0.99)):
        guard.tick(0.0, [pool("storage", use)], ResourceUsageMetrics(memory_bytes=1_000_000_000))
        assert guard.findings(0.0) == []


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def test_a_dashboard_that_no_descriptor_is_left_to_load_says_so_and_is_there_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_more(name: str) -> Any:
        raise OSError(errno.EMFILE, "Too many open files", name)

    site = PerfMiddleware(nothing, Settings(dashboard="loopback", plugins=[]))
    monkeypatch.setattr("perfmw.middleware.import_module", no_more)
    answer = await Client(site).get("/_perfmw/api/v1/limits")
    assert (answer.status, answer.header("retry-after")) == (503, "10")
    assert answer.header("content-type") == "application/problem+json"
    assert answer.json()["detail"] == "The dashboard cannot be loaded: Too many open files."
    monkeypatch.setattr("perfmw.middleware.import_module", import_module)
    assert (await Client(site).get("/_perfmw/api/v1/limits")).status == 401  # by the dashboard itself
    await site.runtime.stop()


@pytest.mark.parametrize(("number", "status"), [(errno.EMFILE, 503), (errno.EIO, 500)])
async def test_a_page_that_no_descriptor_is_left_for_says_so(number: int, status: int) -> None:
    from perfmw.dashboard.problems import Boundary

    async def page(scope: Any, receive: Any, send: Any) -> None:
        raise OSError(number, "of a template")

    answer = await Client(Boundary(page)).get("/")
    assert answer.status == answer.json()["status"] == status
    assert ("descriptor" in answer.json()["detail"]) is (status == 503)


class Told:
    def __init__(self) -> None:
        self.advice: list[ScaleAdvice] = []

    @hookimpl
    def perfmw_scale_advice(self, advice: ScaleAdvice) -> None:
        self.advice.append(advice)


async def test_a_growing_rate_gives_advice_and_tells_plugins_once() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"ok"})

    told = Told()
    wrapped = PerfMiddleware(app, Settings(forecast_capacity=0.5, plugins=[]), plugins=[told])
    scaling, client = Scaling(wrapped.runtime), Client(wrapped)
    assert scaling.state()["rate"] is None
    used = ResourceUsageMetrics(cpu_seconds=0.0)
    scaling.tick(0.0, used)
    for minute in range(1, 4):
        for _ in range(90):
            await client.get("/")
        scaling.tick(minute * 60.0, used)
        scaling.tick(minute * 60.0 + 1.0, used)
    await wrapped.runtime.stop()
    state = scaling.state()
    assert state["rate"] == 1.5
    assert state["expected"] == pytest.approx(1.5)
    assert state["advice"]["wanted"] == 3
    assert [one.wanted for one in told.advice] == [3]
    assert told.advice[0].current == 1


async def test_without_a_capacity_there_is_a_forecast_and_no_advice() -> None:
    runtime = Runtime(Settings(plugins=[]))
    scaling = Scaling(runtime)
    for minute in range(3):
        scaling.tick(minute * 60.0, ResourceUsageMetrics(cpu_seconds=0.0))
    assert scaling.state()["rate"] == 0.0
    assert scaling.state()["advice"] is None
