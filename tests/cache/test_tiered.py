"""The tiered cache over healthy, broken, slow and text-only layers."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from aiocache import SimpleMemoryCache
from aiocache.base import BaseCache
from aiocache.serializers import (
    BaseSerializer,
    JsonSerializer,
    NullSerializer,
    PickleSerializer,
    StringSerializer,
)

from perfmw.cache import MemoryLayer, TagIndex, TieredCache
from perfmw.cache.layers import FarLayer
from tests.cache.clock import FakeClock

pytestmark = pytest.mark.anyio


def two_tiers(**options: Any) -> tuple[TieredCache, MemoryLayer, SimpleMemoryCache]:
    near, far = MemoryLayer(max_entries=100), SimpleMemoryCache()
    return TieredCache([("memory", near), ("far", far)], **options), near, far


class Gate(SimpleMemoryCache):
    """A backend whose ``set`` waits until it is let through, and which may be told to fail.

    :param first_alone: whether only the first one waits.
    """

    def __init__(self, *, first_alone: bool = False) -> None:
        super().__init__()
        self.first_alone = first_alone
        self.entered = asyncio.Event()
        self.open = asyncio.Event()
        self.failing = False
        self.calls = 0

    async def _set(self, *args: Any, **kwargs: Any) -> Any:
        waits = not (self.first_alone and self.entered.is_set())
        self.entered.set()
        if waits:
            await self.open.wait()
        return await super()._set(*args, **kwargs)

    async def _get(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if self.failing:
            raise ConnectionResetError("gone")
        return await super()._get(*args, **kwargs)

    async def _delete(self, *args: Any, **kwargs: Any) -> Any:
        if self.failing:
            raise ConnectionResetError("gone")
        return await super()._delete(*args, **kwargs)


async def settle(done: Callable[[], bool]) -> None:
    """Let tasks in the background run until ``done``."""
    for _ in range(1_000):
        if done():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not come to pass")


async def test_a_value_is_read_near_and_found_far() -> None:
    cache, near, _ = two_tiers()
    assert await cache.put("k", {"a": (1, b"x")}, ttl=60, tags=["t"], cost=0.5)
    entry = cache.get_nowait("k")
    assert entry is not None
    assert (entry.value, entry.tags, entry.cost) == ({"a": (1, b"x")}, ("t",), 0.5)
    near.clear_nowait()
    assert cache.get_nowait("k") is None
    again = await cache.get_entry("k")
    assert again is not None
    assert (again.value, again.tags, again.expires_at) == (entry.value, entry.tags, entry.expires_at)
    assert cache.get_nowait("k") is not None


async def test_a_back_fill_lives_only_for_what_is_left() -> None:
    clock = FakeClock()
    near = MemoryLayer(max_entries=10, clock=clock)
    cache = TieredCache([("memory", near), ("far", SimpleMemoryCache())], clock=clock)
    await cache.put("k", 1, ttl=60)
    near.clear_nowait()
    clock.advance(50)
    assert await cache.get("k") == 1
    assert near.ttl_nowait("k") == pytest.approx(10)
    near.clear_nowait()
    clock.advance(10)
    assert await cache.get("k") is None


async def test_invalidation_holds_in_every_layer() -> None:
    cache, near, _ = two_tiers()
    for key in ("a", "b", "fn:c", "d"):
        await cache.put(key, key, ttl=60, tags=["even"] if key in "bd" else [])
    assert await cache.invalidate(keys=["a", "unknown"]) == 2  # once in each layer
    await cache.invalidate(tags=["even"])
    assert await cache.invalidate(prefix="fn:") == 1
    for _ in range(2):
        assert [await cache.get(key) for key in ("a", "b", "fn:c", "d")] == [None] * 4
        near.clear_nowait()


async def test_a_fill_that_began_before_an_invalidation_never_lands() -> None:
    cache, _, _ = two_tiers()
    epoch = cache.tags.now()
    await cache.invalidate(keys=["k"], tags=["t"])
    assert not await cache.put("k", "stale", ttl=60, epoch=epoch)
    assert not await cache.put("other", "stale", ttl=60, tags=["t"], epoch=epoch)
    assert not cache.put_nowait("k", "stale", ttl=60, epoch=epoch)
    assert await cache.get("k") is None
    assert await cache.put("k", "fresh", ttl=60, epoch=cache.tags.now())
    assert await cache.get("k") == "fresh"


@pytest.mark.parametrize("what", [{"keys": ["k"]}, {"tags": ["t"]}, {"prefix": "k"}])
async def test_an_invalidation_while_a_far_layer_writes_undoes_the_write(what: dict[str, Any]) -> None:
    far = Gate(first_alone=True)
    cache = TieredCache([("memory", MemoryLayer(max_entries=10)), ("far", far)], deadline=30)
    writing = asyncio.create_task(cache.put("k", "stale", ttl=60, tags=["t"]))
    await far.entered.wait()
    await cache.invalidate(**what)
    far.open.set()
    assert not await writing
    assert await cache.get("k") is None
    assert not await far.exists("k")


async def test_what_could_not_be_deleted_is_distrusted_when_the_layer_is_back() -> None:
    far = Gate()
    far.open.set()
    near = MemoryLayer(max_entries=10)
    cache = TieredCache([("memory", near), ("far", far)])
    await cache.put("k", "stale", ttl=60)
    far.failing = True
    await cache.invalidate(keys=["k"])
    far.failing = False
    cache.tags._keys.clear()  # as when so many keys were invalidated since that this one is forgotten
    assert await far.exists("k")
    assert await cache.get("k") is None
    await cache.put("k", "fresh", ttl=60)
    near.clear_nowait()
    assert await cache.get("k") == "fresh"


async def test_a_failing_layer_is_a_miss_and_is_skipped_after_a_while() -> None:
    far = Gate()
    far.failing = True
    cache = TieredCache([("memory", MemoryLayer(max_entries=10)), ("far", far)])
    for number in range(20):
        assert await cache.get(f"k{number}") is None
    info = cache.infos()[1]
    assert info.errors == far.calls == 3
    assert info.misses == 20


async def test_a_layer_that_recovers_is_used_again() -> None:
    clock = FakeClock()
    far = Gate()
    far.open.set()
    layer = FarLayer("far", far, monotonic=clock)
    cache = TieredCache([("far", far)])
    await cache.put("k", 1, ttl=60)
    far.failing = True
    for _ in range(3):
        assert await layer.get("k") is None
    assert not layer.available
    far.failing = False
    assert await layer.get("k") is None
    clock.advance(1.5)
    assert await layer.get("k") is None, "whether it is back is found out behind the reader's back"
    await settle(lambda: layer.available)
    found = await layer.get("k")
    assert found is not None
    assert found.value == 1
    assert layer.available


async def test_a_slow_layer_costs_its_deadline_and_no_more() -> None:
    far = Gate()  # its set never returns
    cache = TieredCache([("memory", MemoryLayer(max_entries=10)), ("far", far)], deadline=0.01)
    for number in range(5):
        assert await cache.put(f"k{number}", number, ttl=60)
        assert await cache.get(f"k{number}") == number
    assert cache.infos()[1].errors == 3


@pytest.mark.parametrize(
    "serializer",
    [
        NullSerializer(),
        NullSerializer(encoding=None),
        StringSerializer(),
        JsonSerializer(),
        PickleSerializer(),
    ],
    ids=lambda serializer: type(serializer).__name__,
)
async def test_any_serializer_that_carries_bytes_or_text_will_do(serializer: BaseSerializer) -> None:
    near = MemoryLayer(max_entries=10)
    cache = TieredCache([("memory", near), ("far", SimpleMemoryCache(serializer=serializer))])
    value = (b"\xff\x00", "ü", None, 1.5)
    await cache.put("k", value, ttl=60)
    near.clear_nowait()
    assert await cache.get("k") == value


def test_a_serializer_that_carries_neither_is_named() -> None:
    class Numbers(BaseSerializer):
        def dumps(self, value: Any) -> str:
            return str(len(value))

        def loads(self, value: str) -> Any:
            return int(value)

    with pytest.raises(ValueError, match=r"'odd'.*Numbers"):
        TieredCache([("odd", SimpleMemoryCache(serializer=Numbers()))])


async def test_each_layer_keeps_its_own_namespace() -> None:
    far = SimpleMemoryCache(namespace="app1:")
    cache = TieredCache([("far", far)])
    await cache.put("k", 1, ttl=60)
    assert list(far._cache) == ["app1:k"]
    assert await cache.get("k") == 1


@pytest.mark.parametrize("junk", [b"", b"PMW1junkjunk", "text", 17, {"a": 1}, None])
async def test_foreign_things_in_a_far_layer_are_misses(junk: object) -> None:
    far = SimpleMemoryCache()
    await far.set("k", junk)
    assert await TieredCache([("far", far)]).get("k") is None


class Zlib:
    name = "zlib"

    def encode(self, data: bytes, context: Mapping[str, Any]) -> bytes:
        return zlib.compress(data) + context["key"].encode()

    def decode(self, data: bytes, context: Mapping[str, Any]) -> bytes:
        key = context["key"].encode()
        if not data.endswith(key):
            raise ValueError("an entry of another key")
        return zlib.decompress(data[: -len(key)])


async def test_a_codec_works_on_what_leaves_the_process() -> None:
    cache, near, far = two_tiers(codec=Zlib())
    await cache.put("k", b"x" * 10_000, ttl=60)
    assert sum(len(kept) for kept in far._cache.values()) < 1_000
    near.clear_nowait()
    assert await cache.get("k") == b"x" * 10_000
    far._cache["other"] = far._cache["k"]
    assert await cache.get("other") is None


async def test_a_value_that_cannot_leave_the_process_stays_near() -> None:
    cache, _, far = two_tiers()
    value = object()
    assert await cache.put("k", value, ttl=60)
    assert await cache.get("k") is value
    assert far._cache == {}


async def test_a_stored_none_is_an_entry() -> None:
    cache, near, _ = two_tiers()
    await cache.put("k", None, ttl=60)
    near.clear_nowait()
    entry = await cache.get_entry("k")
    assert entry is not None
    assert entry.value is None
    assert await cache.exists("k")


async def test_tags_hold_for_near_reads_at_once() -> None:
    tags = TagIndex()
    cache = TieredCache([("memory", MemoryLayer(max_entries=10))], tags)
    cache.put_nowait("k", 1, ttl=None, tags=["t"])
    tags.invalidate("unrelated")
    assert cache.get_nowait("k") is not None
    tags.invalidate("t")
    assert cache.get_nowait("k") is None
    assert len(cache.memory or []) == 0


async def test_it_is_an_aiocache_backend() -> None:
    cache, _, _ = two_tiers()
    assert isinstance(cache, BaseCache)
    assert await cache.set("a", 1, ttl=5)
    assert await cache.multi_set([("b", 2), ("c", 3)])
    assert await cache.multi_get(["a", "b", "x"]) == [1, 2, None]
    assert await cache.increment("a", 2) == 3
    assert await cache.expire("a", 10)
    assert not await cache.expire("x", 10)
    with pytest.raises(ValueError, match="exists"):
        await cache.add("a", 1)
    assert await cache.delete("a") == 1
    assert await cache.delete("a") == 0
    assert await cache.set("a", 2, _cas_token=9) == 0
    assert await cache.clear()
    assert await cache.multi_get(["b", "c"]) == [None, None]
    assert await cache.set("b", 1)
    assert await cache.get("b") == 1
    await cache.close()


async def test_tags_hold_for_other_processes_and_after_a_restart() -> None:
    far = SimpleMemoryCache()
    mine, other = (TieredCache([("memory", MemoryLayer(max_entries=9)), ("far", far)]) for _ in range(2))
    await mine.put("k", 1, ttl=60, tags=["t"])
    await mine.put("kept", 2, ttl=60, tags=["u"])
    await mine.invalidate(tags=["t"])
    assert await other.get("k") is None
    assert await other.get("kept") == 2
    restarted = TieredCache([("far", far)])
    assert await restarted.get("k") is None
    await restarted.put("k", 3, ttl=60, tags=["t"])
    assert await other.get("k") == 3


async def test_tagged_entries_are_misses_while_nobody_can_say_whether_they_hold() -> None:
    class Forgetful(SimpleMemoryCache):
        async def _multi_get(self, *args: Any, **kwargs: Any) -> Any:
            raise ConnectionResetError("gone")

    cache = TieredCache([("far", Forgetful())])
    await cache.put("tagged", 1, ttl=60, tags=["t"])
    await cache.put("plain", 2, ttl=60)
    assert await cache.get("tagged") is None
    assert await cache.get("plain") == 2


async def test_without_layers_everything_is_a_miss() -> None:
    cache = TieredCache([])
    assert not await cache.put("k", 1, ttl=1)
    assert not cache.put_nowait("k", 1, ttl=1)
    assert cache.get_nowait("k") is None
    assert await cache.get("k") is None
    assert cache.infos() == []


async def test_more_than_can_be_remembered_is_made_up_for_in_one_word() -> None:
    far = Gate()
    far.open.set()
    layer = FarLayer("far", far)
    layer._remember("key", [f"k{number}" for number in range(10_001)], 7)
    assert layer._unsaid == {("prefix", "", False): 7}
    assert layer.in_arrears
    await layer.make_up()
    assert not layer.in_arrears
    head = await layer.board.head()
    assert head == 1
    news = await FarLayer("far", far).board.news(head)
    assert news is not None
    assert [(notice.kind, notice.names, notice.epoch) for notice in news.notices] == [("prefix", ("",), 7)]
