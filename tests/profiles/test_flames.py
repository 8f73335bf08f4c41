from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from perfmw import PerfMiddleware, Settings
from perfmw.profiles.flame import Flame
from perfmw.testing import Client

pytest.importorskip("pyinstrument", reason="the extra profiler is not installed")

pytestmark = pytest.mark.anyio


def burn(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


async def busy(request: Request) -> Response:
    burn(0.02)
    return PlainTextResponse("busy")


async def idle(request: Request) -> Response:
    return PlainTextResponse("idle")


def site() -> PerfMiddleware:
    routes = [Route("/busy/{id}", busy), Route("/idle", idle)]
    return PerfMiddleware(Starlette(routes=routes), settings=Settings())


def everything(flame: Flame) -> Iterator[Flame]:
    yield flame
    for child in flame.children:
        yield from everything(child)


async def test_a_flame_graph_names_the_function_that_takes_the_time() -> None:
    middleware = site()
    async with Client(middleware) as client:
        await client.get("/idle")
        watching = asyncio.create_task(
            middleware.runtime.profile_route("GET /busy/{id}", requests=3, seconds=20.0)
        )
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="being profiled"):
            await middleware.runtime.profile_route("GET /idle")
        for number in range(3):
            await client.get("/idle")
            await client.get(f"/busy/{number}")
        flame = await watching
    assert flame.name == "GET /busy/{id}"
    assert flame.value > 0.0
    burning = [one for one in everything(flame) if one.name.startswith("burn ")]
    assert sum(one.value for one in burning) >= 0.1 * flame.value  # a busy machine takes the rest
    assert not any(one.name.startswith("idle ") for one in everything(flame))
    assert middleware.runtime.tracing is None


async def test_a_route_that_nobody_asks_for_gives_an_empty_graph() -> None:
    flame = await site().runtime.profile_route("GET /busy/{id}", seconds=0.02)
    assert (flame.value, flame.children) == (0.0, [])


async def test_how_much_memory_a_request_allocates_is_told_on_demand() -> None:
    async def greedy(request: Request) -> Response:
        return PlainTextResponse(str(len(bytearray(12_000_000))))

    middleware = PerfMiddleware(Starlette(routes=[Route("/greedy", greedy)]), settings=Settings())
    async with Client(middleware) as client:
        watching = asyncio.create_task(
            middleware.runtime.profile_route("GET /greedy", requests=2, seconds=20.0, memory=True)
        )
        await asyncio.sleep(0)
        for _ in range(2):
            await client.get("/greedy")
        flame = await watching
    assert flame.requests == 2
    assert flame.peak_bytes is not None
    assert 12_000_000 <= flame.peak_bytes < 24_000_000
    assert not tracemalloc.is_tracing()
