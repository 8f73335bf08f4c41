"""What the workers of a host say to each other, and what could be faster on all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from perfmw import PerfMiddleware, Settings, hookimpl
from perfmw.contracts import OptimizationOpportunity, Purge
from perfmw.optimization.survey import Survey
from perfmw.runtime.words import Words
from tests.runtime.test_workers import API, exchange, no_app, opened

OWN = [("origin", "http://127.0.0.1"), ("content-type", "application/json")]


class Mood(msgspec.Struct):
    """What a worker says of itself."""

    text: str


def wired(words: Words) -> dict[str, msgspec.Raw]:
    """As the others read it."""
    return msgspec.json.decode(msgspec.json.encode(words.said()), type=dict[str, msgspec.Raw])


def speaking(text: str | None, things: Sequence[int] = ()) -> tuple[Words, list[Any], list[Any]]:
    words, moods, heard = Words(), list[Any](), list[Any]()
    words.about(
        "mood", Mood, lambda: Mood(text) if text is not None else None, lambda told: moods.append(told)
    )
    words.about_each("things", int, lambda: list(things), lambda told: heard.append(list(told)))
    return words, moods, heard


def test_each_hears_what_the_others_say_now() -> None:
    words, moods, things = speaking("mine", [1])
    others = [speaking("glad", [2, 3])[0], speaking(None)[0], speaking("calm", [4])[0]]
    words.hear([wired(one) for one in others])
    words.hear([])
    assert moods == [[Mood("glad"), Mood("calm")], []], "who is gone says nothing any more"
    assert things == [[2, 3, 4], []]


def test_nothing_is_said_where_there_is_nothing() -> None:
    assert speaking(None)[0].said() == {}


def test_what_is_not_understood_is_left_out_for_that_topic_alone() -> None:
    words, moods, things = speaking("mine")
    strange = {"mood": msgspec.Raw(b'{"colour": 1}'), "things": msgspec.Raw(b"[5]"), "new": msgspec.Raw(b"7")}
    words.hear([strange, {"mood": msgspec.Raw(b'{"text": "glad"}'), "things": msgspec.Raw(b'["x"]')}])
    assert (moods, things) == ([[Mood("glad")]], [[5]])


def could_be(name: str, saved: float) -> OptimizationOpportunity:
    kind, target = "cache_route", f"GET /{name}"
    return OptimizationOpportunity(
        f"{kind}:{target}", kind, target, "Cache it", kind, saved_seconds_per_day=saved
    )


@pytest.mark.anyio
async def test_opportunities_are_those_of_all_workers(tmp_path: Path) -> None:
    settings = Settings(state_dir=str(tmp_path), dashboard="loopback", sample_interval=3_600.0, plugins=())
    first, second = PerfMiddleware(no_app, settings), PerfMiddleware(no_app, settings)

    def found(worker: PerfMiddleware, *opportunities: OptimizationOpportunity) -> None:
        worker.runtime.engine.surveyed = Survey(opportunities, at=time.time())

    async with opened(first, second) as (page, other):
        first.runtime.rounds.tick(time.time())
        found(first, could_be("a", 5.0), could_be("b", 4.0))
        found(second, could_be("b", 9.0), could_be("c", 1.0))
        await exchange(first, second)
        for worker in (first, second):
            worker.runtime.words.hear([said_by_other(worker, first, second)])
        shown = [(await asked.get(f"{API}/opportunities")).json()["items"] for asked in (page, other)]
        assert shown[0] == shown[1]
        assert [(one["target"], one["saved_seconds_per_day"]) for one in shown[0]] == [
            ("GET /b", 9.0),
            ("GET /a", 5.0),
            ("GET /c", 1.0),
        ]
        refused = await page.post(f"{API}/opportunities/cache_route:GET%20/c/reject", OWN, b"{}")
        assert refused.status == 202, "one that only another worker found"
        left = (await page.get(f"{API}/opportunities")).json()["items"]
        assert [one["target"] for one in left] == ["GET /b", "GET /a"]


def said_by_other(worker: PerfMiddleware, first: PerfMiddleware, second: PerfMiddleware) -> Any:
    return wired((second if worker is first else first).runtime.words)


class Recorded:
    """A CDN that writes down what it was told."""

    name = "recorded"

    def __init__(self) -> None:
        self.limits = {"url": 10, "tag": 10, "prefix": 1}
        self.told: list[Purge] = []

    async def purge(self, purges: Sequence[Purge]) -> None:
        self.told += purges

    async def aclose(self) -> None:
        pass

    @hookimpl
    def perfmw_register_purgers(self, settings: Any) -> Any:
        return {self.name: self}


@pytest.mark.anyio
async def test_a_purge_that_is_passed_on_tells_the_cdn_once(tmp_path: Path) -> None:
    settings = Settings(state_dir=str(tmp_path), dashboard="loopback", sample_interval=3_600.0, plugins=())
    cdns = [Recorded(), Recorded()]
    first, second = (PerfMiddleware(no_app, settings, plugins=[cdn]) for cdn in cdns)
    async with opened(first, second) as (page, _):
        assert (await page.post(f"{API}/cache/purge", OWN, b'{"tags": ["t"]}')).status == 200
        await exchange(first, second)
        second.runtime.rounds.tick(time.time())
        await asyncio.gather(*(one for one in asyncio.all_tasks() if one.get_name() == "perfmw-purge"))
        for worker in (first, second):
            await worker.runtime.cdn.flush()
        assert [[one.value for one in cdn.told] for cdn in cdns] == [["t"], []]
        await second.runtime.invalidate(tags=["own"])
        await second.runtime.cdn.flush()
        assert [one.value for one in cdns[1].told] == ["own"], "what it is asked for itself it tells"
