"""What the engine of a runtime does as time goes by."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perfmw import PerfMiddleware, Settings
from perfmw.contracts import Alert, OptimizationOpportunity, PerformanceProfileConfig
from perfmw.optimization import Ledger
from perfmw.runtime.optimizing import (
    LOOK_SECONDS,
    OPTIMIZE_SECONDS,
    QUIET_SECONDS,
    Optimizing,
    reading_of,
)
from perfmw.testing import Client

pytestmark = pytest.mark.anyio
CHANGE = OptimizationOpportunity(
    "cache_route:GET /a",
    "cache_route",
    "GET /a",
    "Cache /a",
    "cache_route",
    {"rule_id": "cache_route:/a", "path": "/a", "ttl": 10.0},
)


async def app(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"a"})


def site(tmp_path: Path, **settings: Any) -> PerfMiddleware:
    Ledger(tmp_path).append("kept", CHANGE, who="test", why="it helps")
    return PerfMiddleware(app, settings=Settings(state_dir=str(tmp_path), plugins=[], **settings))


async def test_what_was_kept_is_applied_again_at_start(tmp_path: Path) -> None:
    runtime = site(tmp_path).runtime
    Optimizing(runtime).start()
    assert [rule.path for rule in runtime.rules] == ["/a"]


async def test_the_setting_undoes_everything_at_start(tmp_path: Path) -> None:
    runtime = site(tmp_path, optimizations_enabled=False).runtime
    Optimizing(runtime).start()
    assert list(runtime.rules) == []
    assert Ledger(tmp_path).kept() == [], "also for the starts to come"
    with pytest.raises(RuntimeError, match="optimizations_enabled"):
        runtime.start_optimization()


async def test_a_look_tells_profiles_what_stands(tmp_path: Path) -> None:
    wrapped = site(tmp_path)
    runtime = wrapped.runtime
    await Client(wrapped).get("/a")
    optimizing = Optimizing(runtime)
    optimizing.start()
    optimizing.tick(LOOK_SECONDS + 1)
    profile = next(one for one in runtime.snapshot().profiles if one.name == "GET /a")
    assert [one.step_id for one in profile.optimizations.applied] == [CHANGE.id]


async def test_a_grave_alert_withdraws_what_has_become_unsafe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = site(tmp_path).runtime
    optimizing = Optimizing(runtime)
    optimizing.start()
    monkeypatch.setattr(
        runtime.plugins.optimizers["cache_route"], "objection", lambda _one, _seen: "sets cookies"
    )
    optimizing.alerted(Alert("k", "latency", "low", "slow", "GET /a", 0.0), time.time())
    assert len(runtime.ledger.kept()) == 1, "a slight one is no reason"
    optimizing.alerted(Alert("k", "latency", "high", "slow", "GET /a", 0.0), time.time())
    assert runtime.ledger.kept() == []
    assert list(runtime.rules) == []
    assert runtime.ledger.entries()[-1].kind == "withdrawn"


async def test_options_of_the_memory_layer_change_while_it_runs(tmp_path: Path) -> None:
    runtime = site(tmp_path).runtime
    memory = runtime.cache.memory
    assert memory is not None
    runtime.controls.set_option("eviction_policy", "s3fifo")
    runtime.controls.set_option("memory_max_bytes", 2**20)
    assert (memory.policy, memory.max_bytes) == ("s3fifo", 2**20)
    with pytest.raises(ValueError, match="cannot be changed"):
        runtime.controls.set_option("layers", "disk")


async def test_all_routes_have_one_reading(tmp_path: Path) -> None:
    wrapped = site(tmp_path)
    for path in ("/a", "/b", "/b"):
        await Client(wrapped).get(path)
    assert reading_of(wrapped.runtime, "all").count == 3
    with pytest.raises(KeyError, match="no profile"):
        reading_of(wrapped.runtime, "GET /nobody")


async def test_a_profile_may_be_optimized_by_itself_though_the_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapped = PerfMiddleware(app, settings=Settings(state_dir=str(tmp_path), plugins=[]))
    runtime = wrapped.runtime
    for path in ("/a", "/b"):
        await Client(wrapped).get(path)
    change = replace(CHANGE, target="GET /b", id="cache_route:GET /b")
    monkeypatch.setattr(runtime.plugins.optimizers["cache_route"], "propose", lambda _seen: [CHANGE, change])
    started: list[tuple[str, str | None]] = []
    monkeypatch.setattr(
        runtime, "start_optimization", lambda request, profile: started.append((request.level, profile))
    )
    config = PerformanceProfileConfig(optimization_level="advanced", auto_optimization=True)
    profile = runtime.engine.create_performance_profile("GET /b", "component", config)
    optimizing = Optimizing(runtime)
    now = time.time() + OPTIMIZE_SECONDS
    for moment in (now, now + 1, now + 2):  # a look, then one run, and none again at once
        optimizing.tick(moment)
    assert started == [("advanced", profile.id)]
    optimizing.end()
    optimizing.tick(now + 2 * OPTIMIZE_SECONDS)
    optimizing.tick(now + 2 * OPTIMIZE_SECONDS + 1)
    assert len(started) == 1, "the kill switch holds for it as well"


async def test_where_nobody_asks_for_anything_looks_are_rare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrapped = site(tmp_path)
    runtime, looked = wrapped.runtime, 0

    def look() -> Any:
        nonlocal looked
        looked += 1
        return iter(())

    monkeypatch.setattr(runtime.engine, "survey", look)
    optimizing, start = Optimizing(runtime), time.time()
    for second in range(0, int(3 * LOOK_SECONDS), 10):
        optimizing.tick(start + second)
    assert looked == 1, "nothing came since"
    await Client(wrapped).get("/a")
    runtime.profiles.tick(start + 3 * LOOK_SECONDS)
    optimizing.tick(start + 3 * LOOK_SECONDS)
    assert looked == 2
    optimizing.tick(start + 3 * LOOK_SECONDS + QUIET_SECONDS)
    assert looked == 3, "what is not a request may change things, too"


async def test_the_loop_is_watched_less_closely_while_nobody_asks_for_anything(tmp_path: Path) -> None:
    wrapped = site(tmp_path)
    runtime, now = wrapped.runtime, time.time()
    await Client(wrapped).get("/a")
    runtime.rounds.tick(now)
    assert not runtime.loop.calm
    runtime.rounds.tick(now + 1)
    assert runtime.loop.calm
    await Client(wrapped).get("/a")
    runtime.rounds.tick(now + 2)
    assert not runtime.loop.calm
