"""A flame graph is of all workers of the host, whichever was asked for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from perfmw import PerfMiddleware, Settings
from perfmw.profiles.flame import Flame, merged, thinned
from perfmw.profiles.tracked import profile_id
from perfmw.runtime.flames import HEARING, KEPT, HostFlames, Session
from tests.runtime.test_workers import exchange, no_app, opened, until

pytestmark = pytest.mark.anyio
ROUTE = "GET /slow"
OWN = [("origin", "http://127.0.0.1"), ("content-type", "application/json")]


class Worker:
    """What watches a route when it is told to end."""

    def __init__(self, peers: int = 1, error: Exception | None = None) -> None:
        self.go, self.error, self.tasks = asyncio.Event(), error, list[asyncio.Task[Any]]()
        self.flames = HostFlames(self, lambda: peers)

    async def profile_route(self, route: str, **options: Any) -> Flame:
        if self.error is not None:
            raise self.error
        await self.go.wait()
        return Flame(
            route, 1.0, [Flame("work (app.py:3)", 0.5), Flame("blink (app.py:9)", 0.0001)], requests=4
        )

    def spawn(self, work: Coroutine[Any, Any, Any], *, name: str) -> Any:
        self.tasks.append(asyncio.ensure_future(work))

    async def ended(self) -> None:
        self.go.set()
        await asyncio.gather(*self.tasks)

    def hear(self, *others: Worker) -> None:
        for other in others:
            self.flames.take_over(other.flames.said())

    def found(self) -> Session:
        session = self.flames.find(ROUTE)
        assert session is not None
        return session


async def test_every_worker_watches_and_knows_what_all_saw() -> None:
    one, other = Worker(), Worker()
    assert one.flames.find(ROUTE) is None
    assert one.flames.start(ROUTE, 5.0, memory=False).status == "running"
    await one.ended()
    assert one.found().status == "running", "the other has not told yet"
    other.hear(one)
    assert other.found().status == "running", "it watches now"
    with pytest.raises(RuntimeError, match="GET /slow is being profiled"):
        other.flames.start("GET /other", 5.0, memory=False)
    await other.ended()
    one.hear(other)
    for worker in (one, other):
        found = worker.found()
        assert (found.status, found.workers, found.error) == ("done", 2, "")
        assert found.flame is not None
        assert (found.flame.value, found.flame.requests) == (2.0, 8)
        assert [(child.name, child.value) for child in found.flame.children] == [("work (app.py:3)", 1.0)]
    one.hear(other)
    assert len(one.tasks) == len(other.tasks) == 1, "heard again, it is not watched again"


async def test_a_worker_that_can_not_is_left_out() -> None:
    one, other = Worker(), Worker(error=RuntimeError("another route is being watched"))
    one.flames.start(ROUTE, 5.0, memory=False)
    await one.ended()
    other.hear(one)
    await other.ended()
    one.hear(other)
    assert (one.found().status, one.found().workers, one.found().error) == ("done", 1, "")


async def test_without_other_workers_nobody_waits_for_them() -> None:
    one = Worker(peers=0)
    one.flames.start(ROUTE, 5.0, memory=False)
    await one.ended()
    assert one.found().status == "done"
    failing = Worker(peers=0, error=ImportError("pyinstrument"))
    failing.flames.start(ROUTE, 5.0, memory=False)
    await failing.ended()
    assert failing.found().status == "failed"
    assert "perfmw[profiler]" in failing.found().error


async def test_who_never_tells_is_not_waited_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    one, late = Worker(), Worker()
    one.flames.start(ROUTE, 5.0, memory=False)
    await one.ended()
    said = one.flames.said()
    now = time.time()
    monkeypatch.setattr("perfmw.runtime.flames.time.time", lambda: now + HEARING + 1.0)
    assert (one.found().status, one.found().workers) == ("done", 1)
    late.flames.take_over(said)
    assert late.tasks == [], "too late to watch, but not to know"
    assert late.found().status == "done"
    monkeypatch.setattr("perfmw.runtime.flames.time.time", lambda: now + 3_600.0)
    assert one.flames.said() == []


async def test_few_sessions_are_kept() -> None:
    one = Worker(peers=0)
    one.go.set()
    for number in range(KEPT + 1):
        one.flames.start(f"GET /{number}", 5.0, memory=False)
        await one.ended()
    assert one.flames.find("GET /0") is None
    assert one.flames.find(f"GET /{KEPT}") is not None


def test_what_is_merged_stays_as_it_is() -> None:
    parts = [Flame("r", 1.0, [Flame("a", 0.4, [Flame("b", 0.3)])], 1, peak) for peak in (None, 7, 5)]
    whole = merged(parts)
    assert (whole.value, whole.requests, whole.peak_bytes) == (3.0, 3, 7)
    (box,) = whole.children
    assert (box.name, round(box.value, 6)) == ("a", 1.2)
    assert [(one.name, round(one.value, 6)) for one in box.children] == [("b", 0.9)]
    assert parts[0] == Flame("r", 1.0, [Flame("a", 0.4, [Flame("b", 0.3)])], 1, None)
    assert thinned(Flame("r", 1.0, [Flame("a", 0.4, [Flame("b", 0.0009)])])).children == [Flame("a", 0.4)]


async def test_the_api_of_any_worker_tells_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(state_dir=str(tmp_path), dashboard="loopback", sample_interval=3_600.0, plugins=())
    workers = [PerfMiddleware(no_app, settings) for _ in range(2)]

    async def profile_route(route: str, **options: Any) -> Flame:
        return Flame(route, 1.0, [Flame("work", 0.5)], requests=4)

    for one in workers:
        monkeypatch.setattr(one.runtime, "profile_route", profile_route)
        one.runtime.profiles.recorder(ROUTE).origin(0.1, 200, "")
    path = f"/_perfmw/api/v1/profiles/{profile_id('component', ROUTE)}/flame"
    async with opened(*workers) as pages:
        await exchange(*workers, workers[0])
        assert (await pages[0].post(path, OWN, b"{}")).status == 202
        for _ in range(2):
            await exchange(*workers)
            for one in workers:
                one.runtime.rounds.tick(time.time())
            await until(lambda: all(one.runtime.flames.said()[0].status == "done" for one in workers))
        await exchange(*workers, workers[0])
        for one, page in zip(workers, pages, strict=True):
            one.runtime.rounds.tick(time.time())
            told = (await page.get(path)).json()
            assert (told["status"], told["workers"], told["flame"]["requests"]) == ("done", 2, 8)
