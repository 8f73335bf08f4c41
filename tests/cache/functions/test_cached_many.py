"""The batch form of ``@cached``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from perfmw.cache import Coalescer, MemoryLayer, TieredCache, cached_many
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


async def test_only_what_is_missing_is_loaded(clock: FakeClock) -> None:
    calls: list[list[int]] = []

    @cached_many(ttl=10)
    async def load(ids: list[int]) -> dict[int, str]:
        calls.append(ids)
        return {number: f"user {number}" for number in ids}

    assert await load([1, 2]) == {1: "user 1", 2: "user 2"}
    assert await load([3, 2, 1, 2]) == {3: "user 3", 2: "user 2", 1: "user 1"}
    assert list(await load([3, 1])) == [3, 1]
    assert await load([]) == {}
    assert calls == [[1, 2], [3]]
    assert (load.hits, load.misses) == (4, 3)
    clock.advance(11)
    await load([1])
    assert calls[-1] == [1]


async def test_what_is_not_found_may_be_remembered(clock: FakeClock) -> None:
    calls: list[list[int]] = []

    @cached_many(ttl=100, negative=5)
    async def load(ids: list[int]) -> dict[int, int]:
        calls.append(ids)
        return {number: number for number in ids if number > 0}

    assert await load([-1, 1]) == {1: 1}
    assert await load([-1, 1]) == {1: 1}
    clock.advance(6)
    assert await load([-1, 1]) == {1: 1}
    assert calls == [[-1, 1], [-1]]


async def test_keys_and_tags_invalidate(clock: FakeClock) -> None:
    calls: list[list[int]] = []

    @cached_many(tags=["user:{key}"])
    async def load(ids: list[int]) -> dict[int, list[int]]:
        calls.append(ids)
        return {number: [number] for number in ids}

    first = await load([1, 2, 3])
    first[1].append(99)
    assert (await load([1]))[1] == [1]
    await load.invalidate(1)
    from perfmw.cache.scope import current_scope

    await current_scope().cache.invalidate(tags=["user:2"])
    await load([1, 2, 3])
    assert calls[1:] == [[1, 2]]
    await load.invalidate_all()
    await load([3])
    assert calls[-1] == [3]


async def test_an_invalidation_during_the_load_wins(clock: FakeClock) -> None:
    calls: list[list[int]] = []

    @cached_many()
    async def load(ids: list[int]) -> dict[int, int]:
        calls.append(ids)
        if len(calls) == 1:
            await load.invalidate(1)
        return {number: number for number in ids}

    await load([1, 2])
    await load([1, 2])
    assert calls == [[1, 2], [1]]


def test_a_function_that_is_not_async_is_refused() -> None:
    with pytest.raises(TypeError, match="async functions"):
        cached_many()(lambda ids: {})  # type: ignore[arg-type,return-value]
