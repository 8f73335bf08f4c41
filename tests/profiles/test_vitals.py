from __future__ import annotations

import json

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from perfmw import PerfMiddleware, Settings
from perfmw.profiles import ProfileStore
from perfmw.profiles.vitals import MAX_BODY, MOST_A_SECOND, VitalsBeacon
from perfmw.testing import Client

pytestmark = pytest.mark.anyio


def site() -> PerfMiddleware:
    async def page(request: Request) -> Response:
        return PlainTextResponse("page")

    routes = [Route("/", page), Route("/items/new", page), Route("/items/{id}", page)]
    return PerfMiddleware(Starlette(routes=routes), settings=Settings(vitals_path="/_vitals"))


def told(store: ProfileStore, name: str) -> dict[str, float]:
    metrics = store.metrics(name)
    assert metrics is not None
    return dict(metrics.user_experience.web_vitals)


async def test_what_browsers_tell_is_part_of_their_routes_profile() -> None:
    middleware = site()
    store = middleware.runtime.profiles
    async with Client(middleware) as client:
        for path in ("/items/7", "/items/new"):
            await client.get(path)
        for lcp in (1000.0, 1000.0, 1000.0, 5000.0):
            body = json.dumps({"path": "/items/42", "LCP": lcp, "CLS": 0.05, "INP": -1, "TTFB": 1e9})
            answer = await client.request("POST", "/_vitals", body=body.encode())
            assert answer.status == 204
        await client.request("POST", "/_vitals", body=b'{"path": "/items/new", "LCP": 300}')
        await client.request("POST", "/_vitals", body=b'{"path": "/nowhere", "LCP": 300}')
        assert store.names() == ["GET /items/{id}", "GET /items/new"]
    assert told(store, "GET /items/{id}") == pytest.approx({"LCP": 1.0, "CLS": 0.05}, rel=0.011)
    assert told(store, "GET /items/new") == pytest.approx({"LCP": 0.3}, rel=0.011)


@pytest.mark.parametrize(
    "body",
    [b"", b"no json", b"[]", b'{"LCP": 1}', b'{"path": 5}', b'{"path": "/", "x": {}}', b" " * (MAX_BODY + 1)],
)
async def test_what_is_no_beacon_is_refused(body: bytes) -> None:
    async with Client(site()) as client:
        assert (await client.request("POST", "/_vitals", body=body)).status == 400


async def test_the_script_is_there_and_other_methods_are_not() -> None:
    async with Client(site()) as client:
        script = await client.get("/_vitals.js")
        assert script.status == 200
        assert "sendBeacon" in script.text
        assert (await client.get("/_vitals")).status == 405
        assert (await client.get("/_vitals.css")).status == 404


async def test_without_the_setting_there_is_no_beacon() -> None:
    async with Client(PerfMiddleware(Starlette(), settings=Settings())) as client:
        assert (await client.request("POST", "/_vitals", body=b"{}")).status == 404


def test_beacons_are_bounded_in_number() -> None:
    store = ProfileStore()
    store.recorder("GET /").hit(0.1)
    beacon = VitalsBeacon(store, "/v", clock=lambda: 5.0)
    for _ in range(MOST_A_SECOND + 50):
        assert beacon.take(b'{"path": "/", "LCP": 100}')
    tracked = store.everything()[0]
    assert tracked.extras is not None
    assert tracked.extras.vitals["LCP"].count == MOST_A_SECOND
