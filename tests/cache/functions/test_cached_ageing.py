"""What ``@cached`` does as results age: stale, early refresh, None and errors kept for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from perfmw.cache import Coalescer, MemoryLayer, TieredCache, cached
from perfmw.cache.entries import Entry
from perfmw.cache.functions.callspec import CallSpec, Options
from perfmw.cache.scope import set_provider
from tests.cache.clock import FakeClock

pytestmark = pytest.mark.anyio


class Scope:
    def __init__(self, clock: FakeClock) -> None:
        self.cache = TieredCache([("memory", MemoryLayer(clock=clock))], clock=clock)
        self.coalescer = Coalescer()


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    clock = FakeClock()
    scope = Scope(clock)
    before = set_provider(lambda: scope)
    yield clock
    set_provider(before)


async def test_a_stale_result_is_served_while_one_refresh_runs(clock: FakeClock) -> None:
    calls, gate = [], asyncio.Event()

    @cached(ttl=10, stale=30)
    async def load(number: int) -> int:
        calls.append(number)
        if len(calls) > 1:
            await gate.wait()
        return len(calls)

    assert await load(1) == 1
    clock.advance(15)
    assert [await load(1) for _ in range(5)] == [1] * 5
    await asyncio.sleep(0)
    assert len(calls) == 2
    gate.set()
    await asyncio.sleep(0.01)
    assert await load(1) == 2
    assert load.info().refreshes == 1
    clock.advance(41)
    assert await load(1) == 3


async def test_a_refresh_that_fails_leaves_the_stale_result(clock: FakeClock) -> None:
    calls = []

    @cached(ttl=10, stale=30)
    async def load() -> int:
        calls.append(1)
        if len(calls) > 1:
            raise ConnectionError
        return 7

    assert await load() == 7
    clock.advance(15)
    assert await load() == 7
    await asyncio.sleep(0.01)
    assert await load() == 7
    await asyncio.sleep(0.01)
    assert len(calls) == 3
    assert load.info().errors == 2


async def test_an_invalidation_during_a_refresh_wins(clock: FakeClock) -> None:
    gate = asyncio.Event()
    calls = []

    @cached(ttl=10, stale=30)
    async def load() -> int:
        calls.append(1)
        if len(calls) == 2:
            await gate.wait()
        return len(calls)

    await load()
    clock.advance(15)
    await load()
    await asyncio.sleep(0)
    await load.invalidate()
    gate.set()
    await asyncio.sleep(0.01)
    assert await load() == 3


def test_a_sync_function_is_refreshed_by_its_caller(clock: FakeClock) -> None:
    calls = []

    @cached(ttl=10, stale=30)
    def load() -> int:
        calls.append(1)
        if len(calls) == 3:
            raise ConnectionError
        return len(calls)

    assert load() == 1
    clock.advance(15)
    assert load() == 2
    clock.advance(15)
    assert load() == 2
    assert load.info().refreshes == 1


async def test_none_may_be_kept_for_another_time(clock: FakeClock) -> None:
    calls = []

    @cached(ttl=100, negative=5)
    async def find(number: int) -> int | None:
        calls.append(number)
        return None if number < 0 else number

    for _ in range(2):
        assert await find(-1) is None
        assert await find(1) == 1
    assert calls == [-1, 1]
    clock.advance(6)
    await find(-1)
    await find(1)
    assert calls == [-1, 1, -1]


async def test_errors_may_be_kept_for_a_while(clock: FakeClock) -> None:
    calls = []

    @cached(ttl=100, errors=5)
    async def load() -> int:
        calls.append(1)
        raise ConnectionError("down")

    for _ in range(3):
        with pytest.raises(ConnectionError, match="down"):
            await load()
    assert len(calls) == 1
    clock.advance(6)
    with pytest.raises(ConnectionError):
        await load()
    assert len(calls) == 2


def test_sync_errors_may_be_kept_too(clock: FakeClock) -> None:
    calls = []

    @cached(ttl=100, errors=5)
    def load() -> int:
        calls.append(1)
        raise ConnectionError("down")

    for _ in range(3):
        with pytest.raises(ConnectionError, match="down"):
            load()
    assert len(calls) == 1


def test_early_refresh_is_likelier_near_the_end_and_for_dear_results() -> None:
    def spec(early: float) -> CallSpec:
        return CallSpec(lambda: None, Options(ttl=100, early=early))

    def share(cost: float, now: float, early: float = 1.0) -> float:
        entry, one = Entry(1, expires_at=100.0, cost=cost), spec(early)
        return sum(one.due(entry, now) for _ in range(2_000)) / 2_000

    assert share(1.0, 50.0) == 0.0
    assert share(10.0, 90.0) == pytest.approx(0.37, abs=0.06)
    assert share(10.0, 99.0) > share(10.0, 80.0) > share(1.0, 90.0)
    assert share(1.0, 100.0) == 1.0
    assert share(10.0, 90.0, early=0.0) == 0.0
    assert not spec(1.0).due(Entry(1), 1e12)
