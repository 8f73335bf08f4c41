from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from perfmw import Runtime, Settings
from perfmw.profiles import profile_id
from perfmw.runtime.sessions import monitor_performance

pytestmark = pytest.mark.anyio
ROUTE = profile_id("component", "GET /x")


@pytest.fixture
async def runtime() -> AsyncIterator[Runtime]:
    runtime = Runtime(Settings.load(env={}, cwd="/", plugins=()))
    runtime.profiles.recorder("GET /x")
    await runtime.start()
    yield runtime
    await runtime.stop()


def ask(runtime: Runtime, count: int, seconds: float, status: int = 200) -> None:
    recorder = runtime.profiles.recorder("GET /x")
    for _ in range(count):
        recorder.origin(seconds, status, "uri-miss")


async def test_the_result_comes_at_the_end_and_is_of_the_session_alone(runtime: Runtime) -> None:
    ask(runtime, 1_000, 5.0, 500)  # before the session: none of its business
    session = monitor_performance(runtime, ROUTE, 0.3, frequency=0.1)
    assert bool(session.running)
    ask(runtime, 200, 0.01)
    samples = [sample async for sample in session]
    result = await session
    assert not session.running
    assert result.metrics_collected == len(samples) == 3
    assert result.duration >= 0.3
    assert sum(sample.profile.metrics.latency.count for sample in samples) == 200
    assert samples[0].profile.metrics.error_rates.rate == 0.0
    assert [one.message for sample in samples for one in sample.alerts] == []
    assert (result.alerts_triggered, result.session_id) == (0, session.id)


async def test_what_goes_wrong_meanwhile_is_counted_once(runtime: Runtime) -> None:
    session = monitor_performance(runtime, ROUTE, 0.4, frequency=0.1)
    async for _ in session:
        ask(runtime, 100, 0.01, 500)
    result = await session
    assert result.alerts_triggered == 1
    assert result.profile_id == ROUTE


async def test_a_session_can_be_cancelled_and_still_has_a_result(runtime: Runtime) -> None:
    session = monitor_performance(runtime, ROUTE, frequency=0.02)
    seen: list[Any] = []
    async for sample in session:
        seen.append(sample)
        if len(seen) == 3:
            session.cancel()
    result = await session
    assert result.metrics_collected >= 3
    assert result.average_performance_score is None


async def test_several_may_await_and_stream_one_session(runtime: Runtime) -> None:
    session = monitor_performance(runtime, ROUTE, 0.2, frequency=0.05)

    async def stream() -> int:
        return len([sample async for sample in session])

    async def wait() -> int:
        return (await session).metrics_collected

    counts = await asyncio.gather(stream(), stream(), wait(), wait())
    assert list(counts) == [4, 4, 4, 4]
    assert [sample async for sample in session], "also after its end"


async def test_a_waiter_that_is_cancelled_does_not_end_the_session(runtime: Runtime) -> None:
    session = monitor_performance(runtime, ROUTE, 0.2, frequency=0.1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await session
    assert (await session).metrics_collected == 2


async def test_stopping_the_runtime_ends_it(runtime: Runtime) -> None:
    session = monitor_performance(runtime, ROUTE)
    await runtime.stop()
    assert (await session).metrics_collected == 0


@pytest.mark.parametrize("duration", [0.0, -1.0, float("nan"), float("inf")])
async def test_durations(runtime: Runtime, duration: float) -> None:
    with pytest.raises(ValueError, match="duration"):
        monitor_performance(runtime, ROUTE, duration)


async def test_an_unknown_profile(runtime: Runtime) -> None:
    with pytest.raises(KeyError):
        monitor_performance(runtime, "none", 1.0)


async def test_the_engine_monitors_so(runtime: Runtime) -> None:
    ask(runtime, 10, 5.0, 500)
    result = await runtime.engine.monitor_performance(ROUTE, 0.2)
    assert (result.metrics_collected, result.alerts_triggered) == (10, 0)
