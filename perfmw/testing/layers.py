"""The contract of a cache layer: what perfmw needs of an aiocache backend."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from perfmw.testing.checks import Contract, check

if TYPE_CHECKING:
    from aiocache.base import BaseCache

AWKWARD_KEYS = ("GET https://host/a?b=1&c=2", "ключ", "with space", "percent%2F", "x" * 300)
SAMPLE_VALUES = (b"", b"value", bytes(range(256)), b"\r\n\x00" * 50, b"z" * 300_000)


class CacheLayerContract(Contract):
    """What every cache layer promises. Subclass it and say how to make one, empty and ready::

    class TestDisk(CacheLayerContract):
        async def make(self):
            return DiskLayer(path)
    """

    short_ttl: float = 0.05
    """Seconds; a layer that counts whole seconds says 1."""

    async def make(self) -> BaseCache[Any]:
        raise NotImplementedError("say how to make the layer")

    async def pass_time(self, seconds: float) -> None:
        """Let ``seconds`` pass; override it where the layer takes a clock."""
        await asyncio.sleep(seconds)

    def with_layer(self, scenario: Callable[[BaseCache[Any]], Awaitable[Any]]) -> None:
        async def run() -> None:
            layer = await self.make()
            try:
                await scenario(layer)
            finally:
                await layer.close()

        self.run(run)

    def test_a_missing_key_gives_the_default(self) -> None:
        async def scenario(layer: BaseCache[Any]) -> None:
            check(await layer.get("absent") is None, "a missing key gives None")
            check(await layer.get("absent", default=b"d") == b"d", "a missing key gives the default")
            check(not await layer.exists("absent"), "a missing key does not exist")
            check(await layer.delete("absent") == 0, "deleting a missing key deletes nothing")

        self.with_layer(scenario)

    def test_values_come_back_unchanged(self) -> None:
        async def scenario(layer: BaseCache[Any]) -> None:
            for number, value in enumerate(SAMPLE_VALUES):
                await layer.set(f"value-{number}", value)
                check(await layer.get(f"value-{number}") == value, f"{value[:20]!r}… comes back unchanged")

        self.with_layer(scenario)

    def test_keys_are_kept_apart(self) -> None:
        async def scenario(layer: BaseCache[Any]) -> None:
            for key in AWKWARD_KEYS:
                await layer.set(key, key.encode())
            for key in AWKWARD_KEYS:
                check(await layer.get(key) == key.encode(), f"the key {key[:40]!r} has a value of its own")

        self.with_layer(scenario)

    def test_a_second_set_replaces_value_and_ttl(self) -> None:
        async def scenario(layer: BaseCache[Any]) -> None:
            await layer.set("key", b"one", ttl=self.short_ttl)
            await layer.set("key", b"two", ttl=600)
            await self.pass_time(self.short_ttl * 3)
            check(await layer.get("key") == b"two", "the second set replaces value and TTL")

        self.with_layer(scenario)

    def test_an_entry_expires(self) -> None:
        async def scenario(layer: BaseCache[Any]) -> None:
            await layer.set("short", b"1", ttl=self.short_ttl)
            await layer.set("long", b"2", ttl=600)
            await self.pass_time(self.short_ttl * 3)
            check(await layer.get("short") is None, "an entry is gone after its TTL")
            check(not await layer.exists("short"), "an expired entry does not exist")
            check(await layer.get("long") == b"2", "an entry lives until its TTL ends")

        self.with_layer(scenario)

    def test_delete_removes_one_key(self) -> None:
        async def scenario(layer: BaseCache[Any]) -> None:
            await layer.set("a", b"1")
            await layer.set("b", b"2")
            check(await layer.delete("a") == 1, "delete tells that it deleted")
            check(await layer.get("a") is None, "a deleted key is gone")
            check(await layer.get("b") == b"2", "delete leaves other keys alone")

        self.with_layer(scenario)

    def test_many_keys_at_once(self) -> None:
        async def scenario(layer: BaseCache[Any]) -> None:
            await layer.multi_set([("a", b"1"), ("b", b"2")])
            found = await layer.multi_get(["b", "absent", "a"])
            check(list(found) == [b"2", None, b"1"], "multi_get answers in the order asked, None for missing")

        self.with_layer(scenario)

    def test_clear_empties_the_layer(self) -> None:
        async def scenario(layer: BaseCache[Any]) -> None:
            await layer.set("a", b"1")
            await layer.clear()
            check(await layer.get("a") is None, "clear leaves nothing")

        self.with_layer(scenario)

    def test_concurrent_use(self) -> None:
        async def scenario(layer: BaseCache[Any]) -> None:
            async def work(number: int) -> None:
                await layer.set(f"key-{number}", str(number).encode())
                check(await layer.get(f"key-{number}") == str(number).encode(), "concurrent calls stay apart")

            await asyncio.gather(*(work(number) for number in range(50)))

        self.with_layer(scenario)
