"""Five frameworks, unchanged, behind the middleware: right answers, and nothing private shared."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from perfmw import CacheRule, PerfMiddleware, Settings
from perfmw.testing import Client
from tests.hosts.apps import APPS, CHUNKS

pytestmark = pytest.mark.anyio


@pytest.fixture(params=sorted(APPS))
async def client(request: Any) -> AsyncIterator[Client]:
    rules = [CacheRule(path="/private", ttl=60), CacheRule(path="/items/*", ttl=60)]
    app = PerfMiddleware(APPS[request.param](), settings=Settings(cache_rules=rules))
    async with Client(app) as client:
        yield client
    await app.runtime.stop()


def names(client: Client) -> dict[str, int]:
    profiles = client.app.runtime.profiles.snapshot()  # type: ignore[attr-defined]
    return {profile.name: profile.metrics.latency.count for profile in profiles}


async def test_a_fresh_page_is_a_hit_with_the_same_bytes(client: Client) -> None:
    first = await client.get("/hello")
    second = await client.get("/hello")
    assert (first.status, second.status) == (200, 200)
    assert first.header("cache-status") == "perfmw; fwd=uri-miss; stored"
    assert (second.header("cache-status") or "").startswith("perfmw; hit; ttl=")
    assert second.body == first.body
    assert second.header("age") == "0"
    assert second.header("content-length") == str(len(first.body))  # known by now, if not before
    kept = {"content-type", "cache-control"}
    assert {name: first.header(name) for name in kept} == {name: second.header(name) for name in kept}


async def test_private_pages_are_never_shared_not_even_under_a_rule(client: Client) -> None:
    pages = [(await client.get("/private", {"x-user": user})).text for user in ("ann", "bob", "ann")]
    assert pages == ["private page of ann", "private page of bob", "private page of ann"]


async def test_a_streamed_page_arrives_whole_and_is_stored_when_complete(client: Client) -> None:
    bodies = [(await client.get("/stream")).body for _ in range(3)]
    assert bodies == [b"".join(CHUNKS)] * 3
    last = await client.get("/stream")
    assert (last.header("cache-status") or "").startswith("perfmw; hit")


async def test_a_rule_caches_a_route_and_its_profile_counts_every_request(client: Client) -> None:
    for number in (1, 2, 1, 2):
        assert (await client.get(f"/items/{number}")).text == f"item {number}"
    hit = await client.get("/items/1")
    assert (hit.header("cache-status") or "").startswith("perfmw; hit")
    counted = {name: count for name, count in names(client).items() if "/items/" in name}
    assert list(counted.values()) == [5]
    assert next(iter(counted)).startswith("GET /items/{")


async def test_not_found_is_passed_on_and_not_named_by_its_path(client: Client) -> None:
    answer = await client.get("/nowhere/8b1a9953c4611296a827abf8c47804d7")
    assert answer.status == 404
    assert not any("nowhere" in name for name in names(client))
