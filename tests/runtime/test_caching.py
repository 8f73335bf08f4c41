"""What the caches did: by layer, namespace, route and function, of one worker and of several."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from perfmw import PerfMiddleware, Runtime, Settings, cached
from perfmw.contracts import CacheStatistics
from perfmw.runtime.caching import SAMPLES
from perfmw.runtime.workers import Said, heard
from perfmw.testing import Client

pytestmark = pytest.mark.anyio


async def item(request: Request) -> Response:
    return PlainTextResponse("x" * 1_000, headers={"cache-control": "max-age=60"})


async def secret(request: Request) -> Response:
    return PlainTextResponse("mine", headers={"cache-control": "no-store"})


def site(**settings: object) -> PerfMiddleware:
    routes = [Route("/items/{id}", item), Route("/secret", secret)]
    chosen = Settings.load(env={}, cwd="/", plugins=(), **settings)
    return PerfMiddleware(Starlette(routes=routes), settings=chosen)


@pytest.fixture
async def app() -> AsyncIterator[PerfMiddleware]:
    app = site()
    async with Client(app):
        yield app


def statistics(app: PerfMiddleware) -> CacheStatistics:
    found = app.runtime.snapshot().caching()
    assert found is not None
    return found


async def test_a_route_has_hits_by_requests_bytes_and_time(app: PerfMiddleware) -> None:
    client = Client(app)
    for _ in range(3):
        await client.get("/items/1")
    await client.get("/secret")
    routes = {use.name: use for use in statistics(app).routes}
    use = routes["GET /items/{id}"]
    assert (use.hits, use.misses, use.fills) == (2, 1, 1)
    assert (use.hit_bytes, use.stored_bytes) == (2_000, 1_000)
    assert use.seconds_saved is not None
    assert use.latency is not None
    assert use.latency.count == 2
    assert use.hit_rate == pytest.approx(2 / 3)
    assert (routes["GET /secret"].hits, routes["GET /secret"].fills) == (0, 0)
    whole = statistics(app).whole
    assert (whole.hits, whole.misses, whole.hit_bytes) == (2, 2, 2_000)


async def test_reads_of_memory_are_sampled_after_a_tick(app: PerfMiddleware) -> None:
    client = Client(app)
    await client.get("/items/1")
    app.runtime.caching.tick(1e9)
    for _ in range(2 * SAMPLES):
        await client.get("/items/1")
    app.runtime.caching.tick(2e9)
    [layer] = statistics(app).layers
    assert layer.latency is not None
    assert layer.latency.count == SAMPLES
    assert layer.hit_bytes is not None
    assert layer.hit_bytes >= 1_000 * layer.hits
    [(key, weight)] = app.runtime.caching.hottest.top(5)
    assert (key, weight > 0) == ("GET http://testserver/items/1", True)


async def test_why_entries_left(app: PerfMiddleware) -> None:
    client = Client(app)
    for number in range(4):
        await client.get(f"/items/{number}")
    await app.runtime.invalidate(url="http://testserver/items/0")
    await app.runtime.invalidate(prefix="http://testserver/items/1")
    [layer] = statistics(app).layers
    assert (layer.fills, layer.entries) == (4, 2)
    assert layer.left() == {"capacity": 0, "expired": 0, "invalidated": 2, "replaced": 0}


async def test_functions_are_told_by_name_and_as_a_namespace(app: PerfMiddleware) -> None:
    @cached(namespace="caching.load")
    async def load(number: int) -> str:
        return "x" * 100

    app.runtime.enter()
    for number in (1, 1, 1, 2):
        await load(number)
    found = statistics(app)
    [use] = [use for use in found.functions if use.name == "caching.load"]
    assert (use.kind, use.hits, use.misses, use.fills) == ("function", 2, 2, 2)
    assert use.hit_bytes == use.stored_bytes
    namespaces = {use.name: use for use in found.namespaces}
    assert namespaces["functions"].hits >= 2
    assert namespaces["http"].hits == 0


async def test_what_another_worker_says_is_counted_in(app: PerfMiddleware) -> None:
    client = Client(app)
    app.runtime.caching.tick(1e9)
    for _ in range(3):
        await client.get("/items/1")
    app.runtime.caching.tick(2e9)
    caching = app.runtime.caching
    own = statistics(app).layers[0]
    said = Said(layers=caching.infos(), process=app.runtime.rounds.process(), caches=caching.said())
    [peer] = heard([msgspec.json.encode(said)])
    [both] = caching.layers([peer])
    assert (both.hits, both.fills) == (2 * own.hits, 2 * own.fills)
    assert own.latency is not None
    assert both.latency is not None
    assert both.latency.count == 2 * own.latency.count
    assert caching.statistics([peer, peer]).layers[0].hits == 3 * own.hits


async def test_the_hottest_keys_outlive_the_process(tmp_path: Path) -> None:
    app = site(state_dir=str(tmp_path))
    async with Client(app) as client:
        await app.runtime.caching.start()
        await client.get("/items/7")
        app.runtime.caching.tick(1e9)
        for _ in range(3):
            await client.get("/items/7")
    after = Runtime(Settings.load(env={}, cwd="/", plugins=(), state_dir=str(tmp_path)))
    await after.caching.start()
    assert [key for key, _ in after.caching.previous] == ["GET http://testserver/items/7"]
    assert [key for key, _ in after.caching.hottest.top(1)] == ["GET http://testserver/items/7"]


async def test_a_disk_layer_is_timed_at_every_read(tmp_path: Path) -> None:
    app = site(layers=["memory", "disk"], disk_path=str(tmp_path / "cache.sqlite3"))
    async with Client(app) as client:
        assert app.runtime.caching.path == tmp_path / "hottest.json"
        await client.get("/items/1")
        app.runtime.cache.memory.clear_nowait()  # type: ignore[union-attr]
        await client.get("/items/1")
        disk = {layer.name: layer for layer in statistics(app).layers}["disk"]
        assert (disk.hits, disk.fills) == (1, 1)
        assert disk.latency is not None
        assert disk.latency.count == disk.hits + disk.misses
        assert disk.hit_bytes is not None
        assert disk.hit_bytes > 0
