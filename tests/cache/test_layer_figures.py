"""What layers count: what they were filled with, and why entries left."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiocache import SimpleMemoryCache
from hypothesis import given
from hypothesis import strategies as st

from perfmw.cache import MemoryLayer, TieredCache
from perfmw.cache.disk_file import DiskFile
from perfmw.cache.layers import FarLayer

pytestmark = pytest.mark.anyio
keys = st.integers(0, 12).map(str)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("set"), keys, st.sampled_from([None, 5.0, 0.0]), st.integers(1, 60)),
        st.tuples(st.just("delete"), keys, st.none(), st.just(0)),
        st.tuples(st.just("get"), keys, st.none(), st.just(0)),
        st.tuples(st.just("clear"), keys, st.none(), st.just(0)),
        st.tuples(st.just("wait"), keys, st.none(), st.integers(1, 6)),
    ),
    max_size=60,
)


@pytest.mark.parametrize("bound", [{"max_entries": 5}, {"max_bytes": 100}])
@pytest.mark.parametrize("policy", ["lru", "s3fifo", "wtinylfu"])
@given(steps=operations)
def test_every_entry_that_came_in_is_there_or_left_for_one_reason(
    bound: dict[str, int], policy: str, steps: list[tuple[str, str, float | None, int]]
) -> None:
    now, taken_in = [0.0], 0
    layer = MemoryLayer(policy=policy, clock=lambda: now[0], **bound)
    for kind, key, ttl, number in steps:
        if kind == "set":
            taken_in += layer.set_nowait(key, "x", ttl, size=number)
        elif kind == "delete":
            layer.delete_nowait(key)
        elif kind == "get":
            layer.get_nowait(key)
        elif kind == "clear":
            layer.clear_nowait(key)
        else:
            now[0] += number
        info = layer.info()
        assert info.fills == taken_in
        assert info.entries is not None
        assert info.entries + sum(info.left().values()) == taken_in


def test_each_reason_by_itself() -> None:
    now = [0.0]
    layer = MemoryLayer(max_entries=2, clock=lambda: now[0])
    for key in ("a", "b", "c"):
        layer.set_nowait(key, 1)
    layer.set_nowait("c", 2, ttl=5)
    layer.delete_nowait("b")
    now[0] = 10
    layer.get_nowait("c")
    assert layer.info().left() == {"capacity": 1, "expired": 1, "invalidated": 1, "replaced": 1}


async def test_a_far_layer_tells_fills_bytes_and_times() -> None:
    cache = TieredCache([("far", SimpleMemoryCache(timeout=None))])
    [layer] = cache.far_layers()
    times: list[float] = []
    layer.record = times.append
    await cache.put("a", "x" * 500, ttl=60)
    assert await cache.get_entry("a") is not None
    assert await cache.get_entry("absent") is None
    await cache.invalidate(keys=["a"])
    [info] = cache.infos()
    assert (info.fills, info.hits, info.misses, info.invalidations) == (1, 1, 1, 1)
    assert info.hit_bytes is not None
    assert info.hit_bytes >= 500
    assert len(times) == 2
    assert info.left() == {"capacity": 0, "invalidated": 1}


async def test_reads_that_a_breaker_held_back_have_no_time() -> None:
    class Broken(SimpleMemoryCache):  # type: ignore[misc]  # aiocache is untyped
        async def _get(self, *args: object, **more: object) -> None:
            raise OSError

    layer = FarLayer("broken", Broken(timeout=None))
    times: list[float] = []
    layer.record = times.append
    for _ in range(50):
        await layer.get("a")
    assert layer.skipped > 0
    assert len(times) == 50 - layer.skipped
    await layer.close()


async def test_watched_reads_are_the_next_ones_and_no_more() -> None:
    cache = TieredCache([("memory", MemoryLayer())])
    await cache.put("a", 1, ttl=60)
    seen: list[tuple[str, bool]] = []
    cache.watch_reads(lambda key, entry, seconds: seen.append((key, entry is not None and seconds >= 0)), 2)
    for key in ("a", "b", "a", "a"):
        cache.get_nowait(key)
    assert seen == [("a", True), ("b", False)]


def test_the_disk_tells_what_had_expired(tmp_path: Path) -> None:
    now = [1_000.0]
    file = DiskFile(tmp_path / "cache.sqlite3", max_bytes=10**7, clock=lambda: now[0])
    for number in range(40):
        file.set(f"old {number}", b"x", ttl=1)
    now[0] += 10
    for number in range(2_000):
        file.set(f"new {number}", b"x")
    assert 0 < file.expirations <= 40
    assert file.evictions == 0
    file.close()
