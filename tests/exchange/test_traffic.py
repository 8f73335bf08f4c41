"""What is counted of a hit beside its time: bytes and the time that the app was spared."""

from __future__ import annotations

import asyncio

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from perfmw import PerfMiddleware, Settings
from perfmw.profiles.traffic import Traffic
from perfmw.testing import Client

pytestmark = pytest.mark.anyio


async def page(request: Request) -> Response:
    await asyncio.sleep(0.02)
    headers = {"cache-control": "max-age=60", "etag": '"1"'}
    return PlainTextResponse("x" * 100, headers=headers)


async def old(request: Request) -> Response:
    return PlainTextResponse("x" * 10, headers={"cache-control": "max-age=0, stale-while-revalidate=60"})


def traffic(app: PerfMiddleware, name: str) -> Traffic:
    return app.runtime.profiles.readings()[name].traffic


@pytest.fixture
def app() -> PerfMiddleware:
    site = Starlette(routes=[Route("/page", page), Route("/old", old)])
    return PerfMiddleware(site, settings=Settings.load(env={}, cwd="/", plugins=()))


async def test_the_short_way_and_the_long_way_count_alike(app: PerfMiddleware) -> None:
    client = Client(app)
    await client.get("/page")
    assert traffic(app, "GET /page") == Traffic(fills=1, stored_bytes=100)
    await client.get("/page")
    short = traffic(app, "GET /page")
    assert short.hit_bytes == 100
    assert short.saved >= 0.015
    await client.get("/page", headers={"cache-control": "max-age=50"})  # needs a closer look
    both = traffic(app, "GET /page")
    assert both.hit_bytes == 200
    assert both.saved == pytest.approx(2 * short.saved)
    await app.runtime.stop()


async def test_a_304_sends_no_body_and_spares_the_app_all_the_same(app: PerfMiddleware) -> None:
    client = Client(app)
    await client.get("/page")
    response = await client.get("/page", headers={"if-none-match": '"1"'})
    assert response.status == 304
    found = traffic(app, "GET /page")
    assert (found.hit_bytes, found.saved >= 0.015) == (0, True)
    await app.runtime.stop()


async def test_who_waited_for_anothers_answer_and_who_got_an_old_one(app: PerfMiddleware) -> None:
    client = Client(app)
    await asyncio.gather(*(client.get("/page") for _ in range(4)))
    assert traffic(app, "GET /page").collapsed == 3
    await client.get("/old")
    await client.get("/old")
    assert traffic(app, "GET /old").stale == 1
    await app.runtime.stop()
