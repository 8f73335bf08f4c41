"""Purges: soft ones, dry runs, prefixes, and what other processes hear of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiocache import SimpleMemoryCache
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmw.cache import Coalescer, DiskLayer, MemoryLayer, TagIndex, TieredCache, cached
from perfmw.cache.bulletin import Bulletin
from perfmw.cache.layers import BOARD, NEWS
from perfmw.cache.scope import set_provider
from tests.cache.clock import FakeClock

pytestmark = pytest.mark.anyio
WHAT: list[dict[str, Any]] = [{"keys": ["k"]}, {"tags": ["t"]}, {"prefix": "k"}]


class Watch(FakeClock):
    """Unix time that goes on when told to, in seconds and in nanoseconds."""

    def nanoseconds(self) -> int:
        return int(self.now * 1e9)


def cache_of(clock: Watch, *far: tuple[str, Any], near: bool = True) -> TieredCache:
    layers = [("memory", MemoryLayer(max_entries=100, clock=clock))] if near else []
    return TieredCache([*layers, *far], TagIndex(clock=clock.nanoseconds), clock=clock, deadline=5)


# ---- soft purges


@pytest.mark.parametrize("what", WHAT)
@pytest.mark.parametrize("near", [True, False], ids=["memory", "far"])
async def test_after_a_soft_purge_an_entry_lives_for_its_grace(what: dict[str, Any], near: bool) -> None:
    clock = Watch()
    far = SimpleMemoryCache()
    cache = cache_of(clock, ("far", far), near=near)
    await cache.put("k", 1, ttl=600, tags=["t"], grace=30)
    await cache.put("other", 2, ttl=600, tags=["u"], grace=30)
    clock.advance(10)
    await cache.invalidate(**what, soft=True)
    entry = await cache.get_entry("k")
    assert entry is not None
    assert entry.expires_at == pytest.approx(clock.now + 30)
    clock.advance(31)
    assert await cache.get_entry("k") is None
    assert cache.get_nowait("k") is None
    assert await cache.get("other") == 2


@pytest.mark.parametrize("what", WHAT)
async def test_without_grace_a_soft_purge_is_a_hard_one(what: dict[str, Any]) -> None:
    cache = cache_of(Watch(), ("far", SimpleMemoryCache()))
    await cache.put("k", 1, ttl=600, tags=["t"])
    await cache.invalidate(**what, soft=True)
    assert cache.get_nowait("k") is None
    assert await cache.get_entry("k") is None
    await cache.put("k", 2, ttl=600, tags=["t"])
    assert await cache.get("k") == 2


@pytest.mark.parametrize("what", WHAT)
async def test_a_fill_that_began_before_a_soft_purge_lands_stale(what: dict[str, Any]) -> None:
    clock = Watch()
    cache = cache_of(clock)
    epoch = cache.tags.now()
    clock.advance(1)
    await cache.invalidate(**what, soft=True)
    assert cache.put_nowait("k", 1, ttl=600, tags=["t"], epoch=epoch, grace=5)
    entry = cache.get_nowait("k")
    assert entry is not None
    assert entry.expires_at == pytest.approx(clock.now + 5)


async def test_a_hard_purge_after_a_soft_one_holds() -> None:
    cache = cache_of(Watch(), ("far", SimpleMemoryCache()))
    await cache.put("k", 1, ttl=600, tags=["t"], grace=60)
    await cache.invalidate(tags=["t"], soft=True)
    assert await cache.get("k") == 1
    await cache.invalidate(tags=["t"])
    assert await cache.get("k") is None


@pytest.mark.parametrize("what", WHAT)
async def test_a_soft_purge_reaches_other_processes(what: dict[str, Any], tmp_path: Path) -> None:
    clock = Watch()
    mine, other = (cache_of(clock, ("disk", DiskLayer(tmp_path / "c.db", clock=clock))) for _ in range(2))
    await mine.put("k", 1, ttl=600, tags=["t"], grace=30)
    assert await other.get("k") == 1
    clock.advance(1)
    await mine.invalidate(**what, soft=True)
    await other.sync()
    entry = other.get_nowait("k")
    assert entry is not None
    assert entry.expires_at == pytest.approx(clock.now + 30)
    await mine.close()
    await other.close()


# ---- other processes


@pytest.mark.parametrize("make", [SimpleMemoryCache, None], ids=["shared", "disk"])
async def test_a_prefix_purged_by_one_process_is_not_read_by_another(
    make: Callable[[], Any] | None, tmp_path: Path
) -> None:
    clock = Watch()
    shared = make() if make is not None else None

    def process(near: bool = True) -> TieredCache:
        far = shared or DiskLayer(tmp_path / "c.db", clock=clock)
        return cache_of(clock, ("far", far), near=near)

    mine, other, late = process(), process(), process(near=False)
    for key in ("shop:1", "shop:2", "blog:1"):
        await mine.put(key, key, ttl=600)
    assert await other.get("shop:1") == "shop:1"
    clock.advance(1)
    await mine.invalidate(prefix="shop:")
    assert await other.get("shop:2") is None, "not from the shared layer, at once"
    assert other.get_nowait("shop:1") is None, "nor from memory, once it has heard of it"
    assert await late.get("shop:1") is None, "nor by a process that starts later"
    assert await late.get("blog:1") == "blog:1"
    await mine.put("shop:1", "new", ttl=600)
    assert await late.get("shop:1") == "new"
    for cache in (mine, other, late):
        await cache.close()


@pytest.mark.parametrize("what", WHAT)
async def test_a_look_at_the_notices_frees_memory_of_what_others_invalidated(what: dict[str, Any]) -> None:
    far = SimpleMemoryCache()
    clock = Watch()
    mine, other = (cache_of(clock, ("far", far)) for _ in range(2))
    await mine.put("k", 1, ttl=600, tags=["t"])
    await mine.put("else", 2, ttl=600, tags=["u"])
    assert [await other.get("k"), await other.get("else")] == [1, 2]
    clock.advance(1)
    await mine.invalidate(**what)
    await other.sync()
    assert other.get_nowait("k") is None
    assert other.get_nowait("else") is not None
    await mine.put("k", 3, ttl=600, tags=["t"])
    await other.sync()
    assert await other.get("k") == 3, "an old notice says nothing of a new value"


async def test_prefixes_that_were_forgotten_are_not_revived() -> None:
    far, clock = SimpleMemoryCache(), Watch()
    mine = cache_of(clock, ("far", far))
    await mine.put("old:1", 1, ttl=600)
    await mine.invalidate(prefix="old:")
    for number in range(2_100):  # more than there is room for
        clock.advance(0.001)
        await mine.invalidate(prefix=f"p{number}:")
    late = cache_of(clock, ("far", far))
    assert await late.get("old:1") is None
    await mine.put("new", 1, ttl=600)
    assert await late.get("new") == 1


async def test_a_layer_that_was_emptied_starts_anew() -> None:
    far, clock = SimpleMemoryCache(), Watch()
    mine, other = (cache_of(clock, ("far", far)) for _ in range(2))
    await mine.invalidate(prefix="a:")
    await mine.invalidate(prefix="b:")
    await other.put("k", 1, ttl=600)
    await other.sync()
    await far.clear()
    await other.put("k", 2, ttl=600)
    other.memory and other.memory.clear_nowait()
    await other.sync()
    clock.advance(1)
    await mine.put("k", 3, ttl=600)
    assert await other.get("k") == 3


async def test_a_count_that_was_evicted_revives_nothing() -> None:
    far, clock = SimpleMemoryCache(), Watch()
    mine = cache_of(clock, ("far", far))
    await mine.put("old:1", 1, ttl=600)
    clock.advance(1)
    await mine.invalidate(prefix="old:")
    await far.delete(BOARD)
    clock.advance(1)
    await mine.invalidate(prefix="other:")
    late = cache_of(clock, ("far", far))
    assert await late.get("old:1") is None
    clock.advance(1)
    await mine.put("new", 1, ttl=600)
    assert await late.get("new") == 1


async def test_a_notice_that_is_still_being_written_is_waited_for() -> None:
    far, clock = SimpleMemoryCache(), Watch()
    cache = cache_of(clock, ("far", far))
    await cache.put("k", 1, ttl=600)
    await far.increment(BOARD)  # counted by a process that has not written its notice yet
    other = cache_of(clock, ("far", far))
    board = other._far[0].board
    board._monotonic = clock
    assert await other.get("k") is None, "it may be about this very key"
    clock.advance(2)
    assert await other.get("k") == 1, "its writer has died; it never said that the purge holds"


async def test_a_reader_that_fell_behind_forgets_its_memory() -> None:
    far, clock = SimpleMemoryCache(), Watch()
    mine, other = (cache_of(clock, ("far", far)) for _ in range(2))
    await mine.put("k", 1, ttl=600)
    await mine.invalidate(keys=["x"])
    assert await other.get("k") == 1
    await other.sync()
    for number in range(1_100):
        await mine.invalidate(keys=[f"x{number}"])
    assert other.get_nowait("k") is not None
    await other.sync()
    assert other.get_nowait("k") is None


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["post", "soft", "read"]), st.integers(0, 3)), max_size=40),
    st.integers(1, 5),
)
def test_a_reader_knows_every_notice_or_a_floor_above_it(steps: list[tuple[str, int]], size: int) -> None:
    async def run() -> None:
        far = SimpleMemoryCache(namespace="n")
        await far.clear(namespace="")

        async def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
            return await operation(*args, **kwargs)

        boards = [Bulletin("b", far, call, size=size, ttl=60) for _ in range(4)]
        posted: list[tuple[int, bool]] = []
        for step, who in steps:
            if step != "read":
                epoch, soft = len(posted) + 1, step == "soft"
                posted.append((epoch, soft))
                assert await boards[who].post("key", [str(epoch)], epoch, soft=soft)
        reader = Bulletin("b", far, call, size=size, ttl=60)
        head = await reader.head()
        assert head == len(posted)
        news = await reader.news(head)
        assert news is not None
        known = {notice.epoch for notice in news.notices}
        for epoch, soft in posted:
            assert epoch in known or epoch <= (news.soft_floor if soft else news.hard_floor)
        assert len(known) <= size

    asyncio.run(run())


async def test_news_of_keys_and_tags_does_not_push_prefixes_out() -> None:
    far, clock = SimpleMemoryCache(), Watch()
    mine = cache_of(clock, ("far", far))
    await mine.invalidate(prefix="p:")
    for number in range(300):
        await mine.invalidate(tags=[f"t{number}"])
    assert await far.get(BOARD) == 1
    assert await far.get(NEWS) == 300


# ---- dry runs


@pytest.mark.parametrize(
    ("what", "count"),
    [
        ({"keys": ["a:1", "absent"]}, 1),
        ({"tags": ["even"]}, 2),
        ({"prefix": "a:"}, 3),
        ({"keys": ["b:1"], "tags": ["even"], "prefix": "a:"}, 4),
        ({"tags": ["nobody"]}, 0),
    ],
)
async def test_a_dry_run_counts_and_touches_nothing(what: dict[str, Any], count: int, tmp_path: Path) -> None:
    clock = Watch()
    disk = DiskLayer(tmp_path / "c.db", clock=clock)
    cache = cache_of(clock, ("disk", disk))
    for key, tags in (("a:1", []), ("a:2", ["even"]), ("a:3", []), ("b:1", []), ("b:2", ["even"])):
        await cache.put(key, key, ttl=600, tags=tags)
    await cache.put("a:gone", 1, ttl=5)
    clock.advance(10)
    before = cache.infos()
    # "a:2" and "b:2" carry the tag; all three kinds together: a:1, a:2, a:3, b:1, b:2
    expected = count if len(what) == 1 else 5
    assert await cache.count(**what) == {"memory": expected, "disk": expected}
    after = cache.infos()
    assert [(info.hits, info.misses) for info in before] == [(info.hits, info.misses) for info in after]
    assert await cache.get("a:1") == "a:1"
    await cache.close()


async def test_a_layer_that_cannot_list_what_it_holds_says_so() -> None:
    cache = cache_of(Watch(), ("far", SimpleMemoryCache()))
    await cache.put("k", 1, ttl=60, tags=["t"])
    assert await cache.count(keys=["k"]) == {"memory": 1, "far": 1}
    assert await cache.count(tags=["t"]) == {"memory": 1, "far": None}


async def test_a_dry_run_leaves_out_what_is_invalid_already(tmp_path: Path) -> None:
    cache = cache_of(Watch(), ("disk", DiskLayer(tmp_path / "c.db")))
    await cache.put("k1", 1, ttl=60, tags=["t"])
    await cache.put("k2", 2, ttl=60, tags=["u"])
    await cache.invalidate(tags=["t"])
    assert await cache.count(prefix="k") == {"memory": 1, "disk": 1}
    await cache.close()


# ---- functions


class Surroundings:
    """A scope of its own for cached functions."""

    def __init__(self, cache: TieredCache) -> None:
        self.cache = cache
        self.coalescer = Coalescer()

    def space(self, name: str) -> Surroundings:
        return self


async def test_a_function_serves_its_old_result_for_its_stale_time_after_a_soft_purge() -> None:
    clock = Watch()
    cache = cache_of(clock)
    calls: list[str] = []
    before = set_provider(lambda: Surroundings(cache))
    try:

        @cached(ttl=600, stale=30, tags=["t"])
        async def patient() -> int:
            calls.append("patient")
            return calls.count("patient")

        @cached(ttl=600, tags=["t"])
        async def strict() -> int:
            calls.append("strict")
            return calls.count("strict")

        assert [await patient(), await strict()] == [1, 1]
        clock.advance(1)
        await cache.invalidate(tags=["t"], soft=True)
        assert await strict() == 2, "it may not be served stale"
        assert await patient() == 1, "the old result, while the new one is computed"
        for _ in range(100):
            await asyncio.sleep(0)
        assert await patient() == 2
        clock.advance(31)
        assert await patient() == 2, "the new one lives as long as any"
    finally:
        set_provider(before)
