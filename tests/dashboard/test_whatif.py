"""Other sizes, policies and lifetimes, tried on the last reads."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from perfmw import CacheRule, PerfMiddleware, Settings
from perfmw.dashboard.whatif import LIFETIMES, POLICIES, curve_chart, rehearse
from perfmw.runtime import trail as trails
from perfmw.runtime.trail import MOST_READS, Trail

pytestmark = pytest.mark.anyio
API = "/_perfmw/api/v1/cache/what-if"
OWN = {"origin": "http://localhost", "content-type": "application/json"}


def test_a_loop_hits_only_where_all_of_it_fits() -> None:
    """Cyclic reads are LRU's worst case: below the whole it hits nothing."""
    keys = [f"k{n % 64}" for n in range(640)]
    found = rehearse([(key, 100) for key in keys], [(float(n), key) for n, key in enumerate(keys)], {}, 9.0)
    lru = found.hit_ratios["lru"]
    assert set(found.hit_ratios) == set(POLICIES)
    assert found.sizes == sorted(found.sizes)
    assert found.sizes[-1] == 6_400
    assert lru[-1] == pytest.approx(0.9)
    assert max(lru[:-1]) == 0.0
    assert (found.reads, found.keys, found.seconds) == (640, 64, 639.0)
    assert not curve_chart(found).empty


def test_a_longer_lifetime_hits_more_and_is_stale_more_often() -> None:
    reads = [(float(n), "k") for n in range(1_000)]
    changes = {"k": [float(n) for n in range(50, 1_000, 100)]}
    found = rehearse([("k", 10)] * 1_000, reads, changes, 0.0)
    assert [one.seconds for one in found.lifetimes] == list(LIFETIMES)
    hits, stale = [one.hits for one in found.lifetimes], [one.stale for one in found.lifetimes]
    assert hits == sorted(hits)
    assert stale[0] == 0.0
    assert stale[-1] == pytest.approx(0.95)
    assert found.changes == 10


def test_a_trail_is_bounded_and_tells_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trails, "MOST_KEYS", 3)
    trail = Trail()
    for n in range(MOST_READS + 10):
        trail.read(f"GET http://secret/{n % 5}", float(n))
    assert len(trail.reads) == MOST_READS
    for n in range(5):
        trail.stored(f"GET http://secret/{n}", b"x" * n, 1.0)
    assert len({key for key, _ in trail.accesses(1_000)}) == 3
    assert all(key.lstrip("-").isdigit() for key, _ in trail.accesses(10))
    trail.stored("GET http://secret/4", b"other", 7.0)
    trail.stored("GET http://secret/4", b"other", 8.0)
    assert list(trail.changes().values()) == [[7.0]]
    assert [now for now, _ in trail.timed(2)] == sorted(now for now, _ in trail.timed(2))


async def page(request: Request) -> Response:
    return PlainTextResponse("x" * (1 + int(request.path_params["n"])))


def site(**settings: object) -> PerfMiddleware:
    chosen = Settings(
        dashboard="loopback", cache_rules=[CacheRule(path="/*", ttl=60)], plugins=(), **settings
    )
    return PerfMiddleware(Starlette(routes=[Route("/{n}", page)]), settings=chosen)


async def asked(app: PerfMiddleware) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 5_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client
    await app.runtime.stop()


async def test_it_is_tried_when_asked_for_and_shown() -> None:
    async for client in asked(site(usage_pattern_learning=True)):
        assert (await client.post(API, headers=OWN)).status_code == 409
        for n in range(120):
            await client.get(f"/{n % 8}")
        before = (await client.get(API)).json()
        assert (before["what_if"], before["remembers"]) == (None, True)
        assert "Try it on the last reads" in (await client.get("/_perfmw/caching")).text
        found = (await client.post(API, headers=OWN)).json()
        assert found["reads"] >= 112
        assert found["hit_ratios"]["lru"][-1] > 0.8
        assert (await client.get(API)).json()["what_if"] == found
        text = (await client.get("/_perfmw/caching")).text
        assert text.count('class="series') >= 8
        assert "What was learned" in text
        assert "for each MiB held; memory cost" in text
        assert "left memory before anybody read them" in text
        assert "/_perfmw" not in str((await client.get(API)).json()["learned"]), "who looks is no visitor"


async def test_without_the_setting_it_teaches() -> None:
    async for client in asked(site()):
        assert (await client.post(API, headers=OWN)).status_code == 501
        assert "usage_pattern_learning=True" in (await client.get("/_perfmw/caching")).text
