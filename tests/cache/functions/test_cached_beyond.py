"""Functions that are not async and layers beyond memory: threads wait for them, event loops never do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from perfmw import Runtime, Settings, cached
from perfmw.cache import bridge
from tests.cache.scopes import OwnScope, own_scope

pytestmark = pytest.mark.anyio


@dataclass
class Price:
    amount: Decimal


@pytest.fixture
def scope() -> Iterator[OwnScope]:
    with own_scope(far=True) as mine:
        yield mine


def counted() -> tuple[Any, list[int]]:
    calls: list[int] = []

    @cached(ttl=60, tags=["price:{product}"], namespace="prices")
    def price(product: int) -> Price:
        calls.append(product)
        return Price(Decimal(product) / 4)

    return price, calls


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)


async def test_a_thread_finds_what_another_process_computed(scope: OwnScope) -> None:
    scope.cache.bridge.loop = asyncio.get_running_loop()
    price, calls = counted()
    assert await asyncio.to_thread(price, 7) == Price(Decimal("1.75"))
    scope.memory.clear_nowait()
    assert await asyncio.to_thread(price, 7) == Price(Decimal("1.75"))
    assert calls == [7]
    assert price.info().hits == 1
    assert price(7) == Price(Decimal("1.75"))  # memory has it again, for the event loop too
    assert calls == [7]


async def test_an_event_loop_waits_for_nothing_and_leaves_it_to_others(scope: OwnScope) -> None:
    scope.cache.bridge.loop = asyncio.get_running_loop()
    price, calls = counted()
    price(7)
    assert not scope.far._cache  # it will be there a moment later
    await until(lambda: bool(scope.far._cache))
    scope.memory.clear_nowait()
    assert await asyncio.to_thread(price, 7) == Price(Decimal("1.75"))
    assert calls == [7]


async def test_in_a_thread_an_invalidation_holds_in_every_layer(scope: OwnScope) -> None:
    scope.cache.bridge.loop = asyncio.get_running_loop()
    price, calls = counted()
    await asyncio.to_thread(price, 7)
    assert await asyncio.to_thread(price.invalidate, 7) == 2
    assert price.key(7) not in scope.far._cache
    await asyncio.to_thread(price, 7)
    await asyncio.to_thread(price.invalidate_all)
    await asyncio.to_thread(price, 7)
    assert calls == [7, 7, 7]


async def test_on_an_event_loop_an_invalidation_reaches_other_layers_a_moment_later(scope: OwnScope) -> None:
    scope.cache.bridge.loop = asyncio.get_running_loop()
    price, calls = counted()
    await asyncio.to_thread(price, 7)
    assert price.invalidate(7) == 1
    assert await asyncio.to_thread(price, 7) == Price(Decimal("1.75"))  # though the layer may have it yet
    assert calls == [7, 7]


async def test_a_refresh_in_a_thread_replaces_what_every_layer_has(scope: OwnScope) -> None:
    scope.cache.bridge.loop = asyncio.get_running_loop()
    price, calls = counted()
    await asyncio.to_thread(price, 7)
    before = scope.far._cache[price.key(7)]
    await asyncio.to_thread(price.refresh, 7)
    assert calls == [7, 7]
    assert scope.far._cache[price.key(7)] != before


async def test_a_loop_that_waits_for_the_thread_is_not_waited_for(
    scope: OwnScope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "PATIENCE", 0.01)
    scope.cache.bridge.loop = asyncio.get_running_loop()
    price, calls = counted()
    with ThreadPoolExecutor(1) as executor:
        assert executor.submit(price, 7).result(5) == Price(Decimal("1.75"))  # as nobody should
    assert calls == [7]


async def test_without_a_loop_memory_is_used_alone(scope: OwnScope) -> None:
    price, calls = counted()
    await asyncio.to_thread(price, 7)
    await asyncio.to_thread(price, 7)
    assert calls == [7]
    assert not scope.far._cache


async def test_closing_waits_for_what_is_on_its_way(scope: OwnScope) -> None:
    scope.cache.bridge.loop = asyncio.get_running_loop()
    price, _ = counted()
    price(7)
    await scope.cache.close()
    assert price.key(7) in scope.far._cache
    price(8)
    await asyncio.sleep(0)
    assert price.key(8) not in scope.far._cache


async def test_much_at_once_leaves_writes_out_but_no_invalidation(
    scope: OwnScope, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope.cache.bridge.loop = asyncio.get_running_loop()
    monkeypatch.setattr(bridge, "_MOST", 2)
    price, _ = counted()
    await asyncio.to_thread(price, 9)
    for number in range(6):
        price(number)
    price.invalidate(9)
    await scope.cache.close()
    assert price.key(9) not in scope.far._cache
    assert sum(price.key(number) in scope.far._cache for number in range(6)) == 2


async def test_a_layer_that_raises_is_a_miss_in_a_thread_too(
    scope: OwnScope, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*args: Any, **kwargs: Any) -> Any:
        raise OSError("gone")

    scope.cache.bridge.loop = asyncio.get_running_loop()
    for name in ("get", "set", "multi_get", "delete"):
        monkeypatch.setattr(scope.far, name, broken)
    price, calls = counted()
    assert await asyncio.to_thread(price, 7) == Price(Decimal("1.75"))
    assert await asyncio.to_thread(price, 7) == Price(Decimal("1.75"))
    assert await asyncio.to_thread(price.invalidate, 7) == 1
    assert calls == [7]


async def test_with_a_disk_alone_threads_keep_their_results_over_a_restart(tmp_path: Path) -> None:
    price, calls = counted()
    for _ in range(2):
        settings = Settings(cache_strategy="disk", disk_path=tmp_path / "c.db", plugins=[])
        runtime = Runtime(settings)
        runtime.enter()
        await runtime.start()
        assert await asyncio.to_thread(price, 7) == Price(Decimal("1.75"))
        assert await asyncio.to_thread(price, 7) == Price(Decimal("1.75"))
        await runtime.stop()
    assert calls == [7]
