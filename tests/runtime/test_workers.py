"""What several workers say of themselves, added up."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from perfmw import PerfMiddleware, Settings, hookimpl
from perfmw.contracts import Controls, OptimizationOpportunity, PoolSample, RuntimeSnapshot
from perfmw.runtime.workers import merged_limits, merged_pools
from perfmw.testing import Client

API = "/_perfmw/api/v1"


def pool(name: str, used: float, capacity: float | None, **more: Any) -> PoolSample:
    share = used / capacity if capacity else None
    return PoolSample(name, "connections", capacity, used, share, **more)


def test_pools_of_the_host_are_told_once_and_those_of_workers_added_up() -> None:
    own = [pool("cpu", 1.0, 2.0), pool("database", 4.0, 5.0, waiting=1, saturation=0.2)]
    other = [
        pool("cpu", 1.1, 2.0),
        pool("database", 2.0, 5.0, waiting=2, saturation=0.4),
        pool("late", 1.0, None),
    ]
    cpu, database, late = merged_pools(own, [other])
    assert (cpu.used, cpu.capacity) == (1.0, 2.0)
    assert (database.used, database.capacity, database.utilization) == (6.0, 10.0, 0.6)
    assert (database.waiting, database.saturation) == (3, 0.4)
    assert late.utilization is None
    assert own[1].used == 4.0


def limits(admitted: int, refused: int, keys: int) -> dict[str, Any]:
    group = {
        "group": "default",
        "limit": 20,
        "in_flight": 1,
        "waiting": 0,
        "admitted": {"normal": admitted},
        "refused": {"normal": refused},
    }
    quota = {
        "quota": "few",
        "allowed": admitted,
        "refused": refused,
        "refused_by_priority": {"normal": refused},
        "keys": keys,
        "heaviest": [{"key": "a", "refused": refused}],
    }
    return {"mode": "on", "groups": [group], "quotas": [quota]}


def test_limits_of_all_workers_are_one_table() -> None:
    told = [limits(5, 2, 3), limits(7, 1, 9), {}]
    merged = merged_limits(told)
    (group,), (quota,) = merged["groups"], merged["quotas"]
    assert (group["limit"], group["in_flight"]) == (40, 2)
    assert (group["admitted"], group["refused"]) == ({"normal": 12}, {"normal": 3})
    assert (quota["allowed"], quota["refused"], quota["keys"]) == (12, 3, 9)
    assert quota["heaviest"] == [{"key": "a", "refused": 3}]
    assert told[0] == limits(5, 2, 3)
    assert merged_limits([{}, {}]) == {}


class Connections:
    """A plugin's pool, of which each worker has its own."""

    name = "database"

    def __init__(self, used: float) -> None:
        self.used = used

    def sample(self, now: float) -> PoolSample:
        return pool("database", self.used, 10.0, sampled_at=now)


class Database:
    def __init__(self, used: float) -> None:
        self.used = used

    @hookimpl
    def perfmw_register_resource_pools(self, settings: Settings) -> dict[str, Any]:
        return {"database": Connections(self.used)}


async def no_app(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "lifespan", "only the dashboard is asked"
    raise NotImplementedError


@asynccontextmanager
async def opened(*workers: PerfMiddleware) -> AsyncIterator[list[Client]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Client(one, base_url="http://127.0.0.1")) for one in workers]


async def exchange(*workers: PerfMiddleware) -> None:
    for one in workers:
        assert one.runtime.sharing is not None
        await one.runtime.sharing.exchange()


@pytest.mark.anyio
async def test_each_worker_shows_the_pools_and_managers_of_all(tmp_path: Path) -> None:
    settings = Settings(state_dir=str(tmp_path), dashboard="loopback", sample_interval=3_600.0, plugins=())
    first, second = (PerfMiddleware(no_app, settings, plugins=[Database(used)]) for used in (2.0, 7.0))
    async with opened(first, second) as pages:
        for one in (first, second):
            one.runtime.rounds.tick(time.time())
        made = second.runtime.rounds.resources.create("shop", pools=["database"])
        await exchange(second, first, second)
        for one, page in zip((first, second), pages, strict=True):
            one.runtime.rounds.tick(time.time())
            api = "/_perfmw/api/v1"
            listed = {row["name"]: row for row in (await page.get(f"{api}/pools")).json()["items"]}
            assert listed["database"]["utilization"] == 0.45
            moments = (await page.get(f"{api}/pools/history?window=60")).json()["items"]
            own = [pool.utilization for pool in one.runtime.rounds.pools if pool.name == "database"]
            assert moments[-1]["values"]["database"] == pytest.approx((*own, 0.45)[0] / 2 + 0.45 / 2)
            managed = (await page.get(f"{api}/resources/{made.id}")).json()["manager"]
            assert managed["metrics"]["utilization"] == {"database": 0.45}
            metrics = (await page.get("/_perfmw/metrics")).text
            assert re.search(r'^perfmw_pool_utilization_ratio{pool="database"} 0\.45$', metrics, re.M)


@pytest.mark.anyio
async def test_all_workers_follow_the_switch_of_automatic_optimization(tmp_path: Path) -> None:
    """The later word holds, whichever worker was told; so does the kill switch."""
    settings = Settings(state_dir=str(tmp_path), dashboard="loopback", sample_interval=3_600.0, plugins=())
    first, second = PerfMiddleware(no_app, settings), PerfMiddleware(no_app, settings)
    own = [("origin", "http://127.0.0.1"), ("content-type", "application/json")]

    def states() -> list[tuple[bool, bool]]:
        return [(s.on, s.ended) for s in (one.runtime.optimizing.switch for one in (first, second))]

    async with opened(first, second) as (one_page, other_page):
        steps = (
            (one_page, "automatic", b'{"on": true}', (True, False)),
            (other_page, "stop", b"{}", (False, True)),
            (one_page, "automatic", b'{"on": true}', (True, False)),
            (other_page, "automatic", b'{"on": false}', (False, False)),
        )
        for page, what, body, wanted in steps:
            answer = await page.post(f"/_perfmw/api/v1/optimization/{what}", own, body)
            assert answer.status < 300, answer.text
            await exchange(first, second, first)
            for one in (first, second):
                one.runtime.rounds.tick(time.time())
            assert states() == [wanted] * 2, what


@pytest.mark.anyio
async def test_a_change_stands_in_all_workers_or_in_none(tmp_path: Path) -> None:
    """What one kept another applies, shows and can undo; also after the file was rotated."""
    settings = Settings(state_dir=str(tmp_path), dashboard="loopback", sample_interval=3_600.0, plugins=())
    first, second = PerfMiddleware(no_app, settings), PerfMiddleware(no_app, settings)
    own = [("origin", "http://127.0.0.1"), ("content-type", "application/json")]
    rule = {"rule_id": "c1", "path": "/items/*", "ttl": 30.0}
    change = OptimizationOpportunity("c1", "cache_route", "GET /items/{id}", "Cache", "cache_route", rule)

    def rules() -> list[list[str]]:
        for one in (first, second):
            one.runtime.optimizing.tick(time.time())
        return [[row["path"] for row in one.runtime.snapshot().cache_rules] for one in (first, second)]

    async with opened(first, second) as (_, page):
        engine = first.runtime.engine
        engine.optimizers["cache_route"].apply(change, first.runtime.controls)
        entry = first.runtime.ledger.append("kept", change, who="user", why="faster", run="r")
        assert rules() == [["/items/*"], ["/items/*"]]
        assert "Cache" in (await page.get("/_perfmw/optimization")).body.decode()
        answer = await page.post(f"/_perfmw/api/v1/ledger/{entry.id}/rollback", own, b"{}")
        assert answer.status == 200, answer.body
        assert rules() == [[], []]
        first.runtime.ledger._max_bytes = 1
        engine.optimizers["cache_route"].apply(change, first.runtime.controls)
        first.runtime.ledger.append("kept", change, who="user", why="faster", run="r")
        assert rules() == [["/items/*"], ["/items/*"]]
        assert [len(one.runtime.ledger.kept()) for one in (first, second)] == [1, 1]


async def until(done: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if done():
            return
        await asyncio.sleep(0.01)


class Idle:
    """An optimizer whose changes change nothing."""

    name = "idle"

    def propose(self, snapshot: RuntimeSnapshot) -> list[OptimizationOpportunity]:
        return []

    def apply(self, opportunity: OptimizationOpportunity, controls: Controls) -> None: ...

    def revert(self, opportunity: OptimizationOpportunity, controls: Controls) -> None: ...


@pytest.mark.anyio
async def test_a_run_is_told_and_ended_by_every_worker(tmp_path: Path) -> None:
    """Pages do not depend on the worker that answers them, and two workers do not try things at a time."""
    settings = Settings(state_dir=str(tmp_path), dashboard="loopback", sample_interval=3_600.0, plugins=())
    first, second = workers = PerfMiddleware(no_app, settings), PerfMiddleware(no_app, settings)
    own = [("origin", "http://127.0.0.1"), ("content-type", "application/json")]
    change = OptimizationOpportunity("c1", "coalescing", "all", "Ask the app once", "idle")
    first.runtime.engine.optimizers["idle"] = Idle()

    async def told() -> list[dict[str, Any]]:
        await exchange(first, second, first)
        for one in workers:
            one.runtime.rounds.tick(time.time())
        return [(await page.get(f"{API}/optimization")).json() for page in pages]

    async with opened(*workers) as pages:
        page, other = pages
        entry = first.runtime.ledger.append("waiting", change, who="test", why="asks").id
        long = b'{"blocks": 2, "block_seconds": 60}'
        assert (await page.post(f"{API}/ledger/{entry}/approve", own, long)).status == 202
        await until(lambda: bool(first.runtime.optimization_state().get("step")))
        one, same = await told()
        assert (one["status"], one["step"]["title"]) == ("running", "Ask the app once")
        assert (same["run"], same["trying"], same["worker"]) == (one["run"], one["trying"], one["worker"])
        assert "Ask the app once</p>" in (await other.get("/_perfmw/optimization")).text
        refused = await other.post(f"{API}/optimization/start", own, b"{}")
        assert (refused.status, "under way" in refused.json()["detail"]) == (409, True)
        assert not second.runtime.optimizing._my_turn()
        assert (await other.post(f"{API}/optimization/cancel", own, b"{}")).status == 202
        await told()
        await until(lambda: not first.runtime.optimizing.runs.own)
        one, same = await told()
        assert [one["status"], same["status"]] == ["idle", "idle"]
        assert one["last"]["steps"][0]["reason"] == "cancelled"
        assert same["last"] == one["last"]
        assert [one.runtime.optimizing._my_turn() for one in workers].count(True) == 1


@pytest.mark.anyio
async def test_what_one_worker_was_asked_any_shows(tmp_path: Path) -> None:
    """Which worker answers is chance: a new profile is found at once, and answers to long questions soon."""
    settings = Settings(
        state_dir=str(tmp_path),
        dashboard="loopback",
        sample_interval=3_600.0,
        plugins=(),
        usage_pattern_learning=True,
    )
    first, second = PerfMiddleware(no_app, settings), PerfMiddleware(no_app, settings)
    own = [("origin", "http://127.0.0.1"), ("content-type", "application/json")]
    trail = first.runtime.learning.trail
    assert trail is not None
    for n in range(100):
        trail.read(f"k{n % 7}", float(n))
        trail.stored(f"k{n % 7}", b"body", float(n))
    async with opened(first, second) as (page, other):
        for name in ("GET /z", "GET /a"):
            made = await page.post(f"{API}/profiles", own, f'{{"name": "{name}"}}'.encode())
            assert made.status == 201
        shown = await other.get(f"/_perfmw/profile?id={made.json()['id']}")
        assert (shown.status, "nothing was counted yet" in shown.text) == (200, True)
        assert "min 0" not in shown.text, "no figures of no requests"
        for shows in (page, other):
            listed = (await shows.get(f"{API}/profiles?limit=2")).json()["items"]
            assert [one["name"] for one in listed] == ["GET /a", "GET /z"]
        assert (await page.post(f"{API}/cache/what-if", own, b"{}")).status == 200
        host = (await page.get(f"{API}/resources")).json()["items"][0]["id"]
        told = (await page.post(f"{API}/resources/{host}/optimize", own, b'{"apply": false}')).json()
        await exchange(first, second)
        tried = [(await p.get(f"{API}/cache/what-if")).json()["what_if"] for p in (page, other)]
        assert tried[0] == tried[1]
        assert tried[1]["reads"] == 100
        assert "tried on the last 100 reads" in (await other.get("/_perfmw/caching")).text
        assert (await other.get(f"{API}/resources/{host}")).json()["last"] == told
        assert "2 workers of one host" in (await other.get("/_perfmw/report")).text


@pytest.mark.anyio
async def test_a_purge_that_one_worker_was_asked_for_reaches_the_memory_of_all(tmp_path: Path) -> None:
    settings = Settings(state_dir=str(tmp_path), dashboard="loopback", sample_interval=3_600.0, plugins=())
    first, second = PerfMiddleware(no_app, settings), PerfMiddleware(no_app, settings)
    own = [("origin", "http://127.0.0.1"), ("content-type", "application/json")]

    async def kept() -> list[bool]:
        await exchange(first, second)
        second.runtime.rounds.tick(time.time())
        await asyncio.gather(*(one for one in asyncio.all_tasks() if one.get_name() == "perfmw-purge"))
        return [await one.runtime.cache.get("a") is not None for one in (first, second)]

    async def fill() -> None:
        for one in (first, second):
            await one.runtime.cache.put("a", "kept", ttl=60, tags=["t"])

    async with opened(first, second) as (page, _):
        await fill()
        told = (await page.post(f"{API}/cache/purge", own, b'{"keys": ["a"], "dry_run": true}')).json()
        assert (told["removed"], await kept()) == (1, [True, True])
        assert (await page.post(f"{API}/cache/purge", own, b'{"tags": ["t"]}')).status == 200
        assert await kept() == [False, False]
        await fill()
        assert await kept() == [True, True], "it is done once"
        purges = first.runtime.rounds.purges
        for n in range(300):
            purges.tell({"keys": [f"k{n}"]})
        assert len(purges.said()) < 256
        assert await kept() == [True, False], "more than can be told are told as one of everything"
