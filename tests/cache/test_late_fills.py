"""A fill that began before an invalidation never overwrites it, whichever process does what, in any order."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiocache import SimpleMemoryCache

from perfmw.cache import MemoryLayer, TieredCache

pytestmark = pytest.mark.anyio
WHATS: list[dict[str, Any]] = [{"keys": ["k"]}, {"tags": ["t"]}, {"prefix": "k"}]
Step = Callable[[], Awaitable[object]]


class Shared(SimpleMemoryCache):  # type: ignore[misc]  # aiocache is untyped
    """A layer that does something else just before or after it stores or deletes the entry."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: dict[str, Step] = {}

    async def _then(self, name: str, key: str) -> None:
        if key == "k" and (step := self.steps.pop(name, None)) is not None:
            await step()

    async def set(self, key: str, value: Any, **options: Any) -> Any:
        await self._then("before set", key)
        stored = await super().set(key, value, **options)
        await self._then("after set", key)
        return stored

    async def delete(self, key: str, **options: Any) -> Any:
        await self._then("before delete", key)
        deleted = await super().delete(key, **options)
        await self._then("after delete", key)
        return deleted


def process_on(shared: Shared, **options: Any) -> TieredCache:
    return TieredCache([("memory", MemoryLayer(max_entries=10)), ("far", shared)], deadline=5, **options)


async def settled(cache: TieredCache) -> None:
    """What is written behind is written."""
    for layer in cache.far_layers():
        if hasattr(layer, "flush"):
            await layer.flush(5)


@pytest.mark.parametrize("what", WHATS, ids=["key", "tag", "prefix"])
@pytest.mark.parametrize("behind", [(), ("far",)], ids=["through", "behind"])
@pytest.mark.parametrize("when", ["before it", "before set", "after set"])
async def test_what_another_process_invalidated_is_served_by_nobody(
    what: dict[str, Any], behind: tuple[str, ...], when: str
) -> None:
    shared = Shared()
    filling, other = process_on(shared, write_behind=behind), process_on(shared)
    began = filling.tags.now()

    async def invalidate() -> None:
        await other.invalidate(**what)

    if when == "before it":
        await invalidate()
    else:
        shared.steps[when] = invalidate
    await filling.put("k", "old", ttl=60, tags=["t"], epoch=began)
    await settled(filling)
    assert not shared.steps
    assert await filling.get("k") is None
    newcomer = process_on(shared)
    assert await newcomer.get("k") is None
    assert await other.get("k") is None
    await filling.sync()
    assert await filling.get("k") is None
    assert filling.memory is not None
    assert "k" not in filling.memory


@pytest.mark.parametrize("what", WHATS, ids=["key", "tag", "prefix"])
@pytest.mark.parametrize("behind", [(), ("far",)], ids=["through", "behind"])
@pytest.mark.parametrize("when", ["before it", "before set", "after set"])
async def test_what_another_process_purged_softly_is_stale_in_the_one_that_wrote_it_late(
    what: dict[str, Any], behind: tuple[str, ...], when: str
) -> None:
    shared, at = Shared(), time.time()
    filling, other = process_on(shared, write_behind=behind), process_on(shared)
    began = filling.tags.now()

    async def purge() -> None:
        await other.invalidate(**what, soft=True)

    if when == "before it":
        await purge()
    else:
        shared.steps[when] = purge
    await filling.put("k", "old", ttl=600, tags=["t"], epoch=began, grace=30)
    await settled(filling)
    assert not shared.steps
    for process in (filling, process_on(shared)):
        entry = process.get_nowait("k") or await process.get_entry("k")
        assert entry is not None
        assert entry.value == "old"
        assert (entry.expires_at or math.inf) < at + 60


@pytest.mark.parametrize("when", ["before delete", "after delete"])
async def test_nor_is_what_is_written_while_it_invalidates(when: str) -> None:
    shared = Shared()
    filling, other = process_on(shared), process_on(shared)
    await filling.put("k", "old", ttl=60)
    began = filling.tags.now()

    async def fill() -> None:
        await filling.put("k", "old", ttl=60, epoch=began)

    shared.steps[when] = fill
    await other.invalidate(keys=["k"])
    assert not shared.steps
    assert await process_on(shared).get("k") is None
    assert not await shared.exists("k")


async def test_a_fill_that_began_afterwards_is_kept() -> None:
    shared = Shared()
    filling, other = process_on(shared), process_on(shared)
    await other.invalidate(keys=["k"], tags=["t"])
    assert await filling.put("k", "new", ttl=60, tags=["t"], epoch=filling.tags.now())
    assert await process_on(shared).get("k") == "new"
