"""One warm-up: bounds, pace, and what is counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable

import pytest

from perfmw.runtime.warming import warmer as warming
from perfmw.runtime.warming.admission import Admission
from perfmw.runtime.warming.warmer import FAILURES_IN_A_ROW, Answer, Bounds, Warmer

pytestmark = pytest.mark.anyio
FAST = Bounds(rate=1e6)


async def listed(candidates: Iterable[str]) -> AsyncIterator[str]:
    for candidate in candidates:
        yield candidate


def paths(count: int) -> list[str]:
    return [f"/{number}" for number in range(count)]


async def stored(url: str) -> Answer:
    return Answer("stored", size=10)


def warmer(ask: warming.Ask, bounds: Bounds = FAST) -> Warmer:
    return Warmer(ask, Admission("http://a"), bounds)


async def test_each_outcome_is_counted_with_its_reason() -> None:
    answers = {
        "/stored": Answer("stored", size=10),
        "/fresh": Answer("fresh", size=10),
        "/secret": Answer("refused", "no-store"),
        "/broken": Answer("failed", "500"),
    }

    async def ask(url: str) -> Answer:
        if url.endswith("/raises"):
            raise KeyError("a secret of the app")
        return answers[url.removeprefix("http://a")]

    result = await warmer(ask).run(listed([*answers, "/raises", "http://b/", "/logout", "/fresh"]))
    data = result.as_data()
    assert (data["asked"], data["stored"], data["fresh"], data["bytes"]) == (5, 1, 1, 10)
    assert data["refused"] == {"no-store": 1}
    assert data["failed"] == {"500": 1, "raised KeyError": 1}
    assert data["skipped"] == {"off-host": 1, "unsafe": 1, "duplicate": 1}
    assert {row["url"] for row in data["examples"]} == {
        "http://a/secret",
        "http://a/broken",
        "http://a/raises",
    }
    assert "secret of" not in str(data)
    assert data["stopped"] == ""


async def test_never_more_at_a_time_than_allowed() -> None:
    under_way = most = 0

    async def ask(url: str) -> Answer:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001)
        under_way -= 1
        return Answer("stored")

    await warmer(ask, Bounds(rate=1e6, concurrency=3)).run(listed(paths(30)))
    assert most == 3


async def test_never_more_a_second_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await real(0)

    now = 100.0
    monkeypatch.setattr(warming.time, "monotonic", lambda: now)
    monkeypatch.setattr(warming.asyncio, "sleep", sleep)
    await warmer(stored, Bounds(rate=10, concurrency=1)).run(listed(paths(4)))
    assert slept == pytest.approx([0.0, 0.1, 0.2, 0.3])  # the clock stands still


async def test_it_ends_at_its_limit() -> None:
    result = await warmer(stored, Bounds(rate=1e6, limit=5)).run(listed(paths(50)))
    assert (result.asked, result.stopped) == (5, "limit")
    whole = await warmer(stored, Bounds(rate=1e6, limit=5)).run(listed(paths(5)))
    assert (whole.asked, whole.stopped) == (5, "")


async def test_it_ends_when_its_time_is_over() -> None:
    async def ask(url: str) -> Answer:
        await asyncio.sleep(30)
        return Answer("stored")

    began = time.monotonic()
    result = await warmer(ask, Bounds(rate=1e6, seconds=0.05)).run(listed(paths(50)))
    assert (result.asked, result.stopped) == (0, "time")
    assert time.monotonic() - began < 20


async def test_one_answer_that_never_comes_is_one_failure() -> None:
    async def ask(url: str) -> Answer:
        await asyncio.sleep(30 if url.endswith("/0") else 0)
        return Answer("stored")

    result = await warmer(ask, Bounds(rate=1e6, each=0.05)).run(listed(paths(5)))
    assert (result.stored, result.failed) == (4, {"timeout": 1})


async def test_it_gives_up_on_an_app_that_only_fails() -> None:
    async def ask(url: str) -> Answer:
        return Answer("failed", "503")

    result = await warmer(ask, Bounds(rate=1e6, concurrency=1)).run(listed(paths(500)))
    assert (result.asked, result.stopped) == (FAILURES_IN_A_ROW, "failures")


async def test_what_was_done_is_known_after_a_cancellation() -> None:
    reached = asyncio.Event()

    async def ask(url: str) -> Answer:
        if url.endswith("/3"):
            reached.set()
            await asyncio.sleep(30)
        return Answer("stored")

    one = warmer(ask, Bounds(rate=1e6, concurrency=1))
    task = asyncio.ensure_future(one.run(listed(paths(10))))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (one.result.stored, one.result.stopped) == (3, "cancelled")
