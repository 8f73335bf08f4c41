"""Parts of the memory and bounds of limits: proposed by what was worked out, tried in a running site."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from perfmw import CacheRule, PerfMiddleware, Settings
from perfmw.contracts import (
    OptimizationRequest,
    ResourceOptimizationRequest,
    ResourceOptimizationResult,
    RuntimeSnapshot,
)
from perfmw.optimization import AllotmentOptimizer
from perfmw.profiles import Reading
from perfmw.runtime.allotting import AWAY_SECONDS, Admission
from perfmw.runtime.optimizing import reading_of
from perfmw.settings import Concurrency
from perfmw.testing import Client

pytestmark = pytest.mark.anyio

KIB = 1024


def snapshot(**options: Any) -> RuntimeSnapshot:
    return RuntimeSnapshot(taken_at=0.0, window_seconds=60.0, options=options)


def test_what_is_wanted_is_proposed_and_what_is_not_says_why() -> None:
    plan = {
        "type": "limit",
        "why": "full",
        "value": 20,
        "before": 10,
        "title": "More",
        "evidence": {},
        "gain": 0.5,
        "seconds": 2.0,
        "target": "admission",
    }
    seen = snapshot(
        **{"limit:a": 10, "wanted:limit:a": plan, "wanted:limit:b": {"type": "limit", "why": "calm"}}
    )
    [found] = AllotmentOptimizer().propose(seen)
    assert (found.id, found.type, found.target) == ("allotment:limit:a:20", "limit", "admission")
    assert found.parameters == {"option": "limit:a", "value": 20, "before": 10}
    assert found.toggles
    assert [one.missing for one in AllotmentOptimizer().explain(seen)] == ["calm"]


def test_plans_that_hardly_differ_are_one() -> None:
    def of(**value: float) -> str:
        plan: dict[str, Any] = {"type": "memory_parts", "why": "", "value": value, "before": {}, "title": ""}
        plan |= {"evidence": {}, "gain": 0.1, "seconds": 1.0}
        return AllotmentOptimizer().propose(snapshot(**{"wanted:memory_parts": plan}))[0].id

    assert of(api=0.701, content=0.299) == of(api=0.72, content=0.28)
    assert of(api=0.7, content=0.3) != of(api=0.5, content=0.5)
    assert of() == "allotment:memory_parts:none"


def test_who_is_refused_has_waited_as_long_as_it_was_asked_to() -> None:
    reading = Reading()
    for status, reason, seconds in (
        (200, "uri-miss", 0.1),
        (503, "overload", 0.0001),
        (500, "uri-miss", 0.1),
    ):
        for _ in range(10):
            outcome = Reading().origin_sketch
            outcome.record(seconds)
            reading.add_outcome(status, reason, outcome)
    seen = Admission(reading)
    assert (seen.count, seen.errors, seen.refused, seen.hits) == (30, 10, 10, 0)
    assert seen.seconds == pytest.approx(10 * 0.1 + 10 * AWAY_SECONDS)
    assert seen.sketch.quantile(0.9) == pytest.approx(AWAY_SECONDS, rel=0.02)
    assert (seen - seen).seconds == pytest.approx(0.0)


async def allocated(site: PerfMiddleware) -> ResourceOptimizationResult:
    system = site.runtime.rounds.resources
    request = ResourceOptimizationRequest(goals=("latency",), blocks=6, block_seconds=0.15)
    return await system.optimize_resource_allocation(system.managers()[0].id, request)


async def test_an_allocation_tries_a_limit_that_is_reached_higher_and_keeps_what_is_proven() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.02)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    tight = Concurrency(least=4, initial=4, most=4, most_tried=8)
    site = PerfMiddleware(
        app, Settings(concurrency_limit="on", concurrency=tight, optimization_level="advanced", plugins=[])
    )
    going = True

    async def ask() -> None:
        while going:
            if (await Client(site).post("/work")).status == 503:
                await asyncio.sleep(0.005)

    tasks = [asyncio.create_task(ask()) for _ in range(8)]
    try:
        await site.runtime.start()
        await asyncio.sleep(0.3)
        result = await allocated(site)
        ledger = [one for one in site.runtime.ledger.entries() if one.opportunity.type == "limit"]
        assert "applied" in [one.kind for one in ledger]
        kept = ledger[-1].kind == "kept"
        assert result.optimizations_applied == kept
        assert site.runtime.controls.options()["limit:default"] == (8 if kept else 4)
        with pytest.raises(ValueError, match="from 4 to 8, not 9"):
            site.runtime.controls.set_option("limit:default", 9)
        with pytest.raises(ValueError, match="a plan is not set"):
            site.runtime.controls.set_option("wanted:limit:default", 9)
        site.runtime.controls.set_option("limit:default", 8)
        assert "at most 8" in site.runtime.controls.options()["wanted:limit:default"]["why"]
        assert isinstance(reading_of(site.runtime, "admission"), Admission)
    finally:
        going = False
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks)
        await site.runtime.stop()


async def test_the_bound_that_the_settings_give_a_limit_is_hard_unless_they_say_how_far_it_may_rise() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.01)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    tight = Concurrency(least=2, initial=2, most=2)
    site = PerfMiddleware(app, Settings(concurrency_limit="on", concurrency=tight, plugins=[]))
    try:
        answers = await asyncio.gather(*(Client(site).post("/") for _ in range(6)))
        assert [one.status for one in answers].count(503) == 4
        plan = site.runtime.controls.options()["wanted:limit:default"]
        assert "value" not in plan
        assert "concurrency.most_tried" in plan["why"]
        for raised in (3, 4):
            with pytest.raises(ValueError, match=f"from 2 to 2, not {raised}"):
                site.runtime.controls.set_option("limit:default", raised)
        assert site.runtime.controls.options()["limit:default"] == 2
    finally:
        await site.runtime.stop()


async def pages(client: Client, scanned: int, often: int) -> int:
    """Pages that nobody reads twice wash through, between reads of an API that fits into the memory."""
    for number in range(often):
        await client.get(f"/api/{number % 20}")
        for _ in range(4):
            scanned += 1
            await client.get(f"/pages/{scanned % 4_000}")
    return scanned


async def test_parts_that_reads_suggest_are_tried_and_in_force_if_they_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("perfmw.runtime.parts.LEAST_READS", 1_500)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        api = scope["path"].startswith("/api")
        kind = b"application/json" if api else b"text/plain"
        await asyncio.sleep(0.0005 if api else 0)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        await send({"type": "http.response.body", "body": b"1" * 2_000})

    site = PerfMiddleware(
        app,
        Settings(
            cache_rules=[CacheRule(path="/**", ttl=3_600)],
            usage_pattern_learning=True,
            eviction_policy="lru",
            memory_max_bytes=128 * KIB,
            plugins=[],
        ),
    )
    scanned, going = await pages(Client(site), 0, 320), True
    plan = site.runtime.controls.options()["wanted:memory_parts"]
    assert plan["value"]["api"] > 0.2

    async def read() -> None:
        nonlocal scanned
        while going:
            scanned = await pages(Client(site), scanned, 10)
            await asyncio.sleep(0)

    task = asyncio.create_task(read())
    try:
        await site.runtime.start()
        request = OptimizationRequest(("memory_parts",), "advanced", blocks=6, block_seconds=0.1)
        await site.runtime.engine.optimize(request)
        tried = [one for one in site.runtime.ledger.entries() if one.opportunity.optimizer == "allotment"]
        kept = tried[-1].kind == "kept"
        made = site.runtime.controls.options()["memory_parts"]
        assert made == (tried[0].opportunity.parameters["value"] if kept else {})
        assert "applied" in [one.kind for one in tried]
    finally:
        going = False
        await task
        await site.runtime.stop()


async def test_parts_and_the_policy_within_them_are_options_of_their_own() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    learning = PerfMiddleware(
        app, Settings(usage_pattern_learning=True, eviction_policy="lru", memory_max_bytes=KIB, plugins=[])
    )
    layer = learning.runtime.cache.memory
    assert layer is not None
    for option, value, policy in (
        ("memory_parts", {"api": 0.5, "content": 0.5}, "lru in parts"),
        ("eviction_policy", "s3fifo", "s3fifo in parts"),
        ("memory_parts", {}, "s3fifo"),
        ("eviction_policy", "lru", "lru"),
    ):
        learning.runtime.controls.set_option(option, value)
        assert layer.policy == policy
    with pytest.raises(ValueError, match="unknown"):
        learning.runtime.controls.set_option("eviction_policy", "unknown")
    with pytest.raises(ValueError, match="at most 1 together"):
        learning.runtime.controls.set_option("memory_parts", {"api": 0.9, "content": 0.9})
    plain = PerfMiddleware(app, Settings(plugins=[]))
    assert "memory_parts" not in plain.runtime.controls.options()
    with pytest.raises(ValueError, match="cannot be changed"):
        plain.runtime.controls.set_option("memory_parts", {})
    for one in (learning, plain):
        await one.runtime.stop()
