"""A runtime that sees load coming."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from perfmw import PerfMiddleware, Settings, hookimpl
from perfmw.contracts import PoolSample, ResourcePool, ResourceUsageMetrics
from perfmw.runtime.preparing import HOLD_SECONDS
from perfmw.testing import Client

pytestmark = pytest.mark.anyio
DUE = {"rate": 20.0, "horizon": 3600.0, "expected": 60.0, "interval": [50.0, 75.0], "advice": None}
CALM = {**DUE, "expected": 20.0}


class Connections:
    """A pool that can be made larger."""

    name = "db"

    def __init__(self) -> None:
        self.capacity = 10.0

    def sample(self, now: float) -> PoolSample:
        return PoolSample(self.name, "connections", self.capacity, 8.0, 8.0 / self.capacity)

    def resize(self, capacity: float) -> None:
        if capacity > 100:
            raise ValueError("too many")
        self.capacity = capacity


class Plugin:
    def __init__(self) -> None:
        self.pool = Connections()

    @hookimpl
    def perfmw_register_resource_pools(self, settings: Settings) -> Mapping[str, ResourcePool]:
        return {"db": self.pool}


async def app(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"max-age=60")]})
    await send({"type": "http.response.body", "body": b"a"})


async def test_it_prepares_for_load_once_and_goes_back_when_it_has_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = Plugin()
    site = PerfMiddleware(
        app,
        settings=Settings(state_dir=str(tmp_path), plugins=[], auto_optimization=True),
        plugins=[plugin],
    )
    runtime = site.runtime
    async with Client(site) as client:
        await client.get("/a")
        runtime.caching.hottest.note("GET http://testserver/a", 5.0)
        forecast: dict[str, Any] = dict(DUE)
        monkeypatch.setattr(runtime.rounds.scaling, "state", lambda: forecast)
        runtime.tick(1_000_000.0)
        preparing = runtime.optimizing.preparing
        for minute in range(3):
            preparing.tick(2_000_000.0 + 60 * minute)
        assert plugin.pool.capacity == 20.0
        done = [entry for entry in runtime.ledger.entries() if entry.who == "forecast"]
        assert [entry.kind for entry in done] == ["applied", "kept"], "once, and not every minute"
        assert [entry.id for entry in runtime.ledger.kept()] == [done[1].id], "so it can be rolled back"
        assert "60 requests a second are expected" in done[0].why
        assert (await runtime.warm_up.wait())["status"] == "idle"
        assert any(one.kind == "forecast" for one in runtime.rounds.watching.timeline.items())
        forecast.update(CALM)
        preparing.tick(2_000_000.0 + HOLD_SECONDS - 60)
        assert plugin.pool.capacity == 20.0, "what was foreseen may be there now"
        preparing.tick(2_000_000.0 + HOLD_SECONDS + 180)
        assert plugin.pool.capacity == 10.0
        last = runtime.ledger.entries()[-1]
        assert (last.kind, last.why) == ("reverted", "the load has passed")


async def test_what_was_prepared_before_a_restart_goes_back_when_the_load_has_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(state_dir=str(tmp_path), plugins=[], auto_optimization=True)
    before, after = Plugin(), Plugin()
    runtime = PerfMiddleware(app, settings=settings, plugins=[before]).runtime
    runtime.rounds.pools = [before.pool.sample(0.0)]
    monkeypatch.setattr(runtime.rounds.scaling, "state", lambda: DUE)
    runtime.optimizing.preparing.tick(1_000.0)
    await runtime.stop()
    later = PerfMiddleware(app, settings=settings, plugins=[after]).runtime
    later.optimizing.start()
    preparing, found = later.optimizing.preparing, []
    for at in (2_000.0, 2_000.0 + HOLD_SECONDS - 60, 2_000.0 + HOLD_SECONDS):
        preparing.tick(at)
        found.append(after.pool.capacity)
    assert found == [20.0, 20.0, 10.0]
    await later.stop()


async def test_what_days_are_like_is_known_after_a_restart(tmp_path: Path) -> None:
    """Else load would be foreseen by a process alone that has run for days."""
    settings = Settings(state_dir=str(tmp_path), plugins=[])
    runtime, idle, now = PerfMiddleware(app, settings=settings).runtime, ResourceUsageMetrics(), 1.7e9
    runtime.rounds.scaling.restore(
        (now + at, 50.0 if at % 86_400 >= 43_200 else 10.0) for at in range(0, 5 * 86_400 + 41_000, 300)
    )
    await runtime.rounds.watching.start()
    await runtime.rounds.watching.stop()
    later = PerfMiddleware(app, settings=settings).runtime
    await later.rounds.watching.start()
    scaling = later.rounds.scaling
    for minute in range(2):
        scaling.tick(now + 5 * 86_400 + 41_000 + 60 * minute, idle)
    assert scaling.state()["expected"] > 30.0, "at noon, in less than an hour, they come"
    assert scaling.state()["rate"] == 0.0
    for one in (later, runtime):
        await one.rounds.watching.stop()
        await one.stop()


async def test_the_kill_switch_undoes_it_and_a_rollback_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = Plugin()
    site = PerfMiddleware(app, settings=Settings(plugins=[], auto_optimization=True), plugins=[plugin])
    runtime = site.runtime
    monkeypatch.setattr(runtime.rounds.scaling, "state", lambda: DUE)
    runtime.rounds.pools = [plugin.pool.sample(0.0)]
    runtime.optimizing.preparing.tick(1_000.0)
    assert plugin.pool.capacity == 20.0
    # the warm-up had no app to ask yet: written down, and no reason to stop
    assert [entry.kind for entry in runtime.ledger.entries()] == ["failed", "kept"]
    runtime.engine.rollback(runtime.ledger.entries()[-1].id)
    assert plugin.pool.capacity == 10.0
    runtime.optimizing.preparing.tick(1_060.0)
    assert plugin.pool.capacity == 10.0, "not again for the same rise"
    runtime.optimizing.preparing.revert("passed")
    runtime.optimizing.preparing.tick(1_120.0)
    assert plugin.pool.capacity == 20.0, "for the next one"
    runtime.optimizing.end()
    assert plugin.pool.capacity == 10.0
    assert not runtime.optimizing.automatic
    await runtime.stop()


async def test_threads_of_anyio_can_be_made_more() -> None:
    import anyio.to_thread

    from perfmw.resources.threads import AnyioPool

    before = anyio.to_thread.current_default_thread_limiter().total_tokens
    try:
        AnyioPool().resize(55)
        assert AnyioPool().sample(0.0).capacity == 55.0
        with pytest.raises(ValueError, match="anyio"):
            AnyioPool().resize(0)
    finally:
        anyio.to_thread.current_default_thread_limiter().total_tokens = before
