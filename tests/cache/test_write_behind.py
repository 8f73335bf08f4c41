"""Writes that wait in a queue: bounded, coalesced, overtaken by invalidations, flushed at the end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiocache import SimpleMemoryCache
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmw.cache import DiskLayer, MemoryLayer, TieredCache
from perfmw.cache.write_behind import Queueing, WriteBehindLayer

pytestmark = pytest.mark.anyio


class Slow(SimpleMemoryCache):
    """A backend whose writes wait until they are let through, and which may be down."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.entered = asyncio.Event()
        self.down = False
        self.writes: list[str] = []

    async def _set(self, key: str, *args: Any, **kwargs: Any) -> Any:
        self.entered.set()
        await self.open.wait()
        if self.down:
            raise ConnectionResetError("gone")
        self.writes.append(key)
        return await super()._set(key, *args, **kwargs)

    async def _get(self, *args: Any, **kwargs: Any) -> Any:
        if self.down:
            raise ConnectionResetError("gone")
        return await super()._get(*args, **kwargs)


def behind(far: Any, near: bool = True, **bounds: Any) -> tuple[TieredCache, WriteBehindLayer]:
    layers = [("memory", MemoryLayer(max_entries=100))] if near else []
    cache = TieredCache(
        [*layers, ("far", far)], write_behind=["far"], queueing=Queueing(**bounds), deadline=5
    )
    layer = cache._layers[-1]
    assert isinstance(layer, WriteBehindLayer)
    return cache, layer


async def down(layer: WriteBehindLayer) -> None:
    for _ in range(10_000):
        if not layer.available:
            return
        await asyncio.sleep(0)
    raise AssertionError("the layer is still in use")


async def test_a_write_returns_before_the_layer_has_it_and_reads_find_it() -> None:
    far = Slow()
    cache, layer = behind(far, near=False)
    assert await cache.put("k", "value", ttl=60)
    assert await cache.get("k") == "value"
    assert cache.infos()[0].queued == 1
    assert far.writes == []
    far.open.set()
    assert await layer.flush() == 0
    assert far.writes == ["k"]
    assert await cache.get("k") == "value"
    info = cache.infos()[0]
    assert (info.queued, info.queued_bytes, info.written, info.dropped) == (0, 0, 1, 0)
    await cache.close()


async def test_a_key_written_again_while_it_waits_is_written_once() -> None:
    far = Slow()
    cache, layer = behind(far)
    for number in range(5):
        await cache.put("k", number, ttl=60)
    assert layer.coalesced == 4
    far.open.set()
    await layer.flush()
    assert far.writes == ["k"]
    assert await TieredCache([("far", far)]).get("k") == 4
    await cache.close()


async def test_a_full_queue_drops_and_counts() -> None:
    far = Slow()
    cache, layer = behind(far, max_entries=3)
    for number in range(5):
        assert await cache.put(f"k{number}", number, ttl=60), "memory has it all the same"
    assert (len(layer._waiting), layer.dropped) == (3, 2)
    await cache.put("k0", "newer", ttl=60)
    assert layer.dropped == 2, "what takes the place of what waits needs no more room"
    far.open.set()
    await layer.flush()
    assert sorted(far.writes) == ["k0", "k1", "k2"]
    await cache.close()


async def test_the_bytes_in_the_queue_are_bounded() -> None:
    far = Slow()
    cache, layer = behind(far, max_bytes=10_000)
    for number in range(20):
        await cache.put(f"k{number}", b"x" * 2_000, ttl=60)
    assert 0 < cache.infos()[1].queued_bytes <= 10_000
    assert layer.dropped == 20 - len(layer._waiting)
    far.open.set()
    await cache.close()


@pytest.mark.parametrize("what", [{"keys": ["k"]}, {"tags": ["t"]}, {"prefix": "k"}])
@pytest.mark.parametrize("under_way", [False, True], ids=["waiting", "being written"])
async def test_an_invalidation_overtakes_the_queue(what: dict[str, Any], under_way: bool) -> None:
    far = Slow()
    cache, layer = behind(far)
    await cache.put("k", "stale", ttl=60, tags=["t"])
    if under_way:
        await far.entered.wait()
    invalidating = asyncio.create_task(cache.invalidate(**what))
    await asyncio.sleep(0)
    far.open.set()
    await invalidating
    await layer.flush()
    assert await cache.get("k") is None
    assert not await far.exists("k")
    await cache.put("k", "fresh", ttl=60, tags=["t"])
    await layer.flush()
    assert await TieredCache([("far", far)]).get("k") == "fresh"
    await cache.close()


async def test_while_the_layer_is_down_writes_wait_and_come_through_after() -> None:
    far = Slow()
    far.open.set()
    far.down = True
    cache, layer = behind(far)
    layer._breaker._first_pause = layer._breaker._pause = 0.01
    for number in range(30):
        await cache.put(f"k{number}", number, ttl=60)
    await down(layer)
    assert layer.dropped == 0
    far.down = False
    assert await layer.flush(10) == 0
    assert len(far.writes) == 30
    await cache.close()


async def test_an_entry_that_the_layer_never_takes_is_given_up() -> None:
    class Picky(SimpleMemoryCache):
        async def _set(self, key: str, *args: Any, **kwargs: Any) -> Any:
            if key == "poison":
                raise ValueError("too large")
            return await super()._set(key, *args, **kwargs)

    cache, layer = behind(Picky())
    await cache.put("poison", 1, ttl=60)
    for number in range(40):
        await cache.put(f"k{number}", number, ttl=60)
    layer._breaker._first_pause = layer._breaker._pause = 0.01
    assert await layer.flush(10) == 0
    assert (layer.written, layer.dropped) == (40, 1)
    await cache.close()


async def test_close_writes_what_waits(tmp_path: Path) -> None:
    cache, _ = behind(DiskLayer(tmp_path / "c.db"))
    for number in range(200):
        await cache.put(f"k{number}", number, ttl=60)
    await cache.close()
    again = TieredCache([("disk", DiskLayer(tmp_path / "c.db"))], deadline=5)
    assert [await again.get(f"k{number}") for number in range(200)] == list(range(200))
    await again.close()


async def test_close_does_not_wait_for_ever() -> None:
    far = Slow()  # its writes never come to an end
    cache, layer = behind(far, flush_seconds=0.05)
    await cache.put("k", 1, ttl=60)
    await cache.close()
    assert (layer.dropped, layer._waiting, layer._writing) == (1, {}, {})
    assert layer._task is None or layer._task.done()


async def test_close_asks_a_layer_that_is_down_once_more() -> None:
    far = Slow()
    far.open.set()
    far.down = True
    cache, layer = behind(far, flush_seconds=30)
    for number in range(5):
        await cache.put(f"k{number}", number, ttl=60)
    await down(layer)
    await cache.close()
    assert layer.dropped == 5
    assert far.writes == []


async def test_another_event_loop_goes_on_with_the_queue() -> None:
    far = Slow()
    far.open.set()
    cache, layer = behind(far)

    async def put(key: str) -> None:
        await cache.put(key, 1, ttl=60)
        await layer.flush()

    await put("a")
    await asyncio.to_thread(lambda: asyncio.run(put("b")))
    await put("c")
    assert far.writes == ["a", "b", "c"]
    await cache.close()


class Lazy(SimpleMemoryCache):
    """A backend that takes a few turns of the event loop for everything, each time another number."""

    def __init__(self, turns: list[int]) -> None:
        super().__init__()
        self._turns = turns

    async def _wait(self) -> None:
        for _ in range(self._turns.pop() if self._turns else 1):
            await asyncio.sleep(0)

    async def _set(self, *args: Any, **kwargs: Any) -> Any:
        await self._wait()
        return await super()._set(*args, **kwargs)

    async def _delete(self, *args: Any, **kwargs: Any) -> Any:
        await self._wait()
        return await super()._delete(*args, **kwargs)


KEYS = ("a:1", "a:2", "b:1")
STEP = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(KEYS)),
    st.tuples(st.just("key"), st.sampled_from(KEYS)),
    st.tuples(st.just("tag"), st.sampled_from(["a", "b"])),
    st.tuples(st.just("prefix"), st.sampled_from(["a:", "b:"])),
    st.tuples(st.just("wait"), st.just("")),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, max_size=25), st.lists(st.integers(0, 6), max_size=60))
def test_whatever_comes_in_whatever_order_nothing_purged_reappears(
    steps: list[tuple[str, str]], turns: list[int]
) -> None:
    async def run() -> None:
        far = Lazy(turns)
        await far.clear()
        cache, layer = behind(far, near=False)
        expected: dict[str, int] = {}
        for number, (step, name) in enumerate(steps):
            if step == "put":
                await cache.put(name, number, ttl=60, tags=[name[0]])
                expected[name] = number
            elif step == "wait":
                await asyncio.sleep(0)
            else:
                what: Any = {"prefix": name} if step == "prefix" else {f"{step}s": [name]}
                await cache.invalidate(**what)
                expected = {key: value for key, value in expected.items() if not key.startswith(name)}
            assert {key: await cache.get(key) for key in KEYS} == {key: expected.get(key) for key in KEYS}
        await layer.flush()
        fresh = TieredCache([("far", far)], deadline=5)
        assert {key: await fresh.get(key) for key in KEYS} == {key: expected.get(key) for key in KEYS}
        await cache.close()

    asyncio.run(run())
